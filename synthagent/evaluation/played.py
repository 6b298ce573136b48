"""A suite that was played as episodes: its run folder -> items, or why it says nothing of the agent."""

from collections import Counter
from collections.abc import Mapping, Sequence

from synthagent.errors import Blame
from synthagent.evaluation.items import Item, SuiteFailed
from synthagent.schema.episodes import Limits, Stop
from synthagent.storage.run_folder import RunFolder
from synthagent.storage.tables import EpisodeRow

_WHO: Mapping[Blame, str] = {
    Blame.INFRASTRUCTURE: "infrastructure", Blame.JUDGE: "the judge", Blame.TOOLS: "a simulated tool",
    Blame.USER: "the user", Blame.TASK: "the task",
}  # fmt: skip


def items_of(folder: RunFolder, agent: str, names: Mapping[str, str]) -> list[Item]:
    """Every try of an agent as an item. `names`: task id -> the entry's id in its own data set.

    Raises `SuiteFailed` with the reason if an episode is missing, has no score, or lost its score through another
    than the agent: such a suite has no mean.
    """
    rows = [row for row in folder.index.rows() if row.agent == agent]
    wanted = len(names) * folder.manifest.n
    if reasons := failures(rows):
        told = "; ".join(f"{reason} ({count})" for reason, count in reasons.most_common())
        raise SuiteFailed(f"{reasons.total()} of {wanted} episodes say nothing of the agent: {told}")
    if len(rows) != wanted:
        raise SuiteFailed(f"{len(rows)} of {wanted} episodes were played")
    return [_item(row, names, folder.manifest.limits) for row in rows]


def failures(rows: Sequence[EpisodeRow]) -> Counter[str]:
    """Whose fault, and why -> episodes that are no measure of their agent."""
    found: Counter[str] = Counter()
    for row in rows:
        blame = row.unscored_blame or (row.blame if not row.counts else None)
        if blame is not None:
            found[f"{_WHO.get(blame, str(blame))}: {row.unscored_reason or row.reason or 'no reason given'}"] += 1
        elif row.reward is None:
            found["never scored"] += 1
    return found


def overflowed(row: EpisodeRow, limits: Limits) -> bool:
    """Whether an episode ended because its prompt outgrew the model's window, and not because it wrote too much."""
    return row.stop is Stop.TOKEN_LIMIT and row.completion_tokens < limits.tokens


def _item(row: EpisodeRow, names: Mapping[str, str], limits: Limits) -> Item:
    assert row.reward is not None
    return Item(
        id=names[row.task_id],
        trial=row.sample,
        score=row.reward,
        family=row.family or "",
        overflow=overflowed(row, limits),
    )
