"""Exchanges with a model, kept as data and played back: a run that was paid for once can be looked at for ever."""

import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterable
from typing import Any

from pydantic import ValidationError

from synthagent.errors import InputError, ModelFailed
from synthagent.llm.caching import key_of
from synthagent.llm.model import ChatModel, ChatReply, ChatRequest, ContextOverflow
from synthagent.schema.messages import Message, ToolCall, Usage
from synthagent.schema.record import Record


class Exchange(Record):
    """One question and what came of it."""

    key: str
    """Of the request, by content; see `caching.key_of`. Of the model's name, but not its address."""
    model: str
    stage: str = ""
    about: str = ""
    """Whom it was asked for: the number of a persona or job; in a run `AGENT|TASK|SAMPLE|TURN`."""
    messages: tuple[Message, ...]
    parameters: dict[str, Any] = {}
    """temperature, max_tokens, seed, stop, tools, sample and further fields of the request, where given."""
    content: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    finish_reason: str = ""
    usage: Usage = Usage()
    failure: str = ""
    """The reason of a `ModelFailed`; empty if there was an answer."""
    detail: str = ""
    """Its text."""
    seconds: float = 0.0


def recorded(
    model: ChatModel, sink: Callable[[Exchange], None], *, clock: Callable[[], float] = time.monotonic
) -> "Recorded":
    """The same model; every exchange goes to `sink` as soon as it is over."""
    return Recorded(model, sink, clock)


class Recorded:
    """See `recorded`."""

    def __init__(self, model: ChatModel, sink: Callable[[Exchange], None], clock: Callable[[], float]):
        self.name = model.name
        self._model, self._sink, self._clock = model, sink, clock

    async def complete(self, request: ChatRequest) -> ChatReply:
        """The model's answer or failure, recorded."""
        begun = self._clock()
        messages = tuple(request.messages)
        try:
            reply = await self._model.complete(request)
        except ModelFailed as error:
            self._sink(
                self._exchange(request, messages, begun).model_copy(
                    update={"failure": error.reason, "detail": str(error)}
                )
            )
            raise
        answer = {
            "content": reply.content,
            "tool_calls": reply.tool_calls,
            "finish_reason": reply.finish_reason,
            "usage": reply.usage,
        }
        self._sink(self._exchange(request, messages, begun).model_copy(update=answer))
        return reply

    async def aclose(self) -> None:
        """Closes the model."""
        await self._model.aclose()

    def _exchange(self, request: ChatRequest, messages: tuple[Message, ...], begun: float) -> Exchange:
        given = {
            "temperature": request.temperature, "max_tokens": request.max_tokens, "seed": request.seed,
            "stop": list(request.stop) or None, "tools": list(request.tools) if request.tools else None,
            "sample": request.sample or None, **request.extra,
        }  # fmt: skip
        return Exchange(
            key=key_of(self.name, "", request),
            model=self.name,
            stage=request.stage,
            about=request.about,
            messages=messages,
            parameters={name: value for name, value in given.items() if value is not None},
            seconds=round(self._clock() - begun, 6),
        )


class Replayed:
    """A model that answers as it did when it was recorded: the k-th equal request gets the k-th answer.

    Raises `ModelFailed` or `ContextOverflow` where one was recorded, and `InputError` for what was never asked, or not
    so often.
    """

    def __init__(self, exchanges: Iterable[Exchange], name: str):
        self.name = name
        self._left: dict[str, deque[Exchange]] = defaultdict(deque)
        for exchange in exchanges:
            self._left[exchange.key].append(exchange)

    async def complete(self, request: ChatRequest) -> ChatReply:
        """The recorded answer."""
        waiting = self._left.get(key_of(self.name, "", request))
        if not waiting:
            raise InputError(
                f"the recording holds no (further) answer to this request of stage '{request.stage}'",
                where=self.name,
                way_out="record again: prompts or settings differ from those of the recording",
            )
        found = waiting.popleft()
        if found.failure == "context_length":
            # A class of its own: whoever plays an episode counts it as the agent's doing.
            raise ContextOverflow(found.detail)
        if found.failure:
            raise ModelFailed(found.detail, reason=found.failure)
        return ChatReply(found.content, found.tool_calls, found.finish_reason, found.usage)

    async def aclose(self) -> None:
        """Nothing to close."""


def exchanges(lines: Iterable[Any], where: str) -> Iterable[Exchange]:
    """Decoded lines of a recording as records. Raises `InputError` naming file, line and field."""
    for number, line in enumerate(lines, start=1):
        try:
            yield Exchange.model_validate(line)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            field = ".".join(str(part) for part in first["loc"])
            raise InputError(f"{field}: {first['msg']}", where=f"{where}:{number}") from error
