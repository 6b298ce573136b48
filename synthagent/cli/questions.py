"""synth-reasoning: problems asked in personas' words, solved by the teacher, kept where all solutions agree."""

import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any, cast, get_args

import anyio

from synthagent.cli.agents import Models
from synthagent.cli.bench import Bench, scoring_of
from synthagent.cli.casting import map_beside
from synthagent.cli.course import School, Work, budget_of, finish, here, school, teacher_role, work_through
from synthagent.cli.services import Serving, fitted, served
from synthagent.config import Settings, settings
from synthagent.errors import Blame, InputError, ModelFailed
from synthagent.llm.ledger import BudgetSpent, Ledger
from synthagent.llm.local_models import cache_dir
from synthagent.reasoning import hub
from synthagent.reasoning.problem_file import read_problems
from synthagent.reasoning.problems import Problem, ToolName
from synthagent.reasoning.rewriting import fingerprints
from synthagent.reasoning.tasks import as_task, posed
from synthagent.schema.checks import AnswerKind
from synthagent.schema.episodes import Episode
from synthagent.schema.scores import Score
from synthagent.schema.tasks import Task
from synthagent.scoring.answers import check_installed
from synthagent.scoring.scorer import Scoring, judged
from synthagent.simulation.episode import Cast, Stage, facts_user, play, prepare
from synthagent.simulation.model_agent import ModelAgent, Sampling, sampling_seed
from synthagent.simulation.response_map import Tools
from synthagent.storage.course_folder import CourseFolder
from synthagent.storage.digests import sha256
from synthagent.synthesis import personas as persona_files
from synthagent.synthesis.questions import Asking, askings, question_of
from synthagent.synthesis.teaching import Desk, Outcome, Plan


@dataclass(frozen=True)
class Questions:
    """What was asked for on the command line."""

    problems: str
    out: Path
    teacher: str
    personas: Path | None
    n: int
    kind: str
    offer: str | None
    solve: int
    variants: int
    limit: int | None
    seed: int
    serving: Serving
    bench: Bench
    licence: str
    max_tokens: int | None
    max_usd: float | None
    resume: bool
    record: bool
    config: Path | None
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Source:
    """The file of problems, and what it is."""

    path: Path
    name: str
    """With its revision, if it comes from a hub."""


def run_questions(asked: Questions, json: bool) -> None:
    """Writes up to n tasks to `out`, everything else into `out`.d, and prints what was kept, rejected and spent."""
    chosen = settings(asked.config, asked.options)
    who = teacher_role(asked.teacher)
    source = _source(asked.problems)
    problems = list(islice(_problems(asked, source), asked.limit))
    if not problems:
        raise InputError("holds no problems", where=str(source.path))
    if any(problem.answer == "math" for problem in problems):
        check_installed()
    serving = fitted(asked.serving, (as_task(p) if p.gold else posed(p) for p in problems))
    asked = replace(asked, serving=serving)
    budget = budget_of(who, chosen, asked.max_tokens, asked.max_usd)
    work = Work(asked.out, asked.n, who, chosen, budget, asked.record, similar=None)
    begun, ledger = time.monotonic(), Ledger()
    with CourseFolder.open(work.folder, _manifest(asked, source, who.name, chosen), resume=asked.resume) as folder:
        stopped = anyio.run(_asked, asked, work, problems, ledger, folder)
        finish(work, folder, ledger, begun, stopped, json)


def _source(words: str) -> _Source:
    """The file that is there, or the one that a hub has. Raises `InputError`."""
    path = Path(words)
    if path.is_file():
        return _Source(path, path.stem)
    if not hub.is_hub_id(words) or path.suffix in hub.READABLE:
        raise InputError("there is no such file", where=words, way_out="or a data set: OWNER/NAME[@REVISION][:FILE]")
    place = hub.locate(words)
    found = hub.fetch(place.repo, place.revision, place.path, None, cache_dir().parent)
    return _Source(found, f"{place.repo}@{place.revision}:{place.path}")


def _problems(asked: Questions, source: _Source) -> Any:
    if asked.kind not in get_args(AnswerKind):
        raise InputError(f"--kind: '{asked.kind}' is not one of {', '.join(get_args(AnswerKind))}")
    offered: Sequence[ToolName] | None = None
    if asked.offer is not None:
        words = [word.strip() for word in asked.offer.split(",") if word.strip() and word.strip() != "none"]
        unknown = [word for word in words if word not in get_args(ToolName)]
        if unknown:
            raise InputError(f"--offer: '{unknown[0]}' is not one of {', '.join(get_args(ToolName))}, none")
        offered = cast(Sequence[ToolName], words)
    return read_problems(source.path, cast(AnswerKind, asked.kind), offered, source=source.name, licence="")


def _manifest(asked: Questions, source: _Source, teacher: str, chosen: Settings) -> dict[str, Any]:
    return {
        "schema": "synthagent.questions/1",
        "teacher": teacher,
        "problems": {"source": source.name, "sha256": sha256(source.path)},
        "personas": sha256(asked.personas) if asked.personas else "shipped",
        "kind": asked.kind,
        "offer": asked.offer,
        "solve": asked.solve,
        "variants": asked.variants,
        "seed": asked.seed,
        "search": asked.serving.search,
        "python": asked.serving.python,
        "judge": asked.bench.judge.name if asked.bench.judge else None,
        "temperature": chosen.temperature,
        "prompts": {**fingerprints(), **asked.bench.prompts},
    }


async def _asked(
    asked: Questions, work: Work, problems: Sequence[Problem], ledger: Ledger, folder: CourseFolder
) -> BudgetSpent | None:
    people = persona_files.load(asked.personas) if asked.personas else persona_files.shipped()
    jobs = list(enumerate(askings(problems, people, asked.variants, asked.seed)))
    async with AsyncExitStack() as stack:
        open_school = await stack.enter_async_context(school(work, ledger, folder))
        scoring = await scoring_of(asked.bench, work.chosen, Models(stack, work.chosen))
        store = str(map_beside(asked.out))
        tools = await stack.enter_async_context(served(asked.serving, None, "state", store))
        solver = _Solver(open_school, asked, work, ledger, tools, scoring)

        async def take(job: tuple[int, Asking], own: Ledger) -> Outcome:
            desk = Desk(
                open_school.teacher(own, job[0]),
                Plan(),
                folder.keep,
                asked.seed,
                name=work.who.name,
                licence=asked.licence,
            )
            return await question_of(desk, *job, solver.solve, solver.score, lambda: own.usage)

        return await work_through(work, jobs, len(jobs), folder, here(work, take))


class _Solver:
    """The teacher as an agent, and what its answers are worth."""

    def __init__(
        self, open_school: School, asked: Questions, work: Work, ledger: Ledger, tools: Tools | None, scoring: Scoring
    ):
        self._school, self._asked, self._chosen, self._tools = open_school, asked, work.chosen, tools
        self._budget, self._ledger, self._scoring = work.budget, ledger, scoring

    async def solve(self, task: Task) -> list[Episode]:
        """The episodes of all tries. Raises `ModelFailed` for one that infrastructure broke off."""
        stage, found = prepare(task), []
        for sample in range(self._asked.solve):
            played = await play(stage, self._cast(stage, sample), self._chosen.limits, sample=sample)
            failure = played.episode.failure
            if failure is not None and failure.blame is Blame.INFRASTRUCTURE:
                self._ledger.check(self._budget)
                raise ModelFailed(failure.detail, reason=failure.reason)
            found.append(played.episode)
        return found

    async def score(self, task: Task, episode: Episode) -> Score:
        """What an episode is worth under a task: a judge may be asked."""
        return await judged(prepare(task), episode, scoring=self._scoring)

    def _cast(self, stage: Stage, sample: int) -> Cast:
        sampling = Sampling(self._chosen.temperature, self._chosen.max_tokens)
        seed = sampling_seed(self._asked.seed, stage.task.id, sample)
        agent = ModelAgent(self._school.model, self._school.model.name, self._school.form, sampling, seed)
        return Cast(agent, facts_user(stage), "tools", self._school.form, self._tools)
