"""How often a simulated user breaks its own rules: what the linter finds, with intervals."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from synthagent.intervals import Interval, clustered
from synthagent.schema.episodes import UserEvent
from synthagent.simulation.user_linter import KINDS


@dataclass(frozen=True, slots=True)
class UserTurn:
    """One reply, and the family of the task in which it was made."""

    family: str
    event: UserEvent

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of what was found."""
        return tuple(finding.partition(":")[0] for finding in self.event.findings)


@dataclass(frozen=True, slots=True)
class Rates:
    """Shares of replies, with 95 % intervals clustered by family."""

    turns: int
    errors: Interval | None
    """Replies with at least one finding."""
    by_kind: dict[str, tuple[int, Interval | None]]
    """Kind -> (how many, as a share)."""


def rates(turns: Sequence[UserTurn]) -> Rates:
    """The rates over replies; families are what is independent of each other."""
    counted = Counter(kind for turn in turns for kind in turn.kinds)
    return Rates(
        turns=len(turns),
        errors=clustered([(turn.family, float(bool(turn.kinds))) for turn in turns]),
        by_kind={
            kind: (counted[kind], clustered([(turn.family, float(kind in turn.kinds)) for turn in turns]))
            for kind in KINDS
        },
    )
