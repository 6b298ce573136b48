"""Tool schemas as they come in the wild -> valid JSON Schema, and a note of every change.

`dict`, `float` and other names of types from Python and SQL, dotted names, keywords of draft 4 (boolean
`exclusiveMinimum`, `required: true` on a property), bare parameter maps, Anthropic's and MCP's forms. Total on JSON
data: whatever comes in, a closed schema comes out or an `InputError` says where it is none.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from synthagent.errors import InputError
from synthagent.schema.tasks import Function, Tool
from synthagent.simulation.arguments import Schema

Note = Callable[[str], None]
"""Takes one change, as "path: what -> what"."""

_TYPES = {
    **dict.fromkeys(("str", "text", "varchar", "char", "uuid", "date", "datetime", "time", "enum", "url"), "string"),
    **dict.fromkeys(("int", "long", "bigint", "int32", "int64", "short"), "integer"),
    **dict.fromkeys(("float", "double", "decimal", "numeric", "real", "num"), "number"),
    **dict.fromkeys(("bool",), "boolean"),
    **dict.fromkeys(("list", "tuple", "set", "array"), "array"),
    **dict.fromkeys(("dict", "map", "mapping", "json", "struct", "hash"), "object"),
    **dict.fromkeys(("none", "nonetype", "nil"), "null"),
}  # fmt: skip
_VALID = frozenset({"string", "integer", "number", "boolean", "array", "object", "null"})
_ANY = frozenset({"any", "mixed", "unknown", ""})
_MOST_DEPTH = 24
_NAME = re.compile(r"[^A-Za-z0-9_-]+")
_SCHEMA_KEYS = frozenset(
    {"type", "properties", "items", "enum", "anyOf", "oneOf", "allOf", "$ref", "description", "const"}
)


def normalise_tool(data: Any, where: str = "tool", effect: str | None = None) -> tuple[Tool, list[str]]:
    """A tool in any of the usual forms -> ours, and what was changed.

    Takes OpenAI's form (with or without its `function` wrapper), Anthropic's (`input_schema`) and MCP's (`inputSchema`,
    `outputSchema`). `effect`: read or write where the data does not say; guessed from the name if None.
    Raises `InputError` for what has no name or no usable schema.
    """
    notes: list[str] = []
    if not isinstance(data, Mapping):
        raise InputError("a tool is an object", where=where)
    inner = data["function"] if isinstance(data.get("function"), Mapping) else data
    raw = inner.get("name")
    if not isinstance(raw, str) or not _NAME.sub("", raw):
        raise InputError("name: missing", where=where)
    name = tool_name(raw)
    if name != raw:
        notes.append(f"name: {raw!r} -> {name!r}")
    taken = next((key for key in ("parameters", "input_schema", "inputSchema", "arguments") if key in inner), None)
    if taken not in (None, "parameters"):
        notes.append(f"{taken} -> parameters")
    parameters, changes = normalise_schema(inner.get(taken) if taken else {}, closed=True, where=f"{where}.{name}")
    notes += [f"parameters{change}" for change in changes]
    given: Any = next((o for o in (_outputs(inner), _outputs(data)) if o is not None), {})
    outputs, changes = normalise_schema(given, where=f"{where}.{name}.outputs") if given else ({}, [])
    notes += [f"outputs{change}" for change in changes]
    said = data.get("effect", inner.get("effect"))
    function = Function(name=name, description=str(inner.get("description") or ""), parameters=parameters)
    chosen = said if said in ("read", "write") else effect or effect_of(name)
    return Tool(function=function, outputs=outputs, effect=chosen), notes


def _outputs(data: Mapping[str, Any]) -> Any:
    return next((data[key] for key in ("outputs", "output_schema", "outputSchema", "returns") if key in data), None)


def tool_name(raw: str) -> str:
    """A name that function calling takes: dots, spaces and the like become underscores, at most 64 letters."""
    name = _NAME.sub("_", raw.strip()).strip("_-") or "tool"
    return (name if name[0].isalpha() or name[0] == "_" else f"_{name}")[:64]


def effect_of(name: str) -> str:
    """Whether a tool reads or writes, by the verb in its name."""
    first = name.lower().split("_")[0]
    reads = ("get", "list", "find", "search", "look", "lookup", "check", "read", "fetch", "query", "show", "view",
             "verify", "validate", "calculate", "estimate", "retrieve", "count", "compare", "analyze", "analyse",
             "describe", "authenticate", "track")  # fmt: skip
    return "read" if first in reads else "write"


def normalise_schema(schema: Any, *, closed: bool = False, where: str = "schema") -> tuple[dict[str, Any], list[str]]:
    """A schema as valid JSON Schema of an object's parameters, and what was changed, each as ".path: what -> what".

    `closed`: the object takes no further properties. Idempotent: what came out goes through unchanged, with no note.
    Raises `InputError` when it does not compile even so.
    """
    notes: list[str] = []
    found = _object(schema, "", notes.append, closed)
    try:
        Schema(found)
    except ValueError as error:
        raise InputError(f"no JSON Schema: {error}", where=where) from error
    return found, notes


def _object(schema: Any, path: str, note: Note, closed: bool) -> dict[str, Any]:
    """The top of a schema: always an object's."""
    if not isinstance(schema, Mapping):
        if schema not in (None, [], ""):
            note(f"{path}: {type(schema).__name__} -> an object without properties")
        schema = {"type": "object", "properties": {}}
    if "type" not in schema and "properties" not in schema and not (schema.keys() & _SCHEMA_KEYS - {"description"}):
        note(f"{path}: a bare map of parameters -> an object's properties")
        schema = {"type": "object", "properties": {k: v for k, v in schema.items() if k not in ("required",)},
                  **({"required": schema["required"]} if isinstance(schema.get("required"), list) else {})}  # fmt: skip
    found = _schema(schema, path, note, 0)
    if found.get("type") == "array" and not closed:
        return found
    if found.get("type") != "object":
        note(f"{path}.type: {found.get('type')!r} -> 'object'")
        found = {**found, "type": "object"}
    found.setdefault("properties", {})
    if closed and found.get("additionalProperties") is not False:
        found["additionalProperties"] = False
    return found


def _schema(schema: Any, path: str, note: Note, depth: int) -> dict[str, Any]:
    if depth > _MOST_DEPTH:
        raise InputError(f"nested deeper than {_MOST_DEPTH} levels", where=path or "schema")
    if isinstance(schema, str):
        note(f"{path}: {schema!r} -> a type")
        schema = {"type": schema}
    if not isinstance(schema, Mapping):
        if schema is not True:
            note(f"{path}: {type(schema).__name__} -> anything")
        return {}
    for _ in range(_MOST_DEPTH):
        if not isinstance(schema.get("type"), Mapping):
            break
        note(f"{path}.type: an object -> the schema itself")
        schema = {**schema["type"], **{key: value for key, value in schema.items() if key != "type"}}
    found = {str(key): value for key, value in schema.items() if key not in ("id", "$schema", "optional", "nullable")}
    _drop_draft4(found, path, note)
    _type(found, schema, path, note)
    if isinstance(found.get("enum"), str):
        note(f"{path}.enum: text -> a list")
        found["enum"] = [part.strip() for part in re.split(r"[|,]", found["enum"]) if part.strip()]
    if "enum" in found and not (isinstance(found["enum"], list) and found["enum"]):
        note(f"{path}.enum: {found.pop('enum')!r} -> left out")
    _properties(found, path, note, depth)
    _items(found, path, note, depth)
    for key in ("anyOf", "oneOf", "allOf"):
        if key in found:
            parts = found[key]
            if isinstance(parts, list) and parts:
                found[key] = [_schema(part, f"{path}.{key}.{n}", note, depth + 1) for n, part in enumerate(parts)]
            else:
                note(f"{path}.{key}: {type(found.pop(key)).__name__} -> left out")
    if not isinstance(found.get("description", ""), str):
        note(f"{path}.description: {type(found['description']).__name__} -> text")
        found["description"] = str(found["description"])
    return {key: value for key, value in found.items() if _sound(key, value, path, note)}


_NUMBERS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")
_COUNTS = ("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties")


def _sound(key: str, value: Any, path: str, note: Note) -> bool:
    """Whether a keyword's value is of its kind; what is not goes."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    good = True
    if key in _NUMBERS:
        good = number and (key != "multipleOf" or value > 0)
    elif key in _COUNTS:
        good = number and value >= 0 and float(value).is_integer()
    elif key in ("pattern", "format", "title", "$ref", "$id"):
        good = isinstance(value, str) and key not in ("$ref", "$id")
    elif key in ("definitions", "$defs", "patternProperties", "dependencies", "if", "then", "else", "not", "contains"):
        good = False
    if not good:
        note(f"{path}.{key}: left out")
    return good


def _drop_draft4(found: dict[str, Any], path: str, note: Note) -> None:
    for exclusive, plain in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        flag = found.get(exclusive)
        if isinstance(flag, bool):
            del found[exclusive]
            if flag and plain in found:
                found[exclusive] = found.pop(plain)
            note(f"{path}.{exclusive}: draft 4's {flag} -> a number")
    if isinstance(found.get("required"), bool):
        del found["required"]  # its parent has taken note of it
    if isinstance(found.get("additionalProperties"), str):
        note(f"{path}.additionalProperties: text -> left out")
        del found["additionalProperties"]


def _type(found: dict[str, Any], schema: Mapping[str, Any], path: str, note: Note) -> None:
    kind = found.get("type")
    many = kind if isinstance(kind, list) else [kind] if kind is not None else []
    named: list[str] = []
    for one in many:
        plain = _plain_type(one)
        if plain is None:
            note(f"{path}.type: {one!r} -> left out")
        elif plain not in named:
            named.append(plain)
            if plain != one:
                note(f"{path}.type: {one!r} -> {plain!r}")
    if schema.get("nullable") is True and named and "null" not in named:
        named.append("null")
        note(f"{path}.nullable: true -> null is a type")
    if "optional" in schema or schema.get("nullable") is False:
        note(f"{path}: 'optional' or 'nullable' -> left out")
    if named:
        found["type"] = named if len(named) > 1 else named[0]
    else:
        found.pop("type", None)


def _plain_type(kind: Any) -> str | None:
    if not isinstance(kind, str):
        return None
    word = re.split(r"[\[<( |]", kind.strip().lower())[0]
    if word in _VALID:
        return word
    return None if word in _ANY else _TYPES.get(word)


def _properties(found: dict[str, Any], path: str, note: Note, depth: int) -> None:
    properties = found.get("properties")
    if properties is None and found.get("type") != "object":
        if "required" in found:
            note(f"{path}.required: left out, there are no properties")
            del found["required"]
        return
    if isinstance(properties, list):
        note(f"{path}.properties: a list -> a map")
        properties = {p["name"]: {k: v for k, v in p.items() if k != "name"} for p in properties
                      if isinstance(p, Mapping) and isinstance(p.get("name"), str)}  # fmt: skip
    if not isinstance(properties, Mapping):
        if properties is not None:
            note(f"{path}.properties: {type(properties).__name__} -> none")
        properties = {}
    required = (
        [r for r in found.get("required", ()) if isinstance(r, str)] if isinstance(found.get("required"), list) else []
    )
    if "required" in found and required != found["required"]:
        note(f"{path}.required: not a list of names -> a list of names")
    for name, part in properties.items():
        if isinstance(part, Mapping) and part.get("required") is True and name not in required:
            required.append(str(name))
            note(f"{path}.{name}.required: draft 3's true -> in the object's list")
    known = [name for name in dict.fromkeys(required) if name in properties]
    if known != required:
        note(f"{path}.required: {sorted(set(required) - set(known))} -> left out, there is no such property")
    found["properties"] = {str(n): _schema(part, f"{path}.{n}", note, depth + 1) for n, part in properties.items()}
    found.pop("required", None)
    if known:
        found["required"] = known
    more = found.get("additionalProperties")
    if isinstance(more, Mapping):
        found["additionalProperties"] = _schema(more, f"{path}.additionalProperties", note, depth + 1)
    elif more is not None and not isinstance(more, bool):
        note(f"{path}.additionalProperties: {type(more).__name__} -> left out")
        del found["additionalProperties"]


def _items(found: dict[str, Any], path: str, note: Note, depth: int) -> None:
    items = found.get("items")
    if isinstance(items, list):
        note(f"{path}.items: one schema a place -> one schema for all")
        items = items[0] if items else {}
    if items is not None:
        found["items"] = _schema(items, f"{path}.items", note, depth + 1)
    for key in ("additionalItems", "prefixItems"):
        if key in found:
            note(f"{path}.{key}: left out")
            del found[key]
