"""From a domain's short forms to tools and programs as a task file holds them."""

from collections.abc import Sequence
from typing import Any

from synthagent.schema.tasks import Function, Require, Return, Run, Step, Tool
from synthagent.synthesis.procedural.domain import Domain, ToolSpec

TRANSFER = "transfer_to_human"
_FORMATS = {"date": "date", "datetime": "date-time"}


def schema_of(short: Any) -> dict[str, Any]:
    """`string`, `date`, `time`, `integer`, `[a, b]` (enum) or JSON Schema itself -> JSON Schema."""
    if isinstance(short, list):
        return {"type": "string", "enum": short}
    if isinstance(short, dict):
        return {key: value for key, value in short.items() if key != "prose"}
    if short in _FORMATS:
        return {"type": "string", "format": _FORMATS[short]}
    if short == "time":
        return {"type": "string", "pattern": "^[0-2][0-9]:[0-5][0-9]$", "description": "HH:MM"}
    return {"type": short}


def parameters_of(spec: ToolSpec) -> dict[str, Any]:
    """The parameter schema; a name that ends in `?` is optional."""
    properties = {name.rstrip("?"): schema_of(short) for name, short in spec.parameters.items()}
    required = [name for name in spec.parameters if not name.endswith("?")]
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def prose_of(spec: ToolSpec) -> set[str]:
    """Parameters that take free text."""
    return {
        name.rstrip("?") for name, short in spec.parameters.items() if isinstance(short, dict) and short.get("prose")
    }


def outputs_of(short: Any) -> tuple[dict[str, Any], str]:
    """(JSON Schema of the result, shape): a list of one mapping is rows, a mapping one row, a word one value."""
    if isinstance(short, list):
        item, _ = outputs_of(short[0])
        return {"type": "array", "items": item}, "rows" if isinstance(short[0], dict) else "column"
    if isinstance(short, dict):
        properties = {name: {"type": kind} for name, kind in short.items()}
        return {"type": "object", "properties": properties, "required": list(short)}, "row"
    return {"type": short}, "value"


def columns_of(spec: ToolSpec) -> list[str]:
    """The names in one row of the result."""
    item = spec.outputs[0] if isinstance(spec.outputs, list) else spec.outputs
    return list(item) if isinstance(item, dict) else []


def tool_of(domain: Domain, name: str) -> Tool:
    """One tool as the agent sees it."""
    if name == TRANSFER:
        return _transfer(domain)
    spec = domain.tools[name]
    return Tool(
        function=Function(name=name, description=spec.description, parameters=parameters_of(spec)),
        outputs=outputs_of(spec.outputs)[0],
        effect=spec.effect,
    )


def program_of(domain: Domain, name: str) -> tuple[Step, ...]:
    """One tool's guarded SQL."""
    if name == TRANSFER:
        return (Return(query="SELECT 1 AS transferred", shape="row"),)
    spec = domain.tools[name]
    shape: Any = outputs_of(spec.outputs)[1]
    steps: list[Step] = []
    for step in spec.program:
        if "require" in step:
            steps.append(Require(require=step["require"], otherwise=step["else"]))
        elif "run" in step:
            steps.append(Run(run=step["run"]))
        else:
            steps.append(Return(query=step["return"], shape=shape))
    return tuple(steps)


def toolset(domain: Domain, names: Sequence[str]) -> tuple[Tool, ...]:
    return tuple(tool_of(domain, name) for name in names)


def _transfer(domain: Domain) -> Tool:
    return Tool(
        function=Function(
            name=TRANSFER,
            description=f"Hand the conversation over to {domain.staff}. This ends it.",
            parameters={
                "type": "object",
                "properties": {"summary": {"type": "string"}},
                "required": ["summary"],
                "additionalProperties": False,
            },
        ),
        outputs={"type": "object", "properties": {"transferred": {"type": "boolean"}}},
        effect="write",
    )
