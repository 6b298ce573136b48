"""What changes when stored episodes are scored in another way: verdicts that flip, criterion by criterion. Pure."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from synthagent.schema.record import Record
from synthagent.schema.scores import Scored
from synthagent.schema.tasks import Criterion, Rubric, Task, play_id_of
from synthagent.storage.tables import ScoreLine


class Flips(Record):
    """One criterion of one task in two scorings of the same episodes."""

    task: str
    """The task's id in this run."""
    criterion: str
    text: str
    pairs: int
    """Episodes scored both times."""
    to_true: int
    """Verdicts that hold here and did not in the other."""
    to_false: int


class Changes(Record):
    """Two scorings of the same episodes, as a whole."""

    episodes: int
    """Episodes of this run that the other has too."""
    rewards_changed: int
    """Scored both times, with another reward."""
    scored_now: int
    """Scored here and not in the other."""
    unscored_now: int
    verdicts: int
    """Verdicts on criteria that both rubrics have."""
    flips: tuple[Flips, ...]
    """Those criteria with a flip, the most flips first."""
    unmatched: int
    """Criteria that only one of the rubrics has."""


@dataclass(frozen=True, slots=True)
class Scoring:
    """The scores of a run, and its tasks."""

    tasks: Mapping[str, Task]
    scores: Iterable[ScoreLine]
    """The latest of each episode counts."""


def changes(run: Scoring, other: Scoring) -> Changes:
    """How this run's scores differ from another's. Episodes pair by agent, play and sample: see `play_id_of`."""
    mine, theirs = _latest(run), _latest(other)
    shared = [key for key in mine if key in theirs]
    counts: dict[tuple[str, str], list[tuple[bool, bool]]] = defaultdict(list)
    unmatched: set[tuple[str, str]] = set()
    moved = now = lost = 0
    for key in shared:
        (one, task), (two, old_task) = mine[key], theirs[key]
        now += isinstance(one.score, Scored) and not isinstance(two.score, Scored)
        lost += isinstance(two.score, Scored) and not isinstance(one.score, Scored)
        if not isinstance(one.score, Scored) or not isinstance(two.score, Scored):
            continue
        moved += abs(one.score.reward - two.score.reward) > 1e-9
        before, after = _verdicts(two.score, old_task.rubric), _verdicts(one.score, task.rubric)
        unmatched |= {(task.id, text) for text in before.keys() ^ after.keys()}
        for text in after:
            if text in before:
                counts[task.id, text].append((before[text], after[text]))
    return Changes(
        episodes=len(shared),
        rewards_changed=moved,
        scored_now=now,
        unscored_now=lost,
        verdicts=sum(map(len, counts.values())),
        flips=_flipped(counts, {task.id: task for task in run.tasks.values()}),
        unmatched=len(unmatched),
    )


def _latest(run: Scoring) -> dict[tuple[str, str, int], tuple[ScoreLine, Task]]:
    plays = {id_: play_id_of(task) for id_, task in run.tasks.items()}
    found = {}
    for line in run.scores:  # in file order: the latest comes last
        task = run.tasks.get(line.score.task_id)
        if task is not None:
            found[line.agent, plays[task.id], line.score.sample] = (line, task)
    return found


def _verdicts(score: Scored, rubric: Rubric) -> dict[str, bool]:
    """Part and text of each criterion -> its verdict: ids say nothing across rubrics."""
    texts = _texts(rubric)
    verdicts = (*score.forbidden, *score.subgoals, *score.interactions)
    return {texts[verdict.id]: verdict.holds for verdict in verdicts if verdict.id in texts}


def _texts(rubric: Rubric) -> dict[str, str]:
    """Id of each criterion -> its part and text; of those that read alike, which one it is."""
    seen: Counter[str] = Counter()
    found = {}
    for part, criteria in _parts(rubric):
        for criterion in criteria:
            text = f"{part} {criterion.text}"
            seen[text] += 1
            found[criterion.id] = text if seen[text] == 1 else f"{text} ({seen[text]})"
    return found


def _parts(rubric: Rubric) -> Iterable[tuple[str, tuple[Criterion, ...]]]:
    return (("forbidden:", rubric.forbidden), ("sub-goal:", rubric.subgoals), ("interaction:", rubric.interactions))


def _flipped(counts: Mapping[tuple[str, str], list[tuple[bool, bool]]], tasks: Mapping[str, Task]) -> tuple[Flips, ...]:
    found = []
    for (task, text), pairs in counts.items():
        up, down = sum(b > a for a, b in pairs), sum(a > b for a, b in pairs)
        if up or down:
            ids = {text: id_ for id_, text in _texts(tasks[task].rubric).items()}
            found.append(Flips(task=task, criterion=ids[text], text=text, pairs=len(pairs), to_true=up, to_false=down))
    return tuple(sorted(found, key=lambda flip: (-flip.to_true - flip.to_false, flip.task, flip.criterion)))
