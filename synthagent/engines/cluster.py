"""Jobs done by workers of a Ray cluster, bounded in flight; whoever dies is replaced and its jobs are done again.

Workers get bytes and give bytes. What they are made of is sent once, by Ray's own serialisation, over the cluster's own
network: a Ray cluster is one trusted machine, see its security page, and nothing of it may be reachable from outside.
"""

import logging
import math
import os
import secrets
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import anyio

from synthagent.engines.dispatch import Dispatch, Job
from synthagent.engines.worker import Ended, Opening, Worker
from synthagent.errors import InputError, SynthAgentError
from synthagent.workers import first_error

NAMESPACE = "synthagent"
"""In which actors with names are found."""
OWN = "local"
"""Ray's word for a cluster that begins and ends with this process."""
MOST_LIVES = 3
"""Times a worker may die without having finished a single job before the run is stopped."""

Take = Callable[[Job, bytes], None]
"""Takes each result as soon as it is there. What it raises stops the run."""
GivenUp = Callable[[Job, str], None]
"""Takes a job that no worker survived, and how the last one died."""


class WorkersLost(SynthAgentError):
    """Workers die as fast as they are begun."""


@dataclass(frozen=True, slots=True)
class Crew:
    """How many workers, and what each takes of the cluster."""

    address: str | None = None
    """None: `RAY_ADDRESS`, or a cluster of this machine's own for as long as the command runs."""
    workers: int | None = None
    """None: as many as the cluster has processors for."""
    cpus: float = 1.0
    gpus: float = 0.0

    def count(self) -> int:
        """Workers that this cluster bears. Raises `InputError` when it bears none."""
        import ray

        if self.workers is not None:
            return self.workers
        there = ray.cluster_resources()
        wanted = {"CPU": self.cpus, "GPU": self.gpus}
        found = min(int(there.get(name, 0) / each) for name, each in wanted.items() if each > 0)
        if found < 1:
            raise InputError(f"the cluster has no place for a worker: it has {there.get('CPU', 0):g} processors and "
                             f"{there.get('GPU', 0):g} GPUs", way_out="see worker_cpus and worker_gpus")  # fmt: skip
        return found


@contextmanager
def joined(crew: Crew) -> Iterator[None]:
    """This process as a driver of the cluster. Raises `InputError` without Ray, and when there is no cluster."""
    address = crew.address or os.environ.get("RAY_ADDRESS") or OWN
    if address == OWN:
        _guard()
    try:
        import ray
    except ImportError as error:
        raise InputError(f"--engine ray: {error}", way_out="pip install 'synthagent[ray]'") from error
    try:
        _init(address, crew)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise InputError(f"--engine ray: {error}", way_out="is there a cluster? ray start --head") from error
    try:
        yield
    finally:
        ray.shutdown()


def _guard() -> None:
    """Nobody else may join a cluster of our own: Ray listens on every address of the machine, so a token is required.

    Ray reads it from the environment, when it is imported, and hands it on to its processes.
    """
    if "RAY_AUTH_MODE" not in os.environ:
        os.environ["RAY_AUTH_MODE"] = "token"
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)


def _init(address: str, crew: Crew) -> None:
    import ray

    more: dict[str, Any] = {}
    if address == OWN:
        more["include_dashboard"] = False
        if crew.workers is not None:
            # On a machine of our own as many workers as were asked for find a place, whatever it has.
            more["num_cpus"] = max(math.ceil(crew.workers * crew.cpus), os.cpu_count() or 1)
    ray.init(address, namespace=NAMESPACE, log_to_driver=False, logging_level=logging.ERROR, **more)


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much is under way."""

    workers: int
    each: int
    """Jobs of one worker at once."""


def bounds(crew: Crew, in_flight: int) -> Bounds:
    """So many jobs at once over all workers, evenly; a worker has one at least."""
    workers = min(crew.count(), in_flight)
    return Bounds(workers, math.ceil(in_flight / workers))


@dataclass(frozen=True, slots=True)
class Asked:
    """A service of this run in the cluster, which workers may be given: `await asked("method", argument)`."""

    actor: Any

    def __call__(self, method: str, /, *arguments: Any) -> Any:
        """Sends at once; what it gives is awaited, or left alone."""
        return getattr(self.actor, method).remote(*arguments)


def served_here(kind: type, *arguments: Any) -> Asked:
    """An object in a process of its own on this node, for as long as this process lives; begun again when it dies."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    node = ray.get_runtime_context().get_node_id()
    made = ray.remote(kind).options(
        num_cpus=0, max_restarts=-1, max_task_retries=-1, max_concurrency=1000,
        scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False),
    )  # fmt: skip
    return Asked(made.remote(*arguments))


async def work_off_on(
    crew: Crew, bound: Bounds, opening: Opening, jobs: Iterable[Job], take: Take, given_up: GivenUp
) -> list[bytes]:
    """Does every job on the workers and gives what each worker told at its end.

    Raises what stopped a worker (`Ended`), `WorkersLost`, and whatever `take` and `given_up` raise.
    """
    run = _Run(crew, bound, opening, Dispatch(jobs), take, given_up)
    try:
        async with anyio.create_task_group() as group:
            for number in range(bound.workers):
                group.start_soon(run.keep, f"worker {number}")
    except ExceptionGroup as errors:
        raise first_error(errors) from errors
    finally:
        run.dismiss()
    return run.told


class _Run:
    def __init__(
        self, crew: Crew, bound: Bounds, opening: Opening, dispatch: Dispatch, take: Take, given_up: GivenUp
    ):  # fmt: skip
        self.told: list[bytes] = []
        self._crew, self._bound, self._opening, self._dispatch = crew, bound, opening, dispatch
        self._take, self._given_up = take, given_up
        self._changed = anyio.Event()
        self._actors: dict[str, Any] = {}

    async def keep(self, name: str) -> None:
        """Begins a worker and, when it dies, the next one in its place, until there is nothing to be done."""
        idle = 0
        while not self._dispatch.over:
            life = _Life(f"{name} {uuid.uuid4().hex[:8]}", self._begun(name))
            async with anyio.create_task_group() as group:
                group.start_soon(self._end_with_jobs, group.cancel_scope)
                await self._lived(life)
                group.cancel_scope.cancel()
            self._dispatch.left(life.name)
            self._change()
            if not life.died:
                if life.opened:
                    await self._let_go(life)
                return
            idle = 0 if life.done else idle + 1
            if idle >= MOST_LIVES:
                raise WorkersLost(f"{name} died {idle} times without finishing anything: {life.died}")

    def dismiss(self) -> None:
        """Ends the workers that are still there."""
        import ray

        for actor in self._actors.values():
            ray.kill(actor)
        self._actors.clear()

    def _begun(self, name: str) -> Any:
        import ray

        made = ray.remote(Worker).options(
            num_cpus=self._crew.cpus, num_gpus=self._crew.gpus, max_restarts=0, max_concurrency=self._bound.each + 2
        )
        actor = self._actors[name] = made.remote(self._opening)
        return actor

    async def _lived(self, life: "_Life") -> None:
        """A worker's life: it is opened, and does jobs in as many lanes as it has, until all is over or it dies."""
        try:
            _checked(await life.actor.open.remote())
            life.opened = True
        except _died() as error:
            life.died = _why(error)
            return
        async with anyio.create_task_group() as lanes:
            for _ in range(self._bound.each):
                lanes.start_soon(self._lane, life)

    async def _lane(self, life: "_Life") -> None:
        while not life.died:
            changed = self._changed
            job = self._dispatch.next(life.name)
            if job is None:
                if self._dispatch.over:
                    self._change()
                    return
                await changed.wait()
                continue
            try:
                result = _checked(await life.actor.do.remote(job.payload))
            except _died() as error:
                life.died = life.died or _why(error)
                if self._dispatch.lost(job):
                    self._given_up(job, life.died)
            else:
                self._dispatch.finished(job)
                life.done += 1
                self._take(job, result)
            self._change()

    async def _end_with_jobs(self, scope: anyio.CancelScope) -> None:
        """A worker for which there is no place yet is not waited for when others have done everything."""
        while not self._dispatch.over:
            await self._changed.wait()
        scope.cancel()

    async def _let_go(self, life: "_Life") -> None:
        try:
            with anyio.move_on_after(_PARTING):
                self.told.append(_checked(await life.actor.close.remote()))
        except _died():
            return  # figures only; what it did is kept

    def _change(self) -> None:
        changed, self._changed = self._changed, anyio.Event()
        changed.set()


_PARTING = 30.0
"""Seconds in which a worker hands in its figures and closes what it has open."""


@dataclass(slots=True)
class _Life:
    name: str
    actor: Any
    opened: bool = False
    done: int = 0
    died: str = ""


def _checked(answer: tuple[str, bytes]) -> bytes:
    """What a worker gave. Raises `Ended` when it cannot go on."""
    kind, body = answer
    if kind != "ok":
        raise Ended(kind, body.decode(errors="replace"))
    return body


def _died() -> tuple[type[BaseException], ...]:
    from ray.exceptions import ActorDiedError, ActorUnavailableError, NodeDiedError, RayActorError, WorkerCrashedError

    return (RayActorError, ActorDiedError, ActorUnavailableError, NodeDiedError, WorkerCrashedError)


def _why(error: BaseException) -> str:
    return " ".join(str(error).split())[:400]
