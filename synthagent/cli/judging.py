"""audit judge: how steady a judge is, and how often it says what code knows."""

from collections import Counter, OrderedDict
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack, nullcontext
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

import anyio

from synthagent.audit.judging import Judgment, Subject, judgment, steadiness, subject
from synthagent.cli.agents import Models
from synthagent.cli.bench import Bench, scoring_of
from synthagent.cli.console import print_json, print_table, progress, say
from synthagent.config import Settings, settings
from synthagent.errors import InputError
from synthagent.rollouts.batch import lost
from synthagent.schema.checks import OPERATORS
from synthagent.schema.episodes import Episode
from synthagent.schema.record import dump
from synthagent.schema.scores import JudgeMode, Unscored
from synthagent.schema.tasks import Task
from synthagent.simulation.episode import prepare
from synthagent.storage.journal import Journal, records
from synthagent.storage.run_folder import RunFolder
from synthagent.workers import Streak, work_off


@dataclass(frozen=True, slots=True)
class Trial:
    """What an audit of a judge does."""

    repeats: int
    blind: tuple[str, ...] = ()
    """Operators whose checks are taken away, so that the judge decides what they decide."""
    only_open: bool = False
    """The judge is not asked about what has a check."""


def trial(repeats: int, open_: str | None, *, only_open: bool) -> Trial:
    """What the options say. Raises `InputError`."""
    blind = tuple(filter(None, (name.strip() for name in (open_ or "").split(","))))
    unknown = [name for name in blind if name not in OPERATORS]
    if unknown:
        raise InputError(f"--open: unknown operator '{unknown[0]}'", way_out=f"known: {', '.join(OPERATORS)}")
    return Trial(repeats, blind, only_open)


def run_judge(
    run: Path, who: Bench, wanted: Trial, limit: int | None, out: Path | None, resume: bool, config: Path | None,
    json: bool,
) -> None:  # fmt: skip
    """Judges a run's episodes again and again, and prints how steady that is."""
    chosen = settings(config, {})
    if who.judge is None:
        raise InputError("--judge: give a model")
    found = _kept(out, resume, (who.judge.name, who.mode, wanted.blind))
    with RunFolder.open(run) as folder:
        tasks = {task.id: task for task in folder.tasks()}
        episodes = list(islice((one for one in folder.episodes() if one.failure is None), limit))
    anyio.run(_tried, tasks, episodes, who, wanted, chosen, found, out)
    used = [one for one in found if one.draw < wanted.repeats]
    figures = steadiness(used)
    if json:
        print_json(asdict(figures))
        return
    print_table([{"figure": name, "value": value} for name, value in asdict(figures).items()], ("figure", "value"))
    reasons = Counter(one.score.reason for one in used if isinstance(one.score, Unscored))
    if reasons:
        told = ", ".join(f"{reason} {number}" for reason, number in reasons.most_common())
        say(f"{reasons.total()} judgments have no reward: {told}")
    elif not figures.ratings:
        say("code decides every criterion: the judge was asked nothing")


def _kept(out: Path | None, resume: bool, how: tuple[str, JudgeMode, tuple[str, ...]]) -> list[Judgment]:
    """What was judged before. Raises `InputError` when it was judged in another way."""
    if out is None or not out.exists():
        return []
    if not resume:
        raise InputError("is there already", where=str(out), way_out="go on with --resume, or use another --out")
    # What infrastructure took is judged again; nobody was paid for it.
    kept = [one for one in records(out, Judgment) if lost(one.score) is None]
    other = next((one for one in kept if (one.judge, one.mode, one.blind) != how), None)
    if other is not None:
        said = f"{other.judge}, {other.mode}" + (f", --open {','.join(other.blind)}" if other.blind else "")
        raise InputError(f"holds judgments of another kind ({said})", where=str(out), way_out="use another --out")
    return kept


async def _tried(
    tasks: Mapping[str, Task], episodes: Sequence[Episode], who: Bench, wanted: Trial, chosen: Settings,
    found: list[Judgment], out: Path | None,
) -> None:  # fmt: skip
    done = {(one.agent, one.task_id, one.sample, one.draw) for one in found}
    subjects = _Subjects(tasks, wanted.blind)
    streak = Streak("judgments")
    async with AsyncExitStack() as stack:
        models = Models(stack, chosen)
        judges = [await scoring_of(who, chosen, models, draw) for draw in range(wanted.repeats)]
        journal = stack.enter_context(Journal.open(out) if out else nullcontext())

        async def do(job: tuple[Episode, int]) -> None:
            episode, draw = job
            one = await judgment(subjects.of(episode), episode, judges[draw], draw, everything=not wanted.only_open)
            one = one.model_copy(update={"blind": wanted.blind})
            found.append(one)
            if journal is not None:
                journal.append(dump(one) | {"score": {"kind": one.score.kind, **dump(one.score)}})
            tick(f"({one.score.reason if isinstance(one.score, Unscored) else 'judged'})")
            if one.score.judge:  # what code decided says nothing of the judge's endpoint
                streak.see(lost(one.score))

        jobs = [(e, draw) for e in episodes for draw in range(wanted.repeats)
                if (e.agent, e.task_id, e.sample, draw) not in done]  # fmt: skip
        with progress("judgments", len(jobs)) as tick:
            await work_off(jobs, do, chosen.in_flight)


class _Subjects:
    """The episodes being judged, the oldest dropped first: the repetitions of one share its replay."""

    def __init__(self, tasks: Mapping[str, Task], blind: Sequence[str], most: int = 64):
        self._tasks, self._blind, self._most = tasks, blind, most
        self._kept: OrderedDict[tuple[str, str, int], Subject] = OrderedDict()

    def of(self, episode: Episode) -> Subject:
        key = (episode.agent, episode.task_id, episode.sample)
        if key not in self._kept:
            self._kept[key] = subject(prepare(self._tasks[episode.task_id]), episode, self._blind)
            if len(self._kept) > self._most:
                self._kept.popitem(last=False)
        return self._kept[key]
