"""Families made and verified in other processes: what goes there and what comes back, as bytes, and their order."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import orjson

from synthagent.engines.dispatch import Job
from synthagent.schema.record import dump
from synthagent.schema.tasks import Task
from synthagent.synthesis.pipeline import Kept, Rejected, Sieve
from synthagent.synthesis.procedural.domain import Domain
from synthagent.synthesis.procedural.teacher import Difficulty, Range, family_at
from synthagent.synthesis.screening import objections


@dataclass(frozen=True, slots=True)
class Families:
    """The stream of families that a command asked for."""

    domains: Mapping[str, Domain]
    personas: Sequence[str]
    seed: int
    difficulty: Difficulty
    knobs: Mapping[str, Range]
    verify: bool

    async def do(self, payload: bytes) -> bytes:
        """Makes and verifies the family of a job."""
        made = family_at(int(payload), self.domains, self.personas, self.seed, self.difficulty, self.knobs)
        found = await objections(made.tasks, made.compiled) if self.verify and not made.rejected else ()
        reasons = [made.rejected] if made.rejected else [str(objection) for objection in found]
        # What is rejected stays here.
        tasks = [] if reasons else [dump(task) for task in made.tasks]
        return orjson.dumps({"tasks": tasks, "reasons": reasons, "screen": found[0].screen if found else ""})


class InOrder:
    """Puts families that come in any order into the stream's own, until there are enough tasks.

    Holds those that came before their turn: about as many as are under way.
    """

    def __init__(self, n: int, sink: Callable[[Kept | Rejected], None]):
        self.screens: Counter[str] = Counter()
        self.sieve = Sieve(n)
        self._sink = sink
        self._waiting: dict[int, bytes] = {}
        self._next = 0

    def jobs(self) -> Iterator[Job]:
        """One family after another, as long as more are wanted."""
        number = 0
        while not self.sieve.enough:
            yield Job(number, str(number), b"%d" % number)
            number += 1

    def take(self, job: Job, result: bytes) -> None:
        """A family that was made. Raises `NothingKept` as `verified` does, and whatever the sink raises."""
        self._waiting[job.number] = result
        while not self.sieve.enough and self._next in self._waiting:
            found = orjson.loads(self._waiting.pop(self._next))
            self.screens.update([f"screening: {found['screen']}"] if found["screen"] else [])
            tasks = [Task.model_validate(task) for task in found["tasks"]]
            for result_ in self.sieve.see(self._next, tasks, found["reasons"]):
                self._sink(result_)
            self._next += 1

    def given_up(self, job: Job, why: str) -> None:
        """A family that kills its workers is left out, with the reason."""
        self.take(job, orjson.dumps({"tasks": [], "reasons": [f"no worker survived it: {why}"], "screen": "worker"}))
