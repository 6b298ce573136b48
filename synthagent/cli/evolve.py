"""evolve: tasks grown by a condition, into legal, hidden-illegal and pushed ones."""

import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import anyio

from synthagent.cli.course import School, Work, budget_of, finish, here, school, teacher_role, work_through
from synthagent.cli.lessons import band_range
from synthagent.config import settings
from synthagent.errors import Blame, InputError, ModelFailed
from synthagent.llm.ledger import BudgetSpent, Ledger
from synthagent.rollouts.group import roll_group
from synthagent.schema.episodes import Limits
from synthagent.schema.scores import Unscored
from synthagent.schema.tasks import Task
from synthagent.simulation.episode import Cast, Stage, facts_user
from synthagent.simulation.model_agent import ModelAgent, Sampling, sampling_seed
from synthagent.storage.course_folder import CourseFolder
from synthagent.storage.digests import sha256
from synthagent.storage.run_folder import RunFolder
from synthagent.storage.task_file import read_tasks
from synthagent.synthesis.branching import fingerprints
from synthagent.synthesis.evolving import evolved, worth_growing
from synthagent.synthesis.teaching import Desk, Outcome, Plan


@dataclass(frozen=True)
class Growth:
    """What was asked for on the command line."""

    tasks: Path
    out: Path
    teacher: str
    failures: Path | None
    agent: str | None
    band: str
    failed: bool
    solve: int
    n: int
    limit: int | None
    seed: int
    rounds: int
    max_tokens: int | None
    max_usd: float | None
    resume: bool
    record: bool
    config: Path | None
    options: Mapping[str, Any] = field(default_factory=dict)


def run_evolve(growth: Growth, json: bool) -> None:
    """Writes the branches of the chosen tasks to `out`, everything else into `out`.d, and prints the figures."""
    chosen = settings(growth.config, growth.options)
    who = teacher_role(growth.teacher)
    budget = budget_of(who, chosen, growth.max_tokens, growth.max_usd)
    work = Work(growth.out, growth.n, who, chosen, budget, growth.record, similar=None)
    manifest = {
        "schema": "synthagent.growth/1",
        "teacher": who.name,
        "tasks": sha256(growth.tasks),
        "failures": [str(growth.failures), growth.agent, growth.band, growth.failed] if growth.failures else None,
        "solve": growth.solve,
        "seed": growth.seed,
        "rounds": growth.rounds,
        "prompts": fingerprints(),
    }
    begun, ledger = time.monotonic(), Ledger()
    with CourseFolder.open(work.folder, manifest, resume=growth.resume) as folder:
        stopped = anyio.run(_grown, growth, work, ledger, folder)
        finish(work, folder, ledger, begun, stopped, json)


def _chosen(growth: Growth) -> Iterator[tuple[int, Task]]:
    """The tasks to start from, numbered."""
    tasks = read_tasks(growth.tasks)
    if growth.failures is None:
        return enumerate(islice(tasks, growth.limit))
    low, high = band_range(growth.band)
    rewards = _rewards(growth.failures, growth.agent)
    return enumerate(islice(worth_growing(tasks, rewards, low, high, failed=growth.failed), growth.limit))


def _rewards(run: Path, agent: str | None) -> dict[str, float]:
    """Task -> mean reward of the scored episodes of one agent. Raises `InputError` when it is not clear which one."""
    found: dict[str, list[float]] = defaultdict(list)
    with RunFolder.open(run) as folder:
        agents = {row.agent for row in folder.index.rows()}
        if agent is None and len(agents) != 1:
            raise InputError("--agent: the run holds several", where=str(run), way_out=f"one of {', '.join(agents)}")
        if agent is not None and agent not in agents:
            raise InputError(f"--agent: '{agent}' did not play", where=str(run), way_out=f"{', '.join(agents)} did")
        for row in folder.index.rows():
            if row.reward is not None and row.counts and agent in (None, row.agent):
                found[row.task_id].append(row.reward)
    return {task: sum(rewards) / len(rewards) for task, rewards in found.items()}


async def _grown(growth: Growth, work: Work, ledger: Ledger, folder: CourseFolder) -> BudgetSpent | None:
    async with school(work, ledger, folder) as open_school:
        plan = Plan(rounds=growth.rounds)
        solver = _Solver(open_school, growth, work, ledger) if growth.solve else None

        async def take(job: tuple[int, Task], own: Ledger) -> Outcome:
            desk = Desk(open_school.teacher(own, job[0]), plan, folder.keep, growth.seed, name=work.who.name)
            return await evolved(desk, *job, solver, lambda: own.usage)

        total = sum(1 for _ in _chosen(growth))
        return await work_through(work, _chosen(growth), total, folder, here(work, take))


class _Solver:
    """The teacher as an agent: does it earn the whole reward in one of its tries?"""

    def __init__(self, open_school: School, growth: Growth, work: Work, ledger: Ledger):
        self._school, self._growth, self._chosen = open_school, growth, work.chosen
        self._budget, self._ledger = work.budget, ledger

    async def __call__(self, task: Task) -> bool:
        group = await roll_group(task, self._cast, Limits(), self._growth.solve, self._growth.seed)
        if any(reward > 0.999 for reward in group.rewards):
            return True
        for outcome in group.outcomes:
            if isinstance(outcome.score, Unscored) and outcome.score.blame is Blame.INFRASTRUCTURE:
                # A try that broke off says nothing of the task: the whole job is taken again on resuming.
                self._ledger.check(self._budget)
                raise ModelFailed(outcome.score.detail, reason=outcome.score.reason)
        return False

    def _cast(self, stage: Stage, sample: int) -> Cast:
        sampling = Sampling(self._chosen.temperature, self._chosen.max_tokens)
        seed = sampling_seed(self._growth.seed, stage.task.id, sample)
        agent = ModelAgent(self._school.model, self._school.model.name, self._school.form, sampling, seed)
        return Cast(agent, facts_user(stage), "text", self._school.form)
