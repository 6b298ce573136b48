"""view: the web app over runs, tasks and training runs, for as long as it is not stopped."""

import contextlib
import hashlib
import os
import signal
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import quote

import anyio

from synthagent import __version__
from synthagent.cli.agents import Models
from synthagent.cli.bench import scoring_of
from synthagent.cli.casting import FACTS, Others, troupe
from synthagent.cli.console import say
from synthagent.cli.rollout import check_simulated
from synthagent.config import Settings, settings
from synthagent.errors import InputError
from synthagent.schema.episodes import Limits
from synthagent.schema.tasks import Task
from synthagent.serve.access import TOKEN_ENV, checked_host, is_loopback
from synthagent.serve.sessions import PROTOCOL, Company, Session
from synthagent.simulation.agent import OPENING, opening_fingerprint
from synthagent.simulation.episode import prepare
from synthagent.storage.manifest import Manifest
from synthagent.viewer.app import Viewer
from synthagent.viewer.door import Door
from synthagent.viewer.keeping import Keeping
from synthagent.viewer.library import Library
from synthagent.viewer.play import Seat
from synthagent.viewer.searching import cache_dir

NAME = "person"
"""Whose episodes those are that were played by hand."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where to listen."""

    host: str
    port: int
    keep: Path
    """The run folder of episodes that are played by hand and kept."""


def run_view(paths: Sequence[Path], place: Place, with_: Others, config: Path | None) -> None:
    """Serves until SIGINT or SIGTERM. Raises `InputError`, also without the extra `view`."""
    for package in ("starlette", "uvicorn"):
        if find_spec(package) is None:
            raise InputError(f"view needs {package}", way_out="pip install 'synthagent[view]'")
    token = os.environ.get(TOKEN_ENV) or None
    checked_host(place.host, token)
    chosen = settings(config, {})
    library = Library(paths, cache_dir())
    anyio.run(_served, library, Door(token, is_loopback), place, with_, chosen)


async def _served(library: Library, door: Door, place: Place, with_: Others, chosen: Settings) -> None:
    async with seated(with_, chosen) as seat:
        keeping = Keeping(place.keep, manifest_of(with_, chosen))
        viewer = Viewer(library, door, seat, chosen.prices, keeping)
        async with listening(viewer, place) as url:
            runs, tasks, training = (len(library.names(kind)) for kind in ("run", "tasks", "training"))
            query = f"?token={quote(door.token)}" if door.token else ""
            say(f"{runs} runs, {tasks} task files, {training} training runs: {url}/{query}")
            with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
                async for _ in signals:
                    break


@asynccontextmanager
async def seated(with_: Others, chosen: Settings) -> AsyncIterator[Seat]:
    """Opens episodes to be played by hand, with the user, tools and judge that were asked for."""
    async with AsyncExitStack() as stack:
        models = Models(stack, chosen)
        all_ = await stack.enter_async_context(troupe(with_, chosen, 0, models))
        scoring = await scoring_of(with_.bench, chosen, models)

        def seat(task: Task) -> Session:
            check_simulated([task], with_)
            if task.world.services:
                raise InputError(f"task {task.id}: its tools are services, which nobody answers here")
            stage = prepare(task)
            company = Company(all_.user(stage, 0), _limits(chosen), all_.answering, None, scoring)
            return Session(stage, company, agent=NAME)

        yield seat


def manifest_of(with_: Others, chosen: Settings) -> Manifest:
    """How episodes are played here, for the folder in which they are kept: its tasks come one by one."""
    return Manifest(
        command="synthagent view", agents=(NAME,), user=with_.user.name if with_.user else FACTS,
        tools=with_.tools.name if with_.tools else None, map=with_.mode,
        map_store=with_.store if with_.simulating else "", lint=with_.lint,
        judge=with_.bench.judge.name if with_.bench.judge else None, judge_mode=with_.bench.mode,
        reward=chosen.reward, protocol=PROTOCOL, limits=_limits(chosen), tasks_file="",
        tasks_sha256=hashlib.sha256(b"").hexdigest(), version=__version__, settings=chosen.model_dump(mode="json"),
        prompts={OPENING: opening_fingerprint(), **with_.prompts},
    )  # fmt: skip


def _limits(chosen: Settings) -> Limits:
    # A person takes as long as they like.
    return chosen.limits.model_copy(update={"seconds": 24 * 3600.0})


@asynccontextmanager
async def listening(viewer: Viewer, place: Place) -> AsyncIterator[str]:
    """The viewer on one port: its URL. Raises `InputError` if the port is taken."""
    import uvicorn

    family = socket.AF_INET6 if ":" in place.host else socket.AF_INET
    try:
        listener = socket.create_server((place.host, place.port), family=family)
    except OSError as error:
        raise InputError(f"cannot listen: {error.strerror or error}", way_out="choose another --port") from error
    config = uvicorn.Config(
        viewer.app(), log_config=None, access_log=False, timeout_graceful_shutdown=2, server_header=False,
    )  # fmt: skip
    server: Any = uvicorn.Server(config)
    server.capture_signals = contextlib.nullcontext  # whoever starts us hears them, and stops us
    async with anyio.create_task_group() as group:
        group.start_soon(server.serve, [listener])
        while not (server.started or server.should_exit):  # noqa: ASYNC110 (uvicorn has a flag and no event)
            await anyio.sleep(0.01)
        name = f"[{place.host}]" if ":" in place.host else place.host
        try:
            yield f"http://{name}:{listener.getsockname()[1]}"
        finally:
            viewer.closing.set()
            server.should_exit = True
