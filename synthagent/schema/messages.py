"""What passes between an agent and the world: one assistant turn, and the history in OpenAI's chat form."""

from typing import Any, Literal

from synthagent.schema.record import Record

Message = dict[str, Any]
"""A chat message in OpenAI's form: `role`, `content`, and `tool_calls` or `tool_call_id` where they belong."""

Protocol = Literal["text", "tools", "tags"]
"""How an agent speaks with the user: see `synthagent.simulation.agent`."""


class ToolCall(Record):
    """A tool call as the model wrote it."""

    id: str
    """Unique within the episode."""
    name: str
    arguments: str
    """The raw JSON text: what is wrong with it is the world's to say, not the parser's to mend."""


class Usage(Record):
    """Tokens of one or many model calls."""

    prompt: int = 0
    """Tokens read."""
    completion: int = 0
    """Tokens written."""

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(prompt=self.prompt + other.prompt, completion=self.completion + other.completion)


class AssistantTurn(Record):
    """One assistant message: text, tool calls, both, or neither."""

    content: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    malformed: tuple[str, ...] = ()
    """Calls that could not even be read as calls, each with what was wrong; answered with that error and counted."""
    usage: Usage = Usage()
    truncated: bool = False
    """The model hit its own length limit in this turn."""
