"""An episode that somebody else drives, turn by turn: what every wire puts on the network.

The episode is the ordinary `play`, whose agent waits for the next turn. So a wire has no rules of its own: limits,
faults, the user and the reward are those of a rollout, and equal turns give an equal reward hash.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from synthagent.errors import InputError
from synthagent.rollouts.group import Outcome, roll
from synthagent.schema.episodes import Limits
from synthagent.schema.messages import AssistantTurn, Message, Protocol, ToolCall
from synthagent.scoring.scorer import PLAIN, Scoring
from synthagent.simulation.agent import View, tools_for
from synthagent.simulation.episode import Cast, Stage
from synthagent.simulation.faults import Faults
from synthagent.simulation.response_map import Tools
from synthagent.simulation.users import User

PROTOCOL: Protocol = "tools"
"""Every wire speaks it: `ask_user` is a tool, and a message without a tool call is the final answer."""


class Over(InputError):
    """The episode has ended: there is nobody to take a turn."""


@dataclass(frozen=True, slots=True)
class Step:
    """What came of a turn."""

    messages: tuple[Message, ...]
    """What is new since the turn, to be appended to the history: tool results, or what the user says."""
    done: bool


@dataclass(frozen=True, slots=True)
class Company:
    """Everybody but the agent, and how an episode ends and is scored."""

    user: User
    limits: Limits
    tools: Tools | None = None
    faults: Faults | None = None
    scoring: Scoring = PLAIN


class Session:
    """One episode under way. `start`, then `step` until it is done, then `close`; one caller at a time.

    What the driver forgets to close is closed by `close` all the same: the episode then ends with an empty answer.
    """

    def __init__(self, stage: Stage, company: Company, *, agent: str, sample: int = 0, seed: int = 0):
        self.task = stage.task
        self.sample = sample
        self._stage, self._company, self._seed = stage, company, seed
        self._driven = _Driven(agent)
        self._playing: asyncio.Task[Outcome] | None = None
        self._seen = 0
        self.turns = 0
        """Turns that were taken."""

    @property
    def tools(self) -> list[dict[str, Any]]:
        """The tools of this task in OpenAI's form, `ask_user` among them."""
        return tools_for(self.task.brief, PROTOCOL)

    @property
    def begun(self) -> bool:
        """Whether it was started."""
        return self._playing is not None

    @property
    def done(self) -> bool:
        """Whether the episode has ended."""
        return self._playing is not None and self._playing.done()

    async def start(self) -> tuple[Message, ...]:
        """The opening: the system prompt and the instruction. Raises `Over` when it cannot even begin."""
        if self._playing is not None:
            raise Over("the session has been started already", way_out="open another one")
        company = self._company
        cast = Cast(self._driven, company.user, PROTOCOL, tools=company.tools, faults=company.faults)
        episode = roll(
            self._stage, lambda *_: cast, company.limits, self.sample, self._seed, self._driven.name, company.scoring
        )
        self._playing = asyncio.create_task(episode)
        self._playing.add_done_callback(lambda _: self._driven.wake())
        return (await self._what_is_new()).messages

    async def step(self, turn: AssistantTurn) -> Step:
        """Takes the agent's next turn. Raises `Over` after the end."""
        if self._playing is None:
            raise Over("the session has not been started")
        if self._playing.done():
            raise Over("the episode has ended", way_out="read its reward, and open another session")
        self.turns += 1
        self._seen += 1  # the turn itself becomes a message, which its author knows
        self._driven.take(turn)
        return await self._what_is_new()

    async def close(self, answer: str = "") -> Outcome:
        """The episode and its score. One that is under way ends with `answer` as the agent's last word."""
        if self._playing is None:
            await self.start()
        assert self._playing is not None
        while not self._playing.done():
            await self.step(AssistantTurn(content=answer))
        return await self._playing

    async def cancel(self) -> None:
        """Drops an episode without a score, as when its driver is gone."""
        if self._playing is not None and not self._playing.done():
            self._playing.cancel()
            await asyncio.wait([self._playing])

    def turn(self, message: Mapping[str, Any]) -> AssistantTurn:
        """A turn out of an assistant message in OpenAI's form. Raises `InputError` naming the field."""
        return turn_of(message, self.turns)

    async def _what_is_new(self) -> Step:
        assert self._playing is not None
        await self._driven.asked_or_over()
        done = self._playing.done()
        messages = self._driven.messages
        new = tuple(messages[self._seen :])
        self._seen = len(messages)
        return Step(new, done)


class _Driven:
    """The agent whose turns come from outside."""

    def __init__(self, name: str):
        self.name = name
        self.messages: Sequence[Message] = ()
        self._asked = asyncio.Event()
        self._turns: asyncio.Queue[AssistantTurn] = asyncio.Queue(1)

    async def act(self, view: View) -> AssistantTurn:
        self.messages = view.messages  # the loop goes on writing into it
        self._asked.set()
        return await self._turns.get()

    async def asked_or_over(self) -> None:
        """Returns when the episode waits for a turn, or is over: one event for both, so that a step needs no task."""
        await self._asked.wait()

    def wake(self) -> None:
        """The episode is over: nobody will ask for a turn any more."""
        self._asked.set()

    def take(self, turn: AssistantTurn) -> None:
        self._asked.clear()
        self._turns.put_nowait(turn)


_LONGEST_ID = 128


def turn_of(message: Mapping[str, Any], number: int) -> AssistantTurn:
    """The number-th turn of an episode out of an assistant message in OpenAI's form.

    Call ids are kept, and made where there are none: what arguments say is not looked at, that is the world's to do.
    Raises `InputError` naming the field: what is no message is its sender's mistake, and no turn of the agent's.
    """
    if message.get("role", "assistant") != "assistant":
        raise InputError("role: a turn is a message of the assistant")
    content = message.get("content")
    if content is not None and not isinstance(content, str):
        raise InputError("content: text or null is wanted")
    listed = message.get("tool_calls") or []
    if not isinstance(listed, list):
        raise InputError("tool_calls: a list is wanted")
    return AssistantTurn(
        content=content or "", tool_calls=tuple(_call_of(item, number, place) for place, item in enumerate(listed))
    )


def _call_of(item: Any, number: int, place: int) -> ToolCall:
    where = f"tool_calls[{place}]"
    function = item.get("function") if isinstance(item, dict) else None
    if not isinstance(function, dict):
        raise InputError(f"{where}.function: an object with name and arguments is wanted")
    name, arguments = function.get("name"), function.get("arguments", "{}")
    if not isinstance(name, str) or not isinstance(arguments, str):
        raise InputError(f"{where}.function: name and arguments are text (the arguments as JSON)")
    given = item.get("id") or f"call_{number}_{place}"
    if not isinstance(given, str) or len(given) > _LONGEST_ID:
        raise InputError(f"{where}.id: text of at most {_LONGEST_ID} characters is wanted")
    return ToolCall(id=given, name=name, arguments=arguments)
