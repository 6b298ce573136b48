"""What serves episodes over a wire: who plays besides the agent, and where what was played is kept."""

import contextlib
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio

from synthagent.cli.agents import Models, Role
from synthagent.cli.bench import scoring_of
from synthagent.cli.casting import Others, troupe
from synthagent.cli.console import say
from synthagent.cli.rollout import check_simulated, manifest_for, open_run
from synthagent.config import Settings, settings
from synthagent.errors import Blame, InputError
from synthagent.rollouts.group import Outcome
from synthagent.serve.access import TOKEN_ENV, checked_host
from synthagent.serve.listening import Handler, Listening, Rate
from synthagent.serve.pool import Pool, sweeping
from synthagent.serve.sessions import PROTOCOL, Company
from synthagent.simulation.episode import Stage
from synthagent.storage.run_folder import RunFolder
from synthagent.storage.task_file import read_tasks


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


@asynccontextmanager
async def pool_of(asked: Served, chosen: Settings) -> AsyncIterator[Pool]:
    """The sessions of a server, for as long as it runs. What ends goes to the run folder at once."""
    tasks = [task for task in read_tasks(asked.tasks) if asked.task in (None, task.id)]
    if not tasks:
        raise InputError(f"there is no task {asked.task or ''}".rstrip() + " in it", where=str(asked.tasks))
    check_simulated(tasks, asked.with_)
    async with AsyncExitStack() as stack:
        sink, done = _kept(asked, chosen, stack)
        models = Models(stack, chosen)
        all_ = await stack.enter_async_context(troupe(asked.with_, chosen, asked.seed, models))
        scoring = await scoring_of(asked.with_.bench, chosen, models)

        def company(stage: Stage, sample: int) -> Company:
            user, faults = all_.user(stage, sample), all_.faults(stage, sample)
            return Company(user, chosen.limits, all_.tools, faults, scoring)

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


async def listen(handler: Handler, host: str, port: int, rate: float | None, told: Callable[[str], str]) -> None:
    """Serves until it is stopped by SIGINT or SIGTERM; `told`: URL -> the line that says how to use it."""
    token = os.environ.get(TOKEN_ENV)
    checked_host(host, token)
    server = Listening(handler, host, port, token, rate=Rate(rate) if rate else None)
    try:
        try:
            await server.start()
        except OSError as error:
            raise InputError(f"cannot listen on {host}:{port}: {error.strerror}") from error
        say(told(server.url))
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            async for _ in signals:
                break
    finally:
        with contextlib.suppress(OSError):
            await server.stop()


def run_http(asked: Served, config: Path | None, host: str, port: int, rate: float | None, *, detail: bool) -> None:
    """`serve http`. Raises `InputError`."""
    checked_host(host, os.environ.get(TOKEN_ENV))
    chosen = settings(config, {})

    async def served() -> None:
        from synthagent.serve.http_api import HttpApi

        async with pool_of(asked, chosen) as pool:
            count = len(pool.tasks)
            await listen(
                HttpApi(pool, detail=detail).handle, host, port, rate,
                lambda url: f"{count} tasks are served: POST {url}/sessions opens an episode; see {url}/openapi.json",
            )  # fmt: skip

    anyio.run(served)
