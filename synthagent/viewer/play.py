"""Play: a person is the agent. The episode is that of every wire; here it is only held until it is over, or kept."""

import asyncio
import secrets
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from synthagent.errors import InputError
from synthagent.rollouts.group import Outcome
from synthagent.schema.messages import AssistantTurn, Message
from synthagent.schema.record import Json
from synthagent.schema.tasks import Task

MOST = 16
"""Sittings that are kept; the one that was used longest ago gives way."""


class Answered(Protocol):
    """What came of a turn."""

    @property
    def messages(self) -> tuple[Message, ...]:
        """What is new."""

    @property
    def done(self) -> bool:
        """Whether the episode has ended."""


class Sitting(Protocol):
    """An episode that is driven turn by turn."""

    @property
    def tools(self) -> list[dict[str, Any]]:
        """In OpenAI's form."""

    async def start(self) -> tuple[Message, ...]:
        """The opening."""

    async def step(self, turn: AssistantTurn) -> Answered:
        """Takes the next turn."""

    async def close(self, answer: str = "") -> Outcome:
        """The episode and its score."""

    async def cancel(self) -> None:
        """Drops it."""

    def turn(self, message: Mapping[str, Any]) -> AssistantTurn:
        """A turn out of an assistant message. Raises `InputError`."""


Seat = Callable[[Task], Sitting]
"""Opens an episode of a task. Raises `TaskFault` for one that does not compile."""


class Plays:
    """The episodes that people play. One event loop."""

    def __init__(self, seat: Seat, most: int = MOST):
        self._seat, self._most = seat, most
        self._open: OrderedDict[str, tuple[Task, Sitting, asyncio.Lock]] = OrderedDict()
        self._over: OrderedDict[str, tuple[Task, Outcome]] = OrderedDict()

    async def open(self, task: Task) -> Json:
        """Sits down to a task: `{id, tools, messages, done}`."""
        sitting = self._seat(task)
        messages = await sitting.start()
        id_ = secrets.token_urlsafe(12)
        self._open[id_] = (task, sitting, asyncio.Lock())
        while len(self._open) > self._most:
            _, (_, oldest, _) = self._open.popitem(last=False)
            await oldest.cancel()
        return {"id": id_, "tools": sitting.tools, "messages": list(messages), "done": False}

    async def turn(self, id_: str, message: Mapping[str, Any]) -> Json:
        """Takes a turn: `{messages, done}`, the turn itself first. Raises `InputError` for what is none."""
        _, sitting, lock = self._found(id_)
        async with lock:
            turn = sitting.turn(message)
            step = await sitting.step(turn)
        return {"messages": [_told(turn), *step.messages], "done": step.done}

    async def close(self, id_: str) -> tuple[Task, Outcome]:
        """The episode and its score; one that is under way ends with an empty answer."""
        task, sitting, lock = self._found(id_)
        async with lock:
            outcome = await sitting.close()
        self._open.pop(id_, None)
        self._over[id_] = (task, outcome)
        while len(self._over) > self._most:
            self._over.popitem(last=False)
        return task, outcome

    def over(self, id_: str) -> tuple[Task, Outcome]:
        """An episode that was closed, handed out once. Raises `InputError`."""
        if id_ not in self._over:
            raise InputError("no such episode has ended", way_out="it was kept already, or too many others ended since")
        return self._over.pop(id_)

    def put_back(self, id_: str, task: Task, outcome: Outcome) -> None:
        """It could not be kept: it may be tried again."""
        self._over[id_] = (task, outcome)

    async def aclose(self) -> None:
        """Drops everything."""
        waiting: Sequence[Sitting] = [sitting for _, sitting, _ in self._open.values()]
        self._open.clear()
        for sitting in waiting:
            await sitting.cancel()

    def _found(self, id_: str) -> tuple[Task, Sitting, asyncio.Lock]:
        if id_ not in self._open:
            raise InputError(
                "there is no such episode", way_out="it is over, or too many others were begun: begin anew"
            )
        self._open.move_to_end(id_)
        return self._open[id_]


def _told(turn: AssistantTurn) -> Message:
    calls = [
        {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
        for call in turn.tool_calls
    ]
    return {"role": "assistant", "content": turn.content, **({"tool_calls": calls} if calls else {})}
