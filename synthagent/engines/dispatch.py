"""Which worker does which job next: a queue that nothing is lost from, pure and without a clock.

Jobs come in groups (the samples of one task). A worker keeps to the groups it has begun, since it holds what they
share; then it begins the next; when there is none left it takes from the worker that has most before it.
"""

from collections import Counter, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

MOST_LOST = 3
"""Workers that may die over a job before it is given up: it may be what kills them."""
_MOST_AHEAD = 64
"""Jobs of one group that are read from the stream at once: whatever its size, no more are held."""


@dataclass(frozen=True, slots=True)
class Job:
    """Something to be done anywhere."""

    number: int
    """Its place in the stream."""
    group: str
    """Jobs of a group share work, and stand next to one another in the stream."""
    payload: bytes


class Dispatch:
    """Deals jobs out. What is dealt comes back as `finished`, or as `lost` when its worker died."""

    def __init__(self, jobs: Iterable[Job]):
        self._stream = iter(jobs)
        self._ahead: Job | None = None
        """The first job of the next group, read to see where the last one ended."""
        self._dry = False
        self._back: deque[Job] = deque()
        """Jobs of workers that died."""
        self._queues: dict[str, dict[str, deque[Job]]] = {}
        """Worker -> group it has begun -> what is left of it."""
        self._under_way: dict[int, tuple[str, Job]] = {}
        self._losses: Counter[int] = Counter()

    @property
    def over(self) -> bool:
        """Whether every job is finished or given up."""
        waiting = self._ahead is not None or self._back or any(self._queues.values())
        return self._dry and not waiting and not self._under_way

    def next(self, worker: str) -> Job | None:
        """A job for this worker; None when there is none to be dealt, which may change while others are under way."""
        job = self._back.popleft() if self._back else self._own(worker) or self._begun(worker) or self._stolen()
        if job is not None:
            self._under_way[job.number] = (worker, job)
        return job

    def finished(self, job: Job) -> None:
        """It is done. Raises `KeyError` for one that is not under way."""
        del self._under_way[job.number]
        self._losses.pop(job.number, None)

    def lost(self, job: Job) -> bool:
        """Its worker died: another gets it, unless it has cost `MOST_LOST` workers. Gives whether it is given up."""
        del self._under_way[job.number]
        self._losses[job.number] += 1
        if self._losses[job.number] >= MOST_LOST:
            return True
        self._back.append(job)
        return False

    def left(self, worker: str) -> None:
        """The worker is gone: what it had begun and not been dealt belongs to everybody."""
        for queue in self._queues.pop(worker, {}).values():
            self._back.extend(queue)

    def _own(self, worker: str) -> Job | None:
        queues = self._queues.get(worker)
        return self._from(worker, next(iter(queues))) if queues else None

    def _begun(self, worker: str) -> Job | None:
        group = list(self._group())
        if not group:
            return None
        if len(group) > 1:
            # A group that comes again in the stream, apart from its first part, goes on where that one is.
            self._queues.setdefault(worker, {}).setdefault(group[0].group, deque()).extend(group[1:])
        return group[0]

    def _stolen(self) -> Job | None:
        places = [(len(queue), worker, group) for worker, own in self._queues.items() for group, queue in own.items()]
        if not places:
            return None
        _, worker, group = max(places)
        return self._from(worker, group)

    def _from(self, worker: str, group: str) -> Job:
        queues = self._queues[worker]
        job = queues[group].popleft()
        if not queues[group]:
            del queues[group]
        return job

    def _group(self) -> Iterator[Job]:
        """The stream's next group: never more than one is held that no worker has begun."""
        first = self._ahead or self._read()
        self._ahead = None
        if first is None:
            return
        yield first
        for _ in range(_MOST_AHEAD - 1):
            job = self._read()
            if job is None:
                return
            if job.group != first.group:
                self._ahead = job
                return
            yield job

    def _read(self) -> Job | None:
        if self._dry:
            return None
        job = next(self._stream, None)
        self._dry = job is None
        return job
