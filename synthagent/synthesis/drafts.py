"""What a teacher writes, in shapes a small model can fill: flat, few, scalar. Turned into a task's own records here.

Tolerant in, strict out: a type may be spelt as in Python or SQL, and what can be left out has a default, though the
schema that a server gets requires every field; what comes out is valid JSON Schema.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from synthagent.schema.record import Record
from synthagent.schema.tasks import Function, Tool

Kind = Literal["string", "integer", "number", "boolean", "date", "time", "list"]
"""What an argument or an output can be; `date` is YYYY-MM-DD, `time` is HH:MM, `list` is a list of strings."""

_KINDS: dict[str, Kind] = {
    **dict.fromkeys(("str", "text", "varchar", "char", "uuid", "id", "enum"), "string"),
    **dict.fromkeys(("int", "bigint", "long", "cents"), "integer"),
    **dict.fromkeys(("float", "double", "real", "decimal", "numeric"), "number"),
    **dict.fromkeys(("bool",), "boolean"),
    **dict.fromkeys(("array", "array of strings", "list of strings", "string[]", "list[str]", "tuple"), "list"),
}


def _kind(value: Any) -> Any:
    if isinstance(value, str):
        value = value.strip().lower()
        return _KINDS.get(value, value)
    return value


def snake(text: str) -> str:
    """A name in lower_snake_case: what dots, dashes, spaces and camelCase become."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", text.strip())
    return re.sub(r"\W+", "_", spaced, flags=re.ASCII).strip("_").lower()[:64]


def _snaked(value: Any) -> Any:
    return snake(value) if isinstance(value, str) else value


Name = Annotated[str, BeforeValidator(_snaked)]
"""A name in lower_snake_case."""
Scalar = str | int | float | bool | None


class Parameter(Record):
    """One argument of a tool."""

    name: Name
    """lower_snake_case"""
    type: Annotated[Kind, BeforeValidator(_kind)]
    description: str = ""
    """What it is, with its format."""
    required: bool = True
    choices: tuple[str, ...] = ()
    """The only values it may take; empty if any."""


class Output(Record):
    """One field of what a tool gives back."""

    name: Name
    """lower_snake_case"""
    type: Annotated[Kind, BeforeValidator(_kind)]
    description: str = ""


class ToolDraft(Record):
    """One tool."""

    name: Name
    """lower_snake_case, a verb first"""
    category: str = ""
    """look-up, search, booking, payment, messaging, ..."""
    description: str
    """One sentence: what it does."""
    effect: Literal["read", "write"]
    """write: it changes something"""
    parameters: tuple[Parameter, ...] = Field(default=(), max_length=8)
    returns: Literal["record", "list"]
    """list: any number of records"""
    outputs: tuple[Output, ...] = Field(min_length=1, max_length=6)
    """The fields of a record: one to four"""


class Rule(Record):
    """What a tool must not be used for."""

    tool: Name
    must_not: str
    """Goes after "must not be used to"."""
    because: str
    """Goes after "because"."""


def rule_text(rule: Rule) -> str:
    """The restriction as the agent reads it."""
    must_not = rule.must_not.strip().rstrip(".").removeprefix("to ")
    because = rule.because.strip().rstrip(".").removeprefix("because ")
    return f"{rule.tool} must NOT be used to {must_not}, because {because}."


def tool_of(draft: ToolDraft) -> Tool:
    """The draft as a tool of a task."""
    parameters = {
        "type": "object",
        "properties": {p.name: _schema(p.type, p.description, p.choices) for p in draft.parameters},
        "required": [p.name for p in draft.parameters if p.required],
        "additionalProperties": False,
    }
    record = {
        "type": "object",
        "properties": {o.name: _nullable(_schema(o.type, o.description)) for o in draft.outputs},
    }
    return Tool(
        function=Function(name=draft.name, description=draft.description, parameters=parameters),
        outputs={"type": "array", "items": record} if draft.returns == "list" else record,
        effect=draft.effect,
    )


def _schema(kind: Kind, description: str, choices: Sequence[str] = ()) -> dict[str, Any]:
    found: dict[str, Any] = {"type": {"date": "string", "time": "string", "list": "array"}.get(kind, kind)}
    if kind == "list":
        found["items"] = {"type": "string"}
    if kind == "date":
        found["format"] = "date"
    if description:
        found["description"] = description
    if choices and kind == "string":
        found["enum"] = list(choices)
    return found


def _nullable(schema: dict[str, Any]) -> dict[str, Any]:
    """A result may lack a value: a column can be empty."""
    return {**{k: v for k, v in schema.items() if k != "format"}, "type": [schema["type"], "null"]}


def tool_faults(tools: Sequence[ToolDraft]) -> Iterator[str]:
    """What keeps drafted tools from being tools, in words for their author."""
    names = [tool.name for tool in tools]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield f"two tools are called '{name}'"
    for tool in tools:
        if not re.fullmatch(r"[a-z][a-z0-9_]{2,63}", tool.name):
            yield f"'{tool.name}' is no tool name: write lower_snake_case, a verb first"
        if tool.name.startswith("transfer_to_") or tool.name in ("ask_user", "ask"):
            yield f"'{tool.name}' is there already: leave it out"
        fields = [p.name for p in tool.parameters]
        outputs = [o.name for o in tool.outputs]
        for name in sorted({n for n in fields if fields.count(n) > 1} | {n for n in outputs if outputs.count(n) > 1}):
            yield f"{tool.name}: '{name}' occurs twice"
        if any(not re.fullmatch(r"[a-z][a-z0-9_]{0,63}", name) for name in (*fields, *outputs)):
            yield f"{tool.name}: every parameter and output needs a lower_snake_case name"
