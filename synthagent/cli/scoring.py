"""score: stored episodes scored again, under another rubric, judge or formula, without playing them."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, AsyncExitStack, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio

from synthagent.cli.agents import Models
from synthagent.cli.bench import Bench, scoring_of, waiting
from synthagent.cli.console import print_json, progress, say
from synthagent.cli.elsewhere import score_on
from synthagent.cli.engines import HERE, Cluster, Engine, running
from synthagent.config import Settings, settings
from synthagent.engines.dispatch import Job
from synthagent.errors import Blame, EndpointDown, InputError, RunFolderError
from synthagent.llm.ledger import Ledger
from synthagent.rollouts.batch import Stages, lost
from synthagent.rollouts.elsewhere import nobody, rescored, score_in, score_job
from synthagent.schema.episodes import Episode
from synthagent.schema.scores import Score, Scored
from synthagent.schema.tasks import Task, play_id_of
from synthagent.scoring.reward import formula_of, reward_hash
from synthagent.scoring.scorer import Scoring
from synthagent.storage.digests import sha256
from synthagent.storage.run_folder import RunFolder
from synthagent.storage.tables import Key
from synthagent.storage.task_file import read_tasks
from synthagent.workers import Streak, work_off

_Place = tuple[str, str, int, str]
"""(agent, task, sample, rubric)"""


@dataclass(frozen=True, slots=True)
class Rescoring:
    """What was asked for on the command line."""

    run: Path
    rubrics: Path | None
    bench: Bench
    out: Path | None
    retry_unscored: bool
    resume: bool


@dataclass(slots=True)
class _Tally:
    """What came of it."""

    count: int = 0
    changed: int = 0
    unscored: int = 0
    scored: list[Scored] = field(default_factory=list)
    undecided: Counter[str] = field(default_factory=Counter)
    """Why there was no verdict -> episodes."""

    def see(self, old: Score | None, new: Score) -> None:
        self.count += 1
        self.changed += old != new
        self.keep(new)

    def keep(self, score: Score) -> None:
        if isinstance(score, Scored):
            self.scored.append(score)
        else:
            self.unscored += 1
            if score.blame is Blame.JUDGE:
                self.undecided[score.reason] += 1


def run_score(
    wanted: Rescoring, config: Path | None, options: Mapping[str, Any], json: bool, engine: Engine = HERE
) -> None:
    """Scores the episodes again and appends the scores, or writes them into a run folder of their own."""
    chosen = settings(config, options)
    if wanted.rubrics is not None and wanted.out is None:
        raise InputError("--rubrics: other rubrics make other tasks", way_out="give --out FOLDER for them")
    if wanted.retry_unscored and wanted.bench.judge is None:
        raise InputError("--retry-unscored: there is no judge to ask again", way_out="give --judge MODEL")
    tally = _Tally()
    with RunFolder.open(wanted.run, write=wanted.out is None) as source:
        tasks = _tasks(source, wanted.rubrics)
        with _target(wanted, source, tasks, chosen) as target, running(engine, chosen) as cluster:
            anyio.run(_rescored, wanted, source, target, tasks, chosen, tally, cluster)
    figures = {
        "episodes": tally.count, "changed": tally.changed, "unscored": tally.unscored,
        "reward_hash": reward_hash(tally.scored),
    }  # fmt: skip
    if tally.undecided:
        waiting(wanted.out or wanted.run, tally.undecided.total(), tally.undecided if wanted.bench.judge else {})
    if json:
        print_json(figures)
        return
    say(f"{tally.count} episodes scored again, {tally.changed} scores changed, {tally.unscored} unscored")
    say(f"reward hash {figures['reward_hash']}")


def _tasks(source: RunFolder, rubrics: Path | None) -> dict[str, Task]:
    """Id of each task that was played -> the task to score by. Raises `InputError` when nothing fits."""
    played = {task.id: task for task in source.tasks()}
    if rubrics is None:
        return played
    others = {play_id_of(task): task for task in read_tasks(rubrics)}
    found = {id_: others[play] for id_, task in played.items() if (play := play_id_of(task)) in others}
    if not found:
        raise InputError(f"{rubrics}: has no task that {source.path} played")
    if len(found) < len(played):
        say(f"{len(played) - len(found)} of {len(played)} tasks have no rubric in {rubrics}: left out")
    return found


def _target(
    wanted: Rescoring, source: RunFolder, tasks: Mapping[str, Task], chosen: Settings
) -> AbstractContextManager[RunFolder]:
    """Where the scores go: the run itself, or a folder of their own."""
    if wanted.out is None:
        return nullcontext(source)
    judge = wanted.bench.judge
    update = {
        "command": f"synthagent score {wanted.run}", "judge": judge.name if judge else None,
        "judge_mode": wanted.bench.mode, "reward": chosen.reward, "scored_from": str(wanted.run),
        "settings": chosen.model_dump(mode="json"), "prompts": {**source.manifest.prompts, **wanted.bench.prompts},
    }  # fmt: skip
    if wanted.rubrics is not None:
        update |= {"tasks_file": str(wanted.rubrics), "tasks_sha256": sha256(wanted.rubrics)}
    manifest = source.manifest.model_copy(update=update)
    if wanted.resume and (wanted.out / "manifest.json").exists():
        return RunFolder.resume(wanted.out, manifest)
    return RunFolder.create(wanted.out, manifest, tasks.values())


async def _rescored(
    wanted: Rescoring, source: RunFolder, target: RunFolder, tasks: Mapping[str, Task], chosen: Settings,
    tally: _Tally, cluster: Cluster | None,
) -> None:  # fmt: skip
    old = _scores(target)
    known = old if target is source else {**_scores(source), **old}
    streak = Streak("judge's calls")
    async with AsyncExitStack() as stack:
        models = Models(stack, chosen)
        scoring = await scoring_of(wanted.bench, chosen, models)
        keys = list(_jobs(wanted, source, target, tasks, scoring, old, tally))

        def played(key: Key) -> tuple[Task, Episode]:
            """The episode, under the id of the task it is scored by."""
            episode = source.load_episode(*key)
            task = tasks[episode.task_id]
            same = episode.task_id == task.id
            return task, episode if same else episode.model_copy(update={"task_id": task.id})

        def take(episode: Episode, rubric: str, new: Score) -> None:
            place = (episode.agent, episode.task_id, episode.sample, rubric)
            before = old.get(place)
            tally.see(known.get(place), new)
            if target is not source and before is None:
                target.add(episode, new)
            elif before != new:
                target.add_score(episode.agent, new)
            tick(f"({tally.changed} changed)")
            if new.judge:  # what code decided says nothing of the judge's endpoint
                streak.see(lost(new))

        with progress("scoring", len(keys)) as tick:
            try:
                if cluster is None:
                    await _score_here(keys, played, known, scoring, chosen, take)
                    ledger = models.ledger
                else:
                    ledger = await _score_there(keys, played, known, wanted.bench, chosen, take, cluster)
            except EndpointDown as error:
                raise RunFolderError(
                    f"{error}; what was judged is kept: mend the endpoint and use --retry-unscored or --resume"
                ) from error
        for line in ledger.told("judge"):
            say(line)


_Played = Callable[[Key], tuple[Task, Episode]]
_Take = Callable[[Episode, str, Score], None]
"""Keeps a new score: (episode, rubric's id, score)."""


def _before(known: Mapping[_Place, Score], task: Task, episode: Episode) -> Score | None:
    return known.get((episode.agent, task.id, episode.sample, task.rubric.rubric_id))


async def _score_here(
    keys: Sequence[Key], played: _Played, known: Mapping[_Place, Score], scoring: Scoring, chosen: Settings,
    take: _Take,
) -> None:  # fmt: skip
    stages = Stages(most=max(chosen.in_flight, 4))

    async def do(key: Key) -> None:
        task, episode = played(key)
        new = await rescored(task, episode, stages, scoring, _before(known, task, episode))
        take(episode, task.rubric.rubric_id, new)

    await work_off(keys, do, chosen.in_flight if scoring.judge else 1)


async def _score_there(
    keys: Sequence[Key], played: _Played, known: Mapping[_Place, Score], bench: Bench, chosen: Settings, take: _Take,
    cluster: Cluster,
) -> Ledger:  # fmt: skip
    def jobs() -> Iterator[Job]:
        for number, key in enumerate(keys):
            task, episode = played(key)
            yield score_job(number, task, episode, _before(known, task, episode))

    def taken(job: Job, found: bytes) -> None:
        task, episode = played(keys[job.number])
        take(episode, task.rubric.rubric_id, score_in(found))

    def given_up(job: Job, why: str) -> None:
        task, episode = played(keys[job.number])
        take(episode, task.rubric.rubric_id, nobody(task, episode.agent, episode.sample, episode.seed, why).score)

    return await score_on(cluster, bench, chosen, jobs(), taken, given_up)


def _scores(folder: RunFolder) -> dict[_Place, Score]:
    lines = folder.scores()
    return {(line.agent, line.score.task_id, line.score.sample, line.score.rubric_id): line.score for line in lines}


def _jobs(
    wanted: Rescoring, source: RunFolder, target: RunFolder, tasks: Mapping[str, Task], scoring: Scoring,
    old: Mapping[_Place, Score], tally: _Tally,
) -> Iterator[Key]:  # fmt: skip
    """What is to be scored; what is left as it is counts all the same."""
    undecided = source.index.blamed_keys([Blame.JUDGE]) if wanted.retry_unscored else None
    for episode in source.episodes():
        key = Key(episode.agent, episode.task_id, episode.sample)
        task = tasks.get(episode.task_id)
        if task is None:
            continue
        before = old.get((episode.agent, task.id, episode.sample, task.rubric.rubric_id))
        if undecided is not None and key not in undecided:
            if before is not None and target is source:
                tally.keep(before)
            continue
        if wanted.resume and before is not None and _just_so(before, scoring):
            tally.count += 1
            tally.keep(before)
            continue
        yield key


def _just_so(score: Score, scoring: Scoring) -> bool:
    """Whether a score was made in this very way, so that it need not be paid for again."""
    if not isinstance(score, Scored) or score.formula != scoring.formula:
        return False
    if score.reward != formula_of(scoring.formula, scoring.weights)(score.gate, score.n, score.i):
        return False  # other weights
    judge = scoring.judge
    if not score.judge:  # code decided everything
        return judge is None or judge.mode == "checks"
    return judge is not None and (score.judge, score.judge_mode) == (judge.name, judge.mode)
