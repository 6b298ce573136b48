"""What an episode is worth: a verdict a criterion, and a reward or the reason why there is none."""

from typing import Literal

from synthagent.errors import Blame
from synthagent.schema.record import Record


class Verdict(Record):
    """One criterion decided, with the events that prove it."""

    id: str
    holds: bool
    """For a forbidden criterion: it was violated."""
    events: tuple[int, ...] = ()
    """Indices into the episode's events."""
    by: Literal["check", "judge"] = "check"


class Scored(Record):
    """An episode with a reward."""

    kind: Literal["scored"] = "scored"
    task_id: str
    sample: int
    rubric_id: str
    reward: float
    """gate * (n + i) / 2, or gate * n without interactions (paper, section 3.3)."""
    gate: Literal[0, 1]
    """0 if and only if a forbidden behaviour happened."""
    n: float
    """Share of sub-goals done."""
    i: float | None
    """Share of required interactions done; None when the task requires none."""
    forbidden: tuple[Verdict, ...] = ()
    subgoals: tuple[Verdict, ...]
    interactions: tuple[Verdict, ...] = ()
    blame: Blame | None = None
    """Whose fault a reward of zero is."""


class Unscored(Record):
    """An episode without a reward. Not zero: never part of a loss or a mean."""

    kind: Literal["unscored"] = "unscored"
    task_id: str
    sample: int
    rubric_id: str
    blame: Blame
    reason: str
    detail: str = ""


Score = Scored | Unscored
