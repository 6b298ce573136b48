"""What serves episodes over a wire: who plays besides the agent, and where what was played is kept."""

import contextlib
import importlib
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import anyio

from synthagent.cli.agents import Models, Role
from synthagent.cli.bench import scoring_of
from synthagent.cli.casting import Others, troupe
from synthagent.cli.console import say
from synthagent.cli.rollout import check_simulated, manifest_for, open_run
from synthagent.cli.services import fitted
from synthagent.config import Settings, settings
from synthagent.errors import Blame, InputError
from synthagent.rollouts.group import Outcome
from synthagent.schema.tasks import Task
from synthagent.serve.access import TOKEN_ENV, checked_host
from synthagent.serve.listening import Listening, Rate, make_room
from synthagent.serve.pool import Pool, sweeping
from synthagent.serve.sessions import PROTOCOL, Company
from synthagent.simulation.episode import Stage
from synthagent.storage.run_folder import RunFolder
from synthagent.storage.task_file import read_tasks

if TYPE_CHECKING:
    from synthagent.serve.asgi import AsgiServer


@dataclass(frozen=True, slots=True)
class Served:
    """What a server of episodes is asked for."""

    tasks: Path
    with_: Others
    name: str
    """Whose episodes the records say these are."""
    seed: int
    out: Path | None
    """The run folder; None: outcomes are told to whoever closes a session, and not kept."""
    resume: bool = False
    sessions: int = 4096
    idle: float = 900.0
    """Seconds after which a session that nobody uses is given up."""
    task: str | None = None
    """The only task that is served; None: all of the file."""
    keep_late: bool = False
    """Whether what was given up is scored as it stands."""


def ready(asked: Served) -> Served:
    """The same with what the tasks need and no more. Raises `InputError` for what they need and is not given.

    To be called outside the event loop: services are tried here.
    """
    tasks = _tasks(asked)
    if not tasks:
        raise InputError(f"there is no task {asked.task or ''}".rstrip() + " in it", where=str(asked.tasks))
    check_simulated(tasks, asked.with_)
    return replace(asked, with_=replace(asked.with_, serving=fitted(asked.with_.serving, tasks)))


def _tasks(asked: Served) -> list[Task]:
    return [task for task in read_tasks(asked.tasks) if asked.task in (None, task.id)]


@asynccontextmanager
async def pool_of(asked: Served, chosen: Settings) -> AsyncIterator[Pool]:
    """The sessions of a server, for as long as it runs. What ends goes to the run folder at once."""
    tasks = _tasks(asked)
    async with AsyncExitStack() as stack:
        sink, done = _kept(asked, chosen, stack)
        models = Models(stack, chosen)
        all_ = await stack.enter_async_context(troupe(asked.with_, chosen, asked.seed, models))
        scoring = await scoring_of(asked.with_.bench, chosen, models)

        def company(stage: Stage, sample: int) -> Company:
            user, faults = all_.user(stage, sample), all_.faults(stage, sample)
            return Company(user, chosen.limits, all_.answering, faults, scoring)

        pool = Pool(
            tasks, company, sink, agent=asked.name, done=done, seed=asked.seed, most=asked.sessions, idle=asked.idle,
            keep_late=asked.keep_late,
        )  # fmt: skip
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(sweeping, pool)
                yield pool
                group.cancel_scope.cancel()
        finally:
            with anyio.CancelScope(shield=True):
                await pool.aclose()


def _kept(
    asked: Served, chosen: Settings, stack: AsyncExitStack
) -> tuple[Callable[[Outcome], None], list[tuple[str, int]]]:
    """Where outcomes go, and the (task id, sample) of those that are there."""
    if asked.out is None:
        return lambda _: None, []
    role = Role("served", asked.name)
    manifest = manifest_for(asked.tasks, [role], 1, PROTOCOL, asked.seed, None, chosen, asked.with_)
    manifest = manifest.model_copy(update={"agents": (asked.name,)})
    folder: RunFolder = stack.enter_context(open_run(asked.tasks, asked.out, manifest, asked.resume, None))
    there = folder.done(retry=[Blame.INFRASTRUCTURE, Blame.TOOLS, Blame.USER])
    return lambda outcome: folder.add(outcome.episode, outcome.score), [(key.task_id, key.sample) for key in there]


async def listen(server: "Listening | AsgiServer", told: Callable[[str], str], sessions: int) -> None:
    """Serves until it is stopped by SIGINT or SIGTERM; `told`: URL -> the line that says how to use it."""
    room = make_room(sessions)
    try:
        try:
            await server.start()
        except OSError as error:
            raise InputError(f"cannot listen: {error.strerror or error}", way_out="choose another --port") from error
        say(told(server.url))
        if room < sessions:
            say(f"the hard limit of open files leaves room for {room} connections, and not {sessions}: see ulimit -Hn")
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            async for _ in signals:
                break
    finally:
        with contextlib.suppress(OSError):
            await server.stop()


@dataclass(frozen=True, slots=True)
class Place:
    """Where a server listens, and how often it may be asked."""

    host: str
    port: int
    rate: float | None = None

    @property
    def token(self) -> str | None:
        """What everybody must carry. Raises `InputError` for a host beyond loopback without one."""
        token = os.environ.get(TOKEN_ENV)
        checked_host(self.host, token)
        return token

    @property
    def limit(self) -> Rate | None:
        """Of requests."""
        return Rate(self.rate) if self.rate else None


def run_http(asked: Served, config: Path | None, place: Place, *, detail: bool) -> None:
    """`serve http`. Raises `InputError`."""
    token, chosen, asked = place.token, settings(config, {}), ready(asked)

    async def served() -> None:
        from synthagent.serve.http_api import HttpApi

        async with pool_of(asked, chosen) as pool:
            count = len(pool.tasks)
            handler = HttpApi(pool, detail=detail).handle
            await listen(
                Listening(handler, place.host, place.port, token, rate=place.limit),
                lambda url: f"{count} tasks are served: POST {url}/sessions opens an episode; see {url}/openapi.json",
                asked.sessions,
            )

    _run(served)


def run_mcp_http(asked: Served, config: Path | None, place: Place, *, detail: bool) -> None:
    """`serve mcp --http`. Raises `InputError`, also without the extra `mcp`."""
    needs("mcp", "mcp.server.lowlevel", "uvicorn")
    token, chosen, asked = place.token, settings(config, {}), ready(asked)

    async def served() -> None:
        from synthagent.serve.asgi import AsgiServer
        from synthagent.serve.mcp_http import McpHttp

        async with pool_of(asked, chosen) as pool:
            app, count = McpHttp(pool, detail=detail), len(pool.tasks)
            try:
                await listen(
                    AsgiServer(app, place.host, place.port, token, rate=place.limit),
                    lambda url: f"{count} tasks are served: POST {url}/sessions opens an episode at {url}/mcp/SESSION",
                    asked.sessions,
                )
            finally:
                await app.aclose()

    _run(served)


def run_openenv(asked: Served, config: Path | None, place: Place, *, detail: bool) -> None:
    """`serve openenv`. Raises `InputError`, also without the extra `openenv`."""
    needs("openenv", "openenv.core.env_server", "uvicorn")
    token, chosen, asked = place.token, settings(config, {}), ready(asked)

    async def served() -> None:
        from synthagent.serve.asgi import AsgiServer
        from synthagent.serve.openenv_app import application

        async with pool_of(asked, chosen) as pool:
            count = len(pool.tasks)
            app = application(pool, sessions=asked.sessions, detail=detail)
            await listen(
                AsgiServer(app, place.host, place.port, token, rate=place.limit),
                lambda url: f"{count} tasks are served: an OpenEnv client connects to {url}",
                asked.sessions,
            )

    _run(served)


def run_mcp_stdio(asked: Served, config: Path | None, *, detail: bool) -> None:
    """`serve mcp --task ID`. Ends when the client is gone. Raises `InputError`, also without the extra `mcp`."""
    needs("mcp", "mcp.server.lowlevel")
    chosen, asked = settings(config, {}), ready(asked)

    async def served() -> None:
        from synthagent.serve.mcp_episode import McpEpisode
        from synthagent.serve.mcp_stdio import serve_stdio

        async with pool_of(asked, chosen) as pool:
            episode = McpEpisode(pool, pool.open(asked.task), detail=detail)
            try:
                async with anyio.create_task_group() as group:
                    group.start_soon(_until_told, group.cancel_scope)
                    await serve_stdio(episode)
                    group.cancel_scope.cancel()
            finally:
                with anyio.CancelScope(shield=True):
                    await episode.leave()

    _run(served)


async def _until_told(scope: anyio.CancelScope) -> None:
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async for _ in signals:
            scope.cancel()


def _run(served: Callable[[], Awaitable[None]]) -> None:
    """Runs a server. What went wrong comes out as itself, and not in the groups of the tasks it ran in."""
    try:
        anyio.run(served)
    except BaseExceptionGroup as group:
        error: BaseException = group
        while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
            error = error.exceptions[0]
        raise error from None


def needs(extra: str, *modules: str) -> None:
    """Raises `InputError` if an extra is not there."""
    try:
        for module in modules:
            importlib.import_module(module)
    except ImportError as error:
        raise InputError(
            f"this needs the extra {extra}: {error}", way_out=f"pip install 'synthagent[{extra}]'"
        ) from error
