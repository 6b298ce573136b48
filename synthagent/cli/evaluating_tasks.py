"""Suites that are played as episodes: problems become reasoning tasks, in an ordinary run folder."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from synthagent.cli.casting import FACTS, others
from synthagent.cli.console import say
from synthagent.cli.rollout import manifest_for, open_run, roll_into
from synthagent.cli.services import Serving, fitted
from synthagent.errors import Blame, InputError
from synthagent.evaluation.datasets.source import load
from synthagent.evaluation.heldout import SHA256, heldout
from synthagent.evaluation.items import Item
from synthagent.evaluation.played import items_of
from synthagent.evaluation.results import Evaluation
from synthagent.evaluation.suites import HELDOUT, Benchmark
from synthagent.llm.local_models import cache_dir
from synthagent.reasoning.problems import Problem
from synthagent.reasoning.tasks import as_task
from synthagent.schema.messages import Protocol
from synthagent.schema.tasks import Task
from synthagent.storage.atomic import make_folder
from synthagent.storage.run_folder import MANIFEST, RunFolder
from synthagent.storage.task_file import write_tasks

if TYPE_CHECKING:
    from synthagent.cli.evaluating import Company


@dataclass(frozen=True, slots=True)
class Played:
    """A suite as tasks."""

    suite: str
    tasks: Sequence[Task]
    names: Mapping[str, str]
    """Task id -> the entry's id in its own data set."""
    protocol: Protocol
    serving: Serving


def cache_root() -> Path:
    """Where fetched models lie in `models`, and data sets beside them in `datasets`."""
    return cache_dir().parent


def prepared(one: Benchmark, company: "Company", file: Path | None, pinned: str) -> tuple[Played, dict[str, str]]:
    """The suite as tasks, and the versions of its data.

    Raises `SuiteFailed` for other data than it should be, `InputError` for data that is not there or does not fit, and
    for a service that its tasks need and that is not given.
    """
    suite, limit = one.suite, company.words.limit
    protocol: Protocol = "text"
    if suite.kind == "tasks":
        tasks, versions = _own(one, file)
        tasks = tasks[:limit]
        names = {task.id: task.id for task in tasks}
    else:
        problems, versions = _problems(one, file, pinned)
        made = {problem.id: _task(suite.name, problem) for problem in problems[:limit]}
        tasks, names = list(made.values()), {task.id: id_ for id_, task in made.items()}
        protocol = "tools"
    if not tasks or len(names) != len(tasks):
        raise InputError(f"{suite.name} holds {len(tasks)} entries, {len(names)} of them different")
    return Played(suite.name, tasks, names, protocol, fitted(company.serving, tasks)), versions


def _own(one: Benchmark, file: Path | None) -> tuple[list[Task], dict[str, str]]:
    if file is not None:
        raise InputError(f"--data-file: the tasks of {one.suite.name} are fixed", way_out="leave it out")
    if one.suite.name == HELDOUT:
        return heldout(cache_root() / "datasets"), {"data": HELDOUT, "data_sha256": SHA256}
    if one.tasks is None:
        raise InputError(f"{one.suite.name}: its plugin brings no tasks")
    return list(one.tasks()), {"data": f"plugin {one.suite.name}"}


def _problems(one: Benchmark, file: Path | None, pinned: str) -> tuple[list[Problem], dict[str, str]]:
    if one.problems is not None:
        return list(one.problems()), {"data": f"plugin {one.suite.name}"}
    data = load(one.suite, cache_root(), file=file, pinned=pinned, tell=say)
    return data.problems, data.versions


def _task(suite: str, problem: Problem) -> Task:
    # The same family for the same entry, wherever its data came from: differences between runs pair by it.
    return as_task(problem, family=f"{suite}/{problem.id}")


def played(ready: Played, company: "Company", evaluation: Evaluation, trials: int) -> list[Item]:
    """Plays what is missing, and gives every try. Raises `SuiteFailed`, and as `roll_into` does."""
    file, out = evaluation.tasks_file(ready.suite), evaluation.folder(ready.suite)
    make_folder(file.parent)
    write_tasks(file, ready.tasks)
    words = company.words
    with_ = replace(
        others(FACTS, None, "state", None, file, 0.0, bench=company.bench), serving=ready.serving
    )  # fmt: skip
    manifest = manifest_for(file, [company.agent], trials, ready.protocol, words.seed, None, company.settings, with_)
    _judge_again(out, company)
    with open_run(file, out, manifest, True, None) as folder:
        roll_into(folder, [company.agent], ready.protocol, company.settings, with_, words.engine)
        return items_of(folder, company.agent.name, ready.names)


def _judge_again(out: Path, company: "Company") -> None:
    """Asks the judge about what it could not decide when the suite was run before."""
    if company.bench.judge is None or not (out / MANIFEST).exists():
        return
    with RunFolder.open(out) as folder:
        undecided = folder.index.blamed_keys([Blame.JUDGE])
    if undecided:
        from synthagent.cli.scoring import Rescoring, run_score

        wanted = Rescoring(out, None, company.bench, None, True, False)
        run_score(wanted, company.words.config, company.words.options, False, company.words.engine)
