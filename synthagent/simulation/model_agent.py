"""An agent that is a language model."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from synthagent.llm.model import ChatModel, ChatReply, ChatRequest
from synthagent.schema.messages import AssistantTurn, Message, ToolCall
from synthagent.simulation.agent import ToolForm, View, from_hermes, from_json, to_hermes, to_json, tools_for


@dataclass(frozen=True, slots=True)
class Sampling:
    """How a model is asked for its turns."""

    temperature: float | None = 0.7
    max_tokens: int | None = 1024
    """Longest turn, in tokens."""
    extra: dict[str, Any] = field(default_factory=dict)
    """Further fields of the request."""


class ModelAgent:
    """Asks a `ChatModel` for every turn. One instance an episode; `seed` makes its samples repeatable."""

    def __init__(
        self, model: ChatModel, name: str, form: ToolForm, sampling: Sampling, seed: int, episode: str = ""
    ):  # fmt: skip
        """`episode`: see `episode_name`; under it and the turn's number recordings keep each exchange."""
        self.name, self._episode = name, episode
        self._model, self._form, self._sampling, self._seed = model, form, sampling, seed
        self._tools: list[dict[str, Any]] | None = None

    async def act(self, view: View) -> AssistantTurn:
        """The model's turn. Raises `ModelFailed`, `ContextOverflow`."""
        number = sum(message["role"] == "assistant" for message in view.messages)
        request = ChatRequest(
            messages=as_told(view.messages, self._form),
            tools=self._native_tools(view),
            temperature=self._sampling.temperature,
            max_tokens=self._sampling.max_tokens,
            seed=(self._seed + number) % 2**31,
            extra=self._sampling.extra,
            about=f"{self._episode}|{number}" if self._episode else "",
        )
        reply = await self._model.complete(request)
        return turn_of(reply, self._form, number)

    def _native_tools(self, view: View) -> list[dict[str, Any]] | None:
        if self._form == "native" and self._tools is None:
            self._tools = tools_for(view.brief, view.protocol) or None  # endpoints refuse an empty list
        return self._tools


def episode_name(agent: str, task_id: str, sample: int) -> str:
    """How a recording names an episode; a turn is this, `|` and its number from 0."""
    return f"{agent}|{task_id}|{sample}"


def as_told(messages: Sequence[Message], form: ToolForm) -> list[Message]:
    """A history in the form in which the model is told of tools."""
    match form:
        case "hermes" | "compact":
            return to_hermes(messages)
        case "json":
            return to_json(messages)
        case "native":
            return list(messages)


def turn_of(reply: ChatReply, form: ToolForm, number: int) -> AssistantTurn:
    """A model's reply as a turn. Call ids are made unique within the episode: servers repeat them."""
    content, calls, malformed = reply.content, reply.tool_calls, ()  # type: str, tuple[ToolCall, ...], tuple[str, ...]
    if form in ("hermes", "compact") or (not calls and "<tool_call>" in content):
        content, written, malformed = from_hermes(content, number)
        calls = (*calls, *written)
    if form == "json" and not calls:
        content, calls = from_json(content, number)
    unique = tuple(
        ToolCall(id=f"call_{number}_{place}", name=call.name, arguments=call.arguments)
        for place, call in enumerate(calls)
    )
    return AssistantTurn(
        content=content,
        tool_calls=unique,
        malformed=malformed,
        usage=reply.usage,
        truncated=reply.finish_reason == "length",
    )


def sampling_seed(seed: int, task_id: str, sample: int) -> int:
    """The seed of one episode: the same in every process, another for every task and sample."""
    digest = hashlib.sha256(f"{seed}/{task_id}/{sample}".encode()).digest()
    return int.from_bytes(digest[:4], "big") // 2
