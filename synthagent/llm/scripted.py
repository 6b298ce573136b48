"""A model that says what it was told to: the double for tests, demonstrations and dry runs. No network, no patches."""

import dataclasses
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeAlias

import orjson

from synthagent.errors import InputError
from synthagent.llm.model import ChatReply, ChatRequest
from synthagent.schema.messages import ToolCall

Reply: TypeAlias = ChatReply | str | Exception
"""What a script holds: a whole reply, its text, or a failure to raise."""
Answer: TypeAlias = Callable[[ChatRequest], Reply | Awaitable[Reply]]


class Scripted:
    """A `ChatModel` that answers from a list, in order, or from a function of the request, plain or async.

    `requests` holds what it was asked. Raises the exceptions of the script, and `InputError` once a list is used up:
    a script that is too short is a mistake of its author, not a failure of a model.
    """

    def __init__(self, replies: Iterable[Reply] | Answer, name: str = "scripted"):
        self.name = name
        self.requests: list[ChatRequest] = []
        self.closed = False
        self._answer: Answer = replies if callable(replies) else _in_order(replies, name)

    async def complete(self, request: ChatRequest) -> ChatReply:
        """The script's next reply."""
        # Callers grow their history in place; what was asked is what it was then.
        self.requests.append(dataclasses.replace(request, messages=list(request.messages)))
        reply = self._answer(request)
        if isinstance(reply, Awaitable):
            reply = await reply
        if isinstance(reply, Exception):
            raise reply
        return ChatReply(content=reply) if isinstance(reply, str) else reply

    async def aclose(self) -> None:
        """Notes that it was closed."""
        self.closed = True


def calling(*calls: tuple[str, Any], content: str = "") -> ChatReply:
    """A reply with tool calls, each a name and its arguments: JSON data, or text that is passed on as it is."""
    return ChatReply(
        content=content,
        finish_reason="tool_calls",
        tool_calls=tuple(
            ToolCall(id=f"call_{n}", name=name, arguments=_text(arguments)) for n, (name, arguments) in enumerate(calls)
        ),
    )


def _text(arguments: Any) -> str:
    return arguments if isinstance(arguments, str) else orjson.dumps(arguments).decode()


def _in_order(replies: Iterable[Reply], name: str) -> Answer:
    left = iter(tuple(replies))

    def answer(_: ChatRequest) -> Reply:
        try:
            return next(left)
        except StopIteration:
            raise InputError("the script has no reply left", where=name, way_out="add one") from None

    return answer
