"""JSON Schema that every server takes: the subset that OpenAI's strict mode, vLLM, SGLang, llama.cpp and Ollama share.

Sources: OpenAI's guide to structured outputs (all fields required, no open objects, local references only), the grammar
converters of xgrammar and llama.cpp (no `not`, no `patternProperties`; formats and bounds, but for those of lists,
ignored or refused).
"""

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from synthagent.schema.record import Record

_KEPT = frozenset(
    {"type", "properties", "required", "items", "enum", "anyOf", "additionalProperties", "description", "minItems",
     "maxItems"}
)  # fmt: skip
_SCALARS = frozenset({"string", "integer", "number", "boolean", "null"})
DEEPEST = 8
"""Levels of nesting (OpenAI: ten)."""
MOST_PROPERTIES = 100
"""In all objects together."""


@cache
def schema_of(kind: type[Record]) -> Mapping[str, Any]:
    """A record's JSON Schema in the portable subset: inlined, closed, every property required, descriptions kept.

    Lengths of lists stay; other bounds and patterns are left out, and checked when the record is validated here.
    Raises `ValueError` for a record that refers to itself.
    """
    whole = kind.model_json_schema(by_alias=True)
    found: Mapping[str, Any] = _plain(whole, whole.get("$defs", {}), ())
    return found


def _plain(schema: Any, definitions: Mapping[str, Any], inside: tuple[str, ...]) -> Any:
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        if name in inside:
            raise ValueError(f"{name} refers to itself, which no strict mode takes")
        return _plain({**definitions[name], **{k: v for k, v in schema.items() if k != "$ref"}}, definitions,
                      (*inside, name))  # fmt: skip
    found = {key: value for key, value in schema.items() if key in _KEPT}
    if "const" in schema:
        found["enum"] = [schema["const"]]
    if schema.get("type") == "object":
        parts = {name: _plain(part, definitions, inside) for name, part in schema.get("properties", {}).items()}
        found |= {"properties": parts, "required": list(parts), "additionalProperties": False}
    if "items" in found:
        found["items"] = _plain(found["items"], definitions, inside)
    if "anyOf" in found:
        found["anyOf"] = [_plain(part, definitions, inside) for part in found["anyOf"]]
    return found


def complaints(schema: Mapping[str, Any]) -> list[str]:
    """What keeps a schema from being portable, each as "path: what, and the way out"; none if it is."""
    found = [*_complaints(schema, "$", 0)]
    count = sum(1 for _ in _properties(schema))
    if count > MOST_PROPERTIES:
        found.append(f"$: {count} properties in all: at most {MOST_PROPERTIES}; ask for less at once")
    return found


def _properties(schema: Any) -> Iterator[str]:
    if isinstance(schema, Mapping):
        properties = schema.get("properties")
        if isinstance(properties, Mapping):
            yield from properties
        for part in schema.values():
            yield from _properties(part)
    elif isinstance(schema, list):
        for part in schema:
            yield from _properties(part)


def _complaints(schema: Any, path: str, depth: int) -> Iterator[str]:
    if not isinstance(schema, Mapping):
        yield f"{path}: not an object; write a schema"
        return
    if depth > DEEPEST:
        yield f"{path}: nested deeper than {DEEPEST} levels; flatten it"
        return
    for key in schema.keys() - _KEPT:
        yield f"{path}: '{key}' is not portable; leave it out and check it after validation"
    kind = schema.get("type")
    if "anyOf" in schema:
        parts = schema["anyOf"]
        if not all(isinstance(p, Mapping) and (p.get("type") in _SCALARS or p.get("type") == "object") for p in parts):
            yield f"{path}: anyOf holds something else than scalars, null and objects; give it a type"
        for number, part in enumerate(parts):
            yield from _complaints(part, f"{path}.anyOf.{number}", depth + 1)
        return
    if isinstance(kind, list) or (kind is None and "enum" not in schema):
        yield f"{path}: no single type; give one, or use anyOf"
    if "enum" in schema and not all(isinstance(value, str) for value in schema["enum"]):
        yield f"{path}: enum holds something else than text; use text"
    if kind == "array":
        if "items" not in schema:
            yield f"{path}: an array without items; say what it holds"
        else:
            yield from _complaints(schema["items"], f"{path}.items", depth + 1)
    if kind == "object":
        yield from _object_complaints(schema, path, depth)


def _object_complaints(schema: Mapping[str, Any], path: str, depth: int) -> Iterator[str]:
    properties = schema.get("properties", {})
    if schema.get("additionalProperties") is not False:
        yield f"{path}: an open object; name its properties and close it"
    missing = [name for name in properties if name not in schema.get("required", ())]
    if missing:
        yield f"{path}: {', '.join(missing)} may be left out; require every property"
    for name, part in properties.items():
        yield from _complaints(part, f"{path}.{name}", depth + 1)


def portably(schema: Any) -> dict[str, Any]:
    """A schema of somebody else's, as near to the portable subset as it gets: `complaints` says what is left.

    Stricter than the original, never looser in what is kept: objects are closed and all their properties required. What
    is dropped (bounds, patterns) is for the original to check.
    """
    if not isinstance(schema, Mapping):
        return {}
    found = {key: value for key, value in schema.items() if key in _KEPT}
    kinds = found.get("type")
    if isinstance(kinds, list):
        rest = {key: value for key, value in found.items() if key not in ("type", "description")}
        told = {"description": found["description"]} if "description" in found else {}
        return {
            "anyOf": [portably({**rest, "type": kind} if kind != "null" else {"type": kind}) for kind in kinds]
        } | told
    if isinstance(found.get("properties"), Mapping):
        parts = {name: portably(part) for name, part in found["properties"].items()}
        found |= {"type": "object", "properties": parts, "required": list(parts), "additionalProperties": False}
    if "items" in found:
        found["items"] = portably(found["items"])
    if isinstance(found.get("anyOf"), list):
        found["anyOf"] = [portably(part) for part in found["anyOf"]]
    return found
