"""--engine ray: a command's jobs done by the workers of a cluster, its journals written here as ever."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from synthagent.cli.console import say
from synthagent.config import Settings
from synthagent.engines.cluster import Bounds, Crew, GivenUp, Take, bounds, joined, work_off_on
from synthagent.engines.dispatch import Job
from synthagent.engines.worker import Ended, Opening
from synthagent.errors import InputError

LOCAL, RAY = "local", "ray"


@dataclass(frozen=True, slots=True)
class Engine:
    """Who does the jobs."""

    crew: Crew | None = None
    """None: this process."""


HERE = Engine()


def engine(word: str, workers: int | None) -> Engine:
    """What the options say. Raises `InputError`."""
    name, _, address = word.partition(":")
    if word == LOCAL:
        if workers is not None:
            raise InputError("--workers: there are none with --engine local", way_out="give --engine ray")
        return HERE
    if name != RAY or word == "ray:":
        raise InputError(f"--engine: '{word}' is not one of local, ray, ray:ADDRESS")
    return Engine(Crew(address or None, workers))


@contextmanager
def running(who: Engine, chosen: Settings) -> Iterator["Cluster | None"]:
    """The cluster for as long as a command needs it; None: this process does everything. Raises `InputError`."""
    if who.crew is None:
        yield None
        return
    crew = replace(who.crew, cpus=chosen.worker_cpus, gpus=chosen.worker_gpus)
    with joined(crew):
        bound = bounds(crew, chosen.in_flight)
        say(f"ray: {bound.workers} workers, {bound.each} jobs at once in each")
        yield Cluster(crew, bound)


@dataclass(frozen=True, slots=True)
class Cluster:
    """A cluster, joined."""

    crew: Crew
    bound: Bounds

    def share(self, chosen: Settings) -> Settings:
        """What one worker may do of what all may do together."""
        each = {
            name: value / self.bound.workers for name in ("rpm", "tpm") if (value := getattr(chosen, name)) is not None
        }
        return chosen.model_copy(update={"in_flight": self.bound.each, **each})

    async def work_off(self, opening: Opening, jobs: Iterable[Job], take: Take, given_up: GivenUp) -> list[bytes]:
        """Does every job and gives what each worker told. Raises `InputError` for what no worker can be opened with."""
        try:
            return await work_off_on(self.crew, self.bound, opening, jobs, take, given_up)
        except Ended as error:
            raise error.cause() from error
