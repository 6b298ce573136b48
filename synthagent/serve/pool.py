"""The sessions that a server has open: at most so many, none for longer than somebody uses it."""

import asyncio
import secrets
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field

from synthagent.errors import InputError, TaskFault
from synthagent.rollouts.batch import Stages
from synthagent.rollouts.group import Outcome, broken_task
from synthagent.schema.tasks import Task
from synthagent.serve.sessions import Company, Session
from synthagent.simulation.episode import Stage

Companies = Callable[[Stage, int], Company]
"""(stage, sample) -> everybody but the agent."""
Sink = Callable[[Outcome], None]


class Full(InputError):
    """There is no room for another session."""


class Unknown(InputError):
    """No task, or no session, of this name."""


class Taken(InputError):
    """This try at the task was played already, or is being played."""


@dataclass(slots=True)
class Open:
    """A session that is open."""

    id: str
    session: Session
    used: float
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held while a turn is taken: two turns at once would be two agents."""


class Pool:
    """Opens, finds and closes sessions over one task set. A request names a task by its id and nothing else.

    Sessions that are closed go to `sink`, and so do those that ended and were left. What nobody has used for `idle`
    seconds before its end is dropped without a score, since that its driver is gone says nothing of it; or closed as it
    stands, with `keep_late`.
    """

    def __init__(
        self, tasks: Iterable[Task], companies: Companies, sink: Sink, *, agent: str = "served",
        done: Iterable[tuple[str, int]] = (), seed: int = 0, most: int = 4096, idle: float = 900.0,
        keep_late: bool = False, clock: Callable[[], float] = time.monotonic,
    ):  # fmt: skip
        """`agent` is whose episodes the records say these are; `done`: (task id, sample) of those that are there."""
        self.tasks = {task.id: task for task in tasks}
        self._ids = list(self.tasks)
        self._companies, self._sink, self._most, self._idle = companies, sink, most, idle
        self._agent, self._seed, self._clock = agent, seed, clock
        self._keep_late = keep_late
        self._stages = Stages(most=256)
        self._open: dict[str, Open] = {}
        self._taken = set(done)
        self._samples: Counter[str] = Counter()
        self._next = 0

    def __len__(self) -> int:
        return len(self._open)

    def open(self, task_id: str | None = None, sample: int | None = None) -> Open:
        """A new session on a task; without one, on the next in the order of the file.

        `sample` numbers the tries of a task; without it they are counted. Raises `Full`, `Unknown`, `Taken`, and
        `TaskFault` for a task that does not compile, which is handed to the sink as such.
        """
        if len(self._open) >= self._most:
            raise Full(f"{self._most} sessions are open", way_out="close one, or ask again later")
        task = self._task(task_id)
        number = self._free(task.id) if sample is None else sample
        if (task.id, number) in self._taken:
            raise Taken(f"try {number} at task {task.id} was begun already", way_out="name another sample, or none")
        self._taken.add((task.id, number))
        try:
            stage = self._stages.of(task)
        except TaskFault as fault:
            self._sink(broken_task(task, self._agent, number, self._seed, fault))
            raise
        session = Session(stage, self._companies(stage, number), agent=self._agent, sample=number, seed=self._seed)
        opened = Open(secrets.token_urlsafe(16), session, self._clock())
        self._open[opened.id] = opened
        return opened

    def _free(self, task_id: str) -> int:
        while (task_id, self._samples[task_id]) in self._taken:
            self._samples[task_id] += 1
        return self._samples[task_id]

    def _task(self, task_id: str | None) -> Task:
        if task_id is None:
            task_id = self._ids[self._next % len(self._ids)]
            self._next += 1
        try:
            return self.tasks[task_id]
        except KeyError:
            raise Unknown(f"there is no task {task_id[:80]!r} here") from None

    def find(self, id_: str) -> Open:
        """The session of this id. Raises `Unknown`."""
        found = self._open.get(id_)
        if found is None:
            raise Unknown("there is no such session", way_out="it was closed, or nobody used it for too long")
        found.used = self._clock()
        return found

    def has(self, id_: str) -> bool:
        """Whether this session is open."""
        return id_ in self._open

    async def close(self, opened: Open, answer: str = "") -> Outcome:
        """Ends a session and hands its outcome to the sink, once."""
        async with opened.lock:
            outcome = await opened.session.close(answer)
            if self._open.pop(opened.id, None) is not None:
                self._sink(outcome)
        return outcome

    async def drop(self, opened: Open) -> None:
        """Forgets a session without a score; its try may be begun again."""
        self._open.pop(opened.id, None)
        key = (opened.session.task.id, opened.session.sample)
        self._taken.discard(key)
        self._samples[key[0]] = min(self._samples[key[0]], key[1])
        await opened.session.cancel()

    async def sweep(self) -> int:
        """Gives up what nobody has used for too long; how many that were."""
        late = self._clock() - self._idle
        old = [opened for opened in self._open.values() if opened.used < late and not opened.lock.locked()]
        for opened in old:
            await self.leave(opened)
        return len(old)

    async def leave(self, opened: Open) -> None:
        """Closes a session that has ended, or of which what was played is to be kept; drops any other."""
        session = opened.session
        if session.done or (self._keep_late and session.turns):
            await self.close(opened)
        else:
            await self.drop(opened)

    async def aclose(self) -> None:
        """Leaves everything."""
        for opened in list(self._open.values()):
            await self.leave(opened)


async def sweeping(pool: Pool, every: float = 15.0, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
    """Sweeps for as long as it is not cancelled."""
    with suppress(asyncio.CancelledError):
        while True:
            await sleep(every)
            await pool.sweep()
