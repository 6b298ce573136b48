"""What an episode is worth: a verdict a criterion, and a reward or the reason why there is none."""

from typing import Literal

from pydantic import Field

from synthagent.errors import Blame
from synthagent.schema.record import Record

JudgeMode = Literal["checks", "paper"]
"""`checks`: code decides what it can and the judge what is left, with proof. `paper`: one verdict a criterion by the
judge, which is asked for no proof (Lyu et al., section 3.3)."""
FormulaName = Literal["mean", "strict", "subgoals", "weighted"]
"""How verdicts become a reward: see `synthagent.scoring.reward`."""


class Weights(Record):
    """What sub-goals and interactions count for under the formula `weighted`."""

    subgoals: float = Field(default=1.0, ge=0, allow_inf_nan=False)
    interactions: float = Field(default=1.0, ge=0, allow_inf_nan=False)


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
    """By the formula; `mean`: gate * (n + i) / 2, or gate * n without interactions (paper, section 3.3)."""
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
    reason: str = ""
    """Why the reward is zero: see `synthagent.scoring.blame`."""
    formula: FormulaName = "mean"
    judge: str = ""
    """Who decided the criteria whose verdicts are `by` a judge."""
    judge_mode: JudgeMode = "checks"

    @property
    def counts(self) -> bool:
        """Whether training and metrics take it: a zero that the agent did not cause is no measure of it."""
        return self.blame in (None, Blame.AGENT)


class Unscored(Record):
    """An episode without a reward. Not zero: never part of a loss or a mean."""

    kind: Literal["unscored"] = "unscored"
    task_id: str
    sample: int
    rubric_id: str
    blame: Blame
    reason: str
    detail: str = ""
    judge: str = ""
    """Which judge could not decide."""


Score = Scored | Unscored
