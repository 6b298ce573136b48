"""rubrics: rubrics derived from demonstrations, with a teacher that reads them."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import anyio
import typer

from synthagent import prompts
from synthagent.cli.agents import Models, role
from synthagent.cli.console import print_json, print_table, progress, say
from synthagent.config import Settings, settings
from synthagent.errors import Blame, EndpointDown, EpisodeFailure, InputError, ModelFailed, RunFolderError
from synthagent.llm.structured import NotUnderstood
from synthagent.schema.episodes import Episode, Stop
from synthagent.schema.record import Record, dump
from synthagent.schema.tasks import Rubric, Task, play_id_of
from synthagent.simulation.episode import ReplayMismatch, Stage, prepare
from synthagent.storage.atomic import make_folder
from synthagent.storage.journal import Journal, records
from synthagent.storage.run_folder import RunFolder
from synthagent.storage.task_file import read_tasks, write_tasks
from synthagent.synthesis.alignment import PROMPTS, Aligner, ModelAligner, Reading, Remembering
from synthagent.synthesis.demonstrations import Demonstration, Source, demonstrated, stripped
from synthagent.synthesis.derivation import UNDONE, Derived, Line, derive, with_rubric
from synthagent.synthesis.procedural.aligning import ProceduralAligner
from synthagent.synthesis.procedural.domain import load, shipped
from synthagent.workers import Streak, work_off

PROCEDURAL = "procedural"
_SHOWN = 20
"""Dropped tasks printed; all of them go into --json."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What was asked for on the command line."""

    tasks: Path
    demos: Path
    teacher: str
    out: Path
    undone: float | None
    domain_files: Sequence[Path]
    limit: int | None
    resume: bool

    @property
    def name(self) -> str:
        """The teacher as records call it: a file by its name."""
        return PROCEDURAL if self.teacher == PROCEDURAL else role(self.teacher, "--teacher").name


class DerivedLine(Record):
    """What came of one task, as the journal keeps it."""

    task: str
    teacher: str
    rubric: Rubric | None = None
    lines: tuple[Line, ...] = ()
    reason: str = ""
    """Why it is dropped."""
    undone: float = 0.0
    most_undone: float = UNDONE
    """What was allowed of it."""
    best: str = ""
    """The best demonstration, as `synthagent show DEMOS` names it."""
    demonstrations: int = 0
    failed: bool = False
    """The teacher gave no answer that could be used, or infrastructure failed: it is tried again on resuming."""


def run_rubrics(wish: Wish, config: Path | None, json: bool) -> None:
    """Writes the tasks with their derived rubrics, and prints what was compiled and what was dropped."""
    chosen = settings(config, {"undone": wish.undone})
    if wish.out.resolve() == wish.tasks.resolve():
        raise InputError("the tasks would be overwritten", where=str(wish.out), way_out="use another --out")
    tasks = list(islice(read_tasks(wish.tasks), wish.limit))
    journal = wish.out.with_name(wish.out.name + ".d") / "rubrics.jsonl"
    done = _kept(journal, wish, chosen.undone)
    demos = _episodes(wish.demos, tasks)
    make_folder(journal.parent)
    try:
        anyio.run(_derived, tasks, demos, wish, chosen, journal, done)
    except EndpointDown as error:
        raise RunFolderError(f"{error}; what was derived is kept in {journal}: use --resume") from error
    fingerprints = {} if wish.teacher == PROCEDURAL else {name: prompts.fingerprint(name) for name in PROMPTS}
    made = [(task, done[task.id]) for task in tasks]
    write_tasks(wish.out, (with_rubric(t, line.rubric, fingerprints) for t, line in made if line.rubric is not None))
    _print([line for _, line in made], wish.out, json)
    if made and all(line.rubric is None for _, line in made):
        raise typer.Exit(1)


def _kept(journal: Path, wish: Wish, undone: float) -> dict[str, DerivedLine]:
    if not journal.exists():
        return {}
    if not wish.resume:
        raise InputError("is there already", where=str(journal), way_out="go on with --resume, or use another --out")
    lines = records(journal, DerivedLine)
    kept = {line.task: line for line in lines if line.teacher == wish.name and not line.failed}
    for line in kept.values():
        if line.most_undone != undone:
            problem = f"undone was {line.most_undone:g}, now {undone:g}"
            raise InputError(problem, where=str(journal), way_out="use another --out")
    return kept


def _episodes(path: Path, tasks: Sequence[Task]) -> Mapping[str, list[Episode]]:
    """Task id -> its demonstrations: episodes of the same play that came to an end of their own."""
    wanted: dict[str, list[str]] = defaultdict(list)
    for task in tasks:
        wanted[play_id_of(task)].append(task.id)
    found: dict[str, list[Episode]] = defaultdict(list)
    with RunFolder.open(path) as folder:
        plays = {task.id: play_id_of(task) for task in folder.tasks()}
        for episode in folder.episodes():
            for id_ in wanted.get(plays.get(episode.task_id, ""), ()) if _ended(episode) else ():
                found[id_].append(episode.model_copy(update={"task_id": id_}))
    if not found:
        problem = "no episode of the tasks in that file came to an end"
        raise InputError(problem, where=str(path), way_out="let somebody play them with synthagent demos")
    return found


def _ended(episode: Episode) -> bool:
    return episode.failure is None and episode.stop not in (Stop.FAILED, Stop.TIME_LIMIT)


async def _derived(
    tasks: Sequence[Task], demos: Mapping[str, list[Episode]], wish: Wish, chosen: Settings, path: Path,
    done: dict[str, DerivedLine],
) -> None:  # fmt: skip
    left = [task for task in tasks if task.id not in done]
    streak = Streak("tasks")
    async with AsyncExitStack() as stack:
        aligner = await _aligner(wish, chosen, Models(stack, chosen))
        journal = stack.enter_context(Journal.open(path))
        if wish.teacher != PROCEDURAL:  # what was paid for is kept, answer by answer
            file = path.with_name("answers.jsonl")
            answers = stack.enter_context(Journal.open(file))
            known = {reading.key: reading for reading in records(file, Reading)}
            aligner = Remembering(aligner, known, lambda reading: answers.append(dump(reading)))

        async def do(task: Task) -> None:
            line, lost = await _one(task, demos.get(task.id, []), aligner, chosen.undone, wish.name)
            journal.append(dump(line))
            done[task.id] = line
            tick(f"({sum(one.rubric is None and not one.failed for one in done.values())} dropped)")
            streak.see(lost)

        with progress("rubrics", len(left)) as tick:
            await work_off(left, do, chosen.in_flight if wish.teacher != PROCEDURAL else 1)


async def _aligner(wish: Wish, chosen: Settings, models: Models) -> Aligner:
    if wish.teacher == PROCEDURAL:
        own = [load(path) for path in wish.domain_files]
        return ProceduralAligner({**shipped(), **{domain.name: domain for domain in own}})
    if wish.domain_files:
        raise InputError("--domain-file means nothing to a model", way_out="leave it out")
    who = role(wish.teacher, "--teacher")
    asked = await models.structured(who, "teacher", chosen.temperature, chosen.teacher_tokens)
    return ModelAligner(asked, who.name)


async def _one(
    task: Task, episodes: Sequence[Episode], aligner: Aligner, undone: float, teacher: str
) -> tuple[DerivedLine, str | None]:
    """What comes of a task, and what infrastructure did to it."""
    line = DerivedLine(task=task.id, teacher=teacher, most_undone=undone)
    try:
        source = _source(task, episodes)
        found = await derive(source, aligner, undone)
    except NotUnderstood as error:
        return line.model_copy(update={"reason": f"the teacher: {error}", "failed": True}), None
    except ModelFailed as error:
        update = {"reason": f"the teacher: {error}", "failed": True}
        return line.model_copy(update=update), f"{error.reason}: {error}"
    except EpisodeFailure as error:
        update = {"reason": f"{error.blame}: {error}", "failed": error.blame is not Blame.TASK}
        return line.model_copy(update=update), None
    return _line(line, found, len(source.demonstrations)), None


def _source(task: Task, episodes: Iterable[Episode]) -> Source:
    """All that the rubric is derived from.

    An episode that does not come out as stored is no demonstration; raises `ReplayMismatch` if there is no other.
    """
    whole = prepare(task)
    stage = Stage(stripped(task), whole.blueprint, whole.listener)
    shown: list[Demonstration] = []
    mismatch = None
    for episode in episodes:
        try:
            shown.append(demonstrated(stage, episode))
        except ReplayMismatch as error:
            mismatch = error
    if mismatch is not None and not shown:
        raise mismatch
    return Source(task.workflow, task.brief.rules, tuple(shown))


def _line(line: DerivedLine, found: Derived, demonstrations: int) -> DerivedLine:
    best = found.best.episode if found.best else None
    return line.model_copy(
        update={
            "rubric": found.rubric,
            "lines": found.lines,
            "reason": found.reason,
            "undone": found.undone,
            "best": f"--agent {best.agent} --sample {best.sample}" if best else "",
            "demonstrations": demonstrations,
        }
    )


def _print(made: Sequence[DerivedLine], out: Path, json: bool) -> None:
    kept = [line for line in made if line.rubric is not None]
    lines = [item for line in kept for item in line.lines]
    compiled = sum(item.compiled for item in lines)
    left = [line for line in made if line.rubric is None]
    dropped = [{"task": line.task, "reason": line.reason, "undone": line.undone} for line in left if not line.failed]
    failed = [{"task": line.task, "reason": line.reason} for line in left if line.failed]
    open_ = Counter(item.reason for item in lines if not item.compiled)
    figures: dict[str, Any] = {
        "tasks": len(made),
        "kept": len(kept),
        "items": len(lines),
        "compiled": compiled,
        "compiled_share": compiled / len(lines) if lines else None,
        "dropped": dropped,
        "failed": failed,
        "open": dict(open_.most_common()),
        "best": {line.task: line.best for line in kept},
    }
    if json:
        print_json(figures)
        return
    if dropped:
        print_table(dropped[:_SHOWN], ("task", "reason", "undone"), "dropped")
    if len(dropped) > _SHOWN:
        say(f"and {len(dropped) - _SHOWN} more: --json has them all")
    if failed:
        print_table(failed[:_SHOWN], ("task", "reason"), "failed, asked about again with --resume")
    if open_:
        rows = [
            {"criteria": number, "why a judge has to decide them": why} for why, number in open_.most_common(_SHOWN)
        ]
        print_table(rows, ("criteria", "why a judge has to decide them"))
    share = "" if not lines else f", {compiled / len(lines):.1%} of {len(lines)} criteria as checks"
    say(f"{len(kept)} of {len(made)} tasks in {out}{share}")
    if lost := sum(line.failed for line in made):
        say(f"{lost} of them without an answer of the teacher that could be used: --resume asks again")
