"""From the rows of a query to the result of a tool, in the shape and the types that the tool declares."""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from synthagent.simulation.arguments import kinds_of


def shaped(shape: str, names: Sequence[str], rows: list[tuple[Any, ...]], restore: Mapping[str, Any]) -> Any:
    """Rows of a query -> the tool's result."""
    if shape in ("column", "value"):
        back = restore.get("", _as_it_is)
        values = [None if row[0] is None else back(row[0]) for row in (rows if shape == "column" else rows[:1])]
        return values if shape == "column" else (values[0] if values else None)
    objects = [dict(zip(names, row, strict=True)) for row in (rows if shape == "rows" else rows[:1])]
    if restore:
        for item in objects:
            for name, back in restore.items():
                if item.get(name) is not None:
                    item[name] = back(item[name])
    return objects if shape == "rows" else (objects[0] if objects else None)


def restorers(outputs: Mapping[str, Any]) -> dict[str, Any]:
    """Columns that the output schema calls boolean, array or object, and how to get them back from SQL's types.

    The empty name stands for the one column of the shapes `value` and `column`.
    """
    item = outputs.get("items", outputs) if "array" in kinds_of(outputs) else outputs
    columns = item.get("properties") or {"": item} if isinstance(item, Mapping) else {}
    found: dict[str, Any] = {}
    for name, schema in columns.items():
        kinds = kinds_of(schema)
        if "boolean" in kinds:
            found[name] = bool
        elif "array" in kinds or "object" in kinds:
            found[name] = orjson.loads
    return found


def _as_it_is(value: Any) -> Any:
    return value
