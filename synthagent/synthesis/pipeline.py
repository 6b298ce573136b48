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
    if n < 1:
        return
    sieve = Sieve(n)
    for family in made:
        reasons = (family.rejected,) if family.rejected else tuple(screen(family))
        yield from sieve.see(family.index, family.tasks, reasons)
        if sieve.enough:
            return


class Sieve:
    """Takes families in their order, wherever they were made, until there are n tasks."""

    def __init__(self, n: int):
        self.kept = self.rejected = 0
        self._n = n

    @property
    def enough(self) -> bool:
        """Whether there are n tasks."""
        return self.kept >= self._n

    def see(self, index: int, tasks: Sequence[Task], reasons: Sequence[str]) -> Iterator[Kept | Rejected]:
        """What becomes of the next family. Raises `NothingKept` as `verified` does."""
        if reasons:
            self.rejected += 1
            yield Rejected(index, tuple(reasons))
        else:
            for task in tasks[: self._n - self.kept]:
                self.kept += 1
                yield Kept(task)
        if self.rejected > 90 and self.rejected > 9 * (self.kept + 1) and not self.enough:
            raise NothingKept(f"{self.rejected} families rejected, {self.kept} tasks kept; the last: {reasons[:1]}")
