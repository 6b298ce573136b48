"""Episodes played and scored by the workers of a cluster."""

from collections.abc import AsyncIterator, Collection, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import anyio

from synthagent.cli.agents import Models, Role
from synthagent.cli.bench import Bench, scoring_of
from synthagent.cli.casting import Figures, Others, casting, summed
from synthagent.cli.engines import Cluster
from synthagent.config import Settings
from synthagent.engines.cluster import GivenUp, Take
from synthagent.engines.dispatch import Job
from synthagent.engines.worker import Hands
from synthagent.errors import InputError
from synthagent.llm.ledger import Ledger
from synthagent.rollouts.batch import Order, Sink, jobs_of, watched
from synthagent.rollouts.elsewhere import Players, Scorers, episode_jobs, nobody, outcome_in, wanted_in
from synthagent.schema.messages import Protocol
from synthagent.schema.tasks import Task
from synthagent.storage.manifest import Manifest
from synthagent.storage.maps.keeper import let_go, word_for


@asynccontextmanager
async def mapped_for_all(with_: Others) -> AsyncIterator[Others]:
    """The same company, whose response map every worker reaches: a file gets an owner in the cluster.

    Raises `InputError` for a map in memory, which no two processes share.
    """
    used = (with_.simulating or with_.serving.search is not None) and with_.mode != "none"
    if not used or "://" in with_.store:
        yield with_
        return
    if with_.store == "memory":
        raise InputError(
            "--map-store memory: workers cannot share it", way_out="give a file, http://... or redis://..."
        )
    word = word_for(Path(with_.store))
    try:
        yield replace(with_, store=word)
    finally:
        with anyio.CancelScope(shield=True):
            await let_go(word)


@dataclass(frozen=True, slots=True)
class Playing:
    """How episodes are played, for a worker."""

    who: Role
    protocol: Protocol
    chosen: Settings
    with_: Others
    n: int
    seed: int


@asynccontextmanager
async def _players(how: Playing) -> AsyncIterator[Hands]:
    async with casting(how.who, how.protocol, how.chosen, how.seed, how.with_) as company:
        order = Order(
            how.who.name, company.cast, how.chosen.limits, how.n, how.seed, how.chosen.in_flight, company.scoring
        )
        yield Hands(Players(order).do, lambda: company.figures.as_bytes())


async def roll_on(
    cluster: Cluster, who: Role, tasks: Iterable[Task], manifest: Manifest, protocol: Protocol, chosen: Settings,
    sink: Sink, done: Collection[tuple[str, str, int]], with_: Others,
) -> Figures:  # fmt: skip
    """Plays what is not in `done` and hands each outcome to `sink`. Raises as `roll_batch` does, and `InputError`."""
    take = watched(sink)
    jobs = episode_jobs(jobs_of(tasks, who.name, manifest.n, done))

    def given_up(job: Job, why: str) -> None:
        task, sample = wanted_in(job.payload)
        take(nobody(task, who.name, sample, manifest.seed, why))

    async with mapped_for_all(with_) as reachable:
        limited = cluster.share(chosen).model_copy(update={"limits": manifest.limits})
        how = Playing(who, protocol, limited, reachable, manifest.n, manifest.seed)
        told = await cluster.work_off(partial(_players, how), jobs, lambda _, found: take(outcome_in(found)), given_up)
    return summed(told)


@asynccontextmanager
async def _scorers(bench: Bench, chosen: Settings) -> AsyncIterator[Hands]:
    async with AsyncExitStack() as stack:
        models = Models(stack, chosen)
        scorers = Scorers(await scoring_of(bench, chosen, models), chosen.in_flight)
        yield Hands(scorers.do, Figures(None, models.ledger).as_bytes)


async def score_on(
    cluster: Cluster, bench: Bench, chosen: Settings, jobs: Iterable[Job], take: Take, given_up: GivenUp
) -> Ledger:
    """Scores stored episodes on the workers. Raises as `take` does, and `InputError`."""
    told = await cluster.work_off(partial(_scorers, bench, cluster.share(chosen)), jobs, take, given_up)
    return summed(told).ledger
