"""What the rest of SynthAgent knows about a language model: one request, one reply, and how it fails.

Everything that answers chats is a `ChatModel`; behaviour is added by wrapping (`retried`, `paced`, ...).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from synthagent.errors import ModelFailed
from synthagent.schema.messages import Message, ToolCall, Usage


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """One question to a model. None and empty mean: leave it to the server's default."""

    messages: Sequence[Message]
    """The history in OpenAI's form, oldest first. Never changed by a model; may be shared between requests."""
    tools: Sequence[Mapping[str, Any]] | None = None
    """OpenAI tool objects (`type`, `function`) without our own extra keys."""
    temperature: float | None = None
    max_tokens: int | None = None
    """Longest reply, in tokens."""
    seed: int | None = None
    stop: Sequence[str] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Further fields of the request's body, sent as they are: `top_p`, `response_format`, ..."""
    sample: int = 0
    """Which draw of the same question this is: a part of a cache's key, never sent."""
    stage: str = ""
    """What the call is for (`scenario`, `world`, ...), in ledgers and recordings; never sent."""
    about: str = ""
    """Whom or which episode it is asked for, in recordings; never sent, and no part of a cache's key."""


@dataclass(frozen=True, slots=True)
class ChatReply:
    """One answer, as the model wrote it: nothing mended."""

    content: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    """Ids are the server's, or `call_<n>` where it gave none: unique within a conversation only if the server's are."""
    finish_reason: str = "stop"
    """`stop`, `tool_calls`, `length`, ...; empty if the server did not say."""
    usage: Usage = field(default_factory=Usage)
    cached: bool = False
    """It comes out of a cache: its tokens were paid for when it was made."""


class ChatModel(Protocol):
    """Anything that answers chats."""

    @property
    def name(self) -> str:
        """How the model is called in reports and recordings."""
        ...

    async def complete(self, request: ChatRequest) -> ChatReply:
        """The model's answer. Raises `ModelFailed` with a `reason`; `ContextOverflow` is one."""
        ...

    async def aclose(self) -> None:
        """Gives up connections. Harmless when repeated."""
        ...


class TransientFailure(ModelFailed):
    """A failure that may pass: rate limits, overload, lost connections, time-outs. `retried` tries these again."""

    def __init__(self, message: str, *, reason: str, retry_after: float | None = None, overloaded: bool = False):
        super().__init__(message, reason=reason)
        self.retry_after = retry_after
        """Seconds that the server asked us to wait; None if it did not."""
        self.overloaded = overloaded
        """The server is asked for more than it can do: the limiter should send less."""


class ContextOverflow(ModelFailed):
    """The conversation no longer fits the model's window: whoever wrote that much failed, not the infrastructure.

    `blame` is inherited from `ModelFailed`; the episode that catches this decides whose failure it is.
    """

    def __init__(self, message: str):
        super().__init__(message, reason="context_length")
