"""What happened: an episode is an ordered list of events, and everything a score needs is in it."""

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import Field

from synthagent.errors import Blame
from synthagent.schema.messages import Protocol, ToolCall, Usage
from synthagent.schema.record import Record


class Stop(StrEnum):
    """Why an episode ended."""

    USER_DONE = "user_done"
    AGENT_FINAL = "agent_final"
    TRANSFERRED = "transferred"
    TURN_LIMIT = "turn_limit"
    TOKEN_LIMIT = "token_limit"
    MALFORMED_LIMIT = "malformed_limit"
    ERROR_LIMIT = "error_limit"
    TIME_LIMIT = "time_limit"
    FAILED = "failed"


class Limits(Record):
    """When an episode is cut. All limits but that of time are scored as they stand."""

    turns: int = Field(default=40, ge=1)
    """Assistant messages (paper: 16; composed tasks take more). Screening plays under the same limit."""
    tokens: int = Field(default=13_000, ge=1)
    """Response tokens, summed over turns (paper: 13,000)."""
    malformed: int = Field(default=5, ge=1)
    """Malformed calls and turns."""
    errors: int | None = Field(default=None, ge=1)
    """Tool calls that fail, malformed ones included; unset: no limit."""
    seconds: float = Field(default=600.0, gt=0)
    """Wall-clock time."""


class AgentEvent(Record):
    """One assistant turn."""

    kind: Literal["agent"] = "agent"
    text: str = ""
    calls: tuple[ToolCall, ...] = ()
    answer: str | None = None
    """What the agent means as its last word (protocols `tools` and `tags`)."""
    truncated: bool = False
    """The model hit the limit of one turn."""
    usage: Usage = Usage()
    seconds: float = 0.0


class UserEvent(Record):
    """What the user answered."""

    kind: Literal["user"] = "user"
    message: str
    """What the agent said to the user."""
    text: str
    """What the user answered."""
    heard: str = "other"
    """How the user took the message it answers: question, confirmation, refusal, claim_done or other."""
    disclosed: tuple[str, ...] = ()
    """Ids of facts that this reply gave away."""
    asked: tuple[str, ...] = ()
    """Those of them (or the follow-up request) that the message had asked for."""
    agreed: bool = False
    """The reply says yes to a confirmation."""
    done: bool = False
    findings: tuple[str, ...] = ()
    """A user that is a model: what was wrong with its first answer, each as "kind: detail"."""
    seconds: float = 0.0


class ToolEvent(Record):
    """One tool call and its answer."""

    kind: Literal["tool"] = "tool"
    call_id: str
    tool: str
    arguments: dict[str, Any] | None = None
    """As validated and typed; None when they could not be read."""
    ok: bool
    error: str | None = None
    """unknown_tool, bad_arguments, precondition, limit or malformed, or the `fault`; None when the call succeeded.

    raised: the agent's own code did.
    """
    response: str
    """The exact text that the agent got."""
    changed: bool = False
    """A row changed, or a simulated write succeeded."""
    entry_id: str | None = None
    """Simulated tools: the response map's entry. Services: a hash of the call and its response."""
    alias_of: str | None = None
    """The entry whose answer that entry repeats; None for one of its own. A search: the entry with its hits."""
    fault: Literal["timeout", "rate_limit", "partial_result"] | None = None
    """A failure that was injected on purpose."""
    seconds: float = 0.0


class FormEvent(Record):
    """A malformed turn or call and the error it was answered with."""

    kind: Literal["form"] = "form"
    error: str


Event = Annotated[AgentEvent | UserEvent | ToolEvent | FormEvent, Field(discriminator="kind")]


class Failure(Record):
    """Why an episode could not be played to an end."""

    blame: Blame
    reason: str
    detail: str = ""


class Episode(Record):
    """One agent, one task, one try."""

    task_id: str
    sample: int = 0
    """Which of the group's n tries."""
    agent: str
    user: str = "facts"
    protocol: Protocol = "text"
    seed: int = 0
    events: tuple[Event, ...] = ()
    stop: Stop
    failure: Failure | None = None
    malformed: int = 0
    turns: int = 0
    usage: Usage = Usage()
    digest: str = ""
    """Of the final state."""
    seconds: float = 0.0
    started: float = 0.0
    """Unix time; the only field besides `seconds` that may differ between two identical episodes."""
