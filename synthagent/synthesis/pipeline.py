"""From families as they are made to verified tasks, with a reason for each that is not."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from synthagent.errors import SynthAgentError
from synthagent.schema.tasks import Task
from synthagent.synthesis.procedural.teacher import Made

Screen = Callable[[Made], Sequence[str]]
"""A family -> objections; none means that it may be emitted."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A verified task."""

    task: Task


@dataclass(frozen=True, slots=True)
class Rejected:
    """A family that was not emitted, and why."""

    index: int
    reasons: tuple[str, ...]


class NothingKept(SynthAgentError):
    """The teacher makes next to nothing that can be verified."""


def verified(made: Iterable[Made], screen: Screen, n: int) -> Iterator[Kept | Rejected]:
    """The first n verified tasks. Families stay whole, but the last one is cut to its root when n leaves no room.

    Raises `NothingKept` when more than nine families in ten fail over the first hundred or more.
    """
    kept = rejected = 0
    if n < 1:
        return
    for family in made:
        reasons = (family.rejected,) if family.rejected else tuple(screen(family))
        if reasons:
            rejected += 1
            yield Rejected(family.index, reasons)
        else:
            for task in family.tasks[: n - kept]:
                kept += 1
                yield Kept(task)
            if kept >= n:
                return
        if rejected > 90 and rejected > 9 * (kept + 1):
            raise NothingKept(f"{rejected} families rejected, {kept} tasks kept; the last: {reasons[:1]}")
