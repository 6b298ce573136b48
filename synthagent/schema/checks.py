"""The check language: pure functions of an episode's record, written as data.

A check is an object with exactly one key, its operator. What each operator means is in `synthagent.scoring.checks`.
"""

import difflib
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from synthagent.schema.record import Record


class CallPattern(Record):
    """Which calls count: the tool, arguments that must be equal, and a SQL condition over the arguments."""

    tool: str
    args: dict[str, Any] = {}
    """Arguments that must match: ids, enums, numbers and dates by value; text by `mentions`."""
    mentions: dict[str, tuple[str, ...]] = {}
    """Text arguments and the values each must contain."""
    where: str | None = None
    """SQL that returns a row for a call that counts; `:argument` is bound, `base` is the initial state."""
    attempted: bool = False
    """Count failed calls too."""


class Changed(Record):
    """One row that may differ from the initial state."""

    table: str
    key: dict[str, Any] = {}
    """Column values that name the row; empty: rows that are new (inserted during the episode)."""
    columns: tuple[str, ...] = ()
    """Columns that may differ; empty: any."""


class UnchangedSpec(Record):
    """Tables that must equal the initial state, but for the named rows and columns."""

    tables: tuple[str, ...] = ()
    """Empty: every table."""
    exempt: tuple[Changed, ...] = Field(default=(), alias="except")


class SaidSpec(Record):
    """A value that the agent told the user, taken from a tool's result."""

    value: Any = None
    """The value itself; or give `tool` and `path`."""
    tool: str | None = None
    """Take the value from a successful result of this tool before the message."""
    path: str = ""
    """Dotted path into that result."""


class DeclinedSpec(Record):
    """What was declined."""

    tool: str | None = None
    """The action declined: it must not succeed afterwards."""
    mentions: tuple[Any, ...] = ()
    """Values of which the refusal (or the transfer's summary) must contain at least one."""


class ConfirmedSpec(Record):
    """Which action the user had to agree to."""

    tool: str
    args: tuple[str, ...] = ()
    """Names of the arguments whose values the agent had to name; empty: every argument but ids it looked up."""
    values: tuple[Any, ...] = ()
    """Further values that the question had to hold, such as the title behind an id."""


AnswerKind = Literal["math", "text"]
"""`math`: answers are compared as mathematics. `text`: word for word, then by a judge."""


class AnswerSpec(Record):
    """What a final answer is compared with."""

    gold: str = Field(min_length=1)
    """The right answer."""
    kind: AnswerKind = "math"


class State(Record):
    """SQL over the final state (`base`: the initial one) whose first value must be true."""

    state: str


class Unchanged(Record):
    """Nothing but the named rows and columns differs from the initial state. Never a sub-goal alone."""

    unchanged: UnchangedSpec


class Called(Record):
    """A matching tool call succeeded."""

    called: CallPattern


class NotCalled(Record):
    """No matching tool call succeeded. Never a sub-goal alone."""

    not_called: CallPattern


class Asked(Record):
    """The fact (or follow-up request) with this id was disclosed in reply to a message that asked for it."""

    asked: str


class Said(Record):
    """A message to the user holds a value that came from a tool, not from the brief or the user."""

    said: SaidSpec | str | int | float


class Declined(Record):
    """A message to the user that `heard` calls a refusal, or a transfer."""

    declined: DeclinedSpec


class Confirmed(Record):
    """Every successful call of the tool was named to the user, who agreed, with no write in between."""

    confirmed: ConfirmedSpec


class Answered(Record):
    """The agent's final answer is right."""

    answer: AnswerSpec


class Before(Record):
    """The first check became true before the last proof of the second."""

    before: "tuple[Check, Check]"


class All(Record):
    """Every one holds."""

    all: "tuple[Check, ...]" = Field(min_length=1)


class AnyOf(Record):
    """At least one holds."""

    any: "tuple[Check, ...]" = Field(min_length=1)


class Not(Record):
    """The check does not hold."""

    negated: "Check" = Field(alias="not")


OPERATORS: dict[str, type[Record]] = {
    "state": State,
    "unchanged": Unchanged,
    "called": Called,
    "not_called": NotCalled,
    "asked": Asked,
    "said": Said,
    "declined": Declined,
    "confirmed": Confirmed,
    "answer": Answered,
    "before": Before,
    "all": All,
    "any": AnyOf,
    "not": Not,
}


def operator_of(value: Any) -> str:
    """The operator of a check, given as data or as a record. Raises `ValueError` with a suggestion otherwise."""
    for name, kind in OPERATORS.items():
        if isinstance(value, kind):
            return name
    if not isinstance(value, dict) or len(value) != 1:
        raise ValueError("a check is an object with exactly one key, its operator")
    name = next(iter(value))
    if name not in OPERATORS:
        near = difflib.get_close_matches(str(name), OPERATORS, n=1)
        hint = f", did you mean '{near[0]}'?" if near else f"; known: {', '.join(OPERATORS)}"
        raise ValueError(f"unknown check operator '{name}'{hint}")
    return str(name)


def operator(value: Any) -> str | None:
    """The operator, or None for what is not a check."""
    try:
        return operator_of(value)
    except ValueError:
        return None  # pydantic names the place; the loader adds what `operator_of` has to say


Check = Annotated[
    Annotated[State, Tag("state")]
    | Annotated[Unchanged, Tag("unchanged")]
    | Annotated[Called, Tag("called")]
    | Annotated[NotCalled, Tag("not_called")]
    | Annotated[Asked, Tag("asked")]
    | Annotated[Said, Tag("said")]
    | Annotated[Declined, Tag("declined")]
    | Annotated[Confirmed, Tag("confirmed")]
    | Annotated[Answered, Tag("answer")]
    | Annotated[Before, Tag("before")]
    | Annotated[All, Tag("all")]
    | Annotated[AnyOf, Tag("any")]
    | Annotated[Not, Tag("not")],
    Discriminator(operator),
]

for _kind in (Before, All, AnyOf, Not):
    _kind.model_rebuild()
