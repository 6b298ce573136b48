"""Arguments of a tool call: read, checked against the tool's schema, and typed for SQL.

Hostile input: raw text of any size and shape comes in, and either a dict that can be bound or `BadArguments` goes out.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any

import jsonschema_rs
import orjson

from synthagent.schema.record import Json, canonical

MAX_ARGUMENT_BYTES = 64 * 1024
MAX_DEPTH = 64
"""How deep arrays and objects may be nested: far beyond any tool, and far below what breaks a JSON library."""


class BadArguments(Exception):
    """`kind` is `malformed` (not JSON), `limit` (too large) or `bad_arguments`; the text names the path."""

    def __init__(self, message: str, kind: str = "bad_arguments"):
        self.kind = kind
        super().__init__(message)


class Schema:
    """A compiled JSON Schema that fetches nothing and whose patterns run in linear time."""

    def __init__(self, schema: Mapping[str, Any]):
        """Raises `ValueError` when the schema itself is not valid."""
        self._validator = _compiled(orjson.dumps(schema))

    def accepts(self, value: Json) -> bool:
        return bool(self._validator.is_valid(value))

    def complaint(self, value: Json) -> str | None:
        """The first violation as "path: message", or None."""
        for error in self._validator.iter_errors(value):
            path = ".".join(str(part) for part in error.instance_path)
            return _short(f"{path}: {error.message}" if path else error.message)
        return None


@lru_cache(maxsize=4096)
def _compiled(schema: bytes) -> Any:
    try:
        return jsonschema_rs.validator_for(
            orjson.loads(schema),
            validate_formats=True,
            retriever=_refuse,
            pattern_options=jsonschema_rs.RegexOptions(),
        )
    except Exception as error:  # jsonschema_rs raises ValidationError, ReferencingError and ValueError
        raise ValueError(_short(str(error))) from error


def _refuse(uri: str) -> Any:
    raise ValueError(f"schemas may not refer to {uri}")


def parse(raw: str) -> dict[str, Any]:
    """Raw argument text -> a JSON object. Raises `BadArguments`."""
    if len(raw) > MAX_ARGUMENT_BYTES:
        raise BadArguments(f"the arguments are longer than {MAX_ARGUMENT_BYTES} bytes", "limit")
    try:
        value = orjson.loads(raw or "{}")
    except (orjson.JSONDecodeError, UnicodeEncodeError) as error:
        raise BadArguments(f"the arguments are not JSON: {_short(str(error))}", "malformed") from error
    if not isinstance(value, dict):
        raise BadArguments("the arguments are not a JSON object", "malformed")
    if max(raw.count("["), raw.count("{")) > MAX_DEPTH // 2 and deeper_than(value, MAX_DEPTH):
        raise BadArguments(f"the arguments are nested deeper than {MAX_DEPTH} levels", "limit")
    return value


def deeper_than(value: Json, most: int) -> bool:
    """Whether arrays and objects are nested in more than so many levels."""
    level = [value]
    for _ in range(most):
        level = [item for one in level if isinstance(one, dict | list) for item in _children(one)]
    return any(isinstance(one, dict | list) for one in level)


def _children(value: dict[str, Json] | list[Json]) -> Iterable[Json]:
    return value.values() if isinstance(value, dict) else value


def canonical_text(value: Json) -> str:
    """Canonical JSON; with integers beyond 2**53, which RFC 8785 cannot carry but a column can, written out."""
    try:
        return canonical(value).decode()
    except ValueError:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()


def check_storable(value: Json) -> None:
    """Raises `BadArguments` for what SQLite or JSON cannot hold: huge integers, NaN, lone surrogates, NUL."""
    waiting = [value]
    for item in waiting:  # it grows meanwhile
        kind = type(item)
        if kind is dict:
            waiting += item
            waiting += item.values()
        elif kind is list or kind is tuple:
            waiting += item
        elif _unstorable(item):
            _complain(value, "")


def _unstorable(item: Json) -> str:
    """What is wrong with a scalar; empty when nothing is."""
    kind = type(item)
    if kind is str:
        if "\0" in item:
            return "NUL in text"
        return "" if item.isascii() or _is_unicode(item) else "a lone surrogate in text"
    if kind is int:
        return "" if -(2**63) <= item < 2**63 else "the integer does not fit into 64 bits"
    if kind is float:
        if not math.isfinite(item):
            return "NaN and infinities are not numbers"
        return "the integer does not fit into 64 bits" if item.is_integer() and abs(item) >= 2**63 else ""
    return "" if kind is bool or item is None else "not a JSON value"


def _complain(value: Json, path: str) -> None:
    """Raises `BadArguments` with the path of what cannot be stored."""
    if isinstance(value, dict):
        parts: Iterable[tuple[str, Json]] = value.items()
    elif isinstance(value, list | tuple):
        parts = ((str(index), item) for index, item in enumerate(value))
    else:
        wrong = _unstorable(value)
        if wrong:
            raise BadArguments(f"{path}: {wrong}" if path else wrong)
        return
    for name, item in parts:
        wrong = _unstorable(name)
        if wrong:
            raise BadArguments(f"{path}: {wrong}" if path else wrong)
        _complain(item, f"{path}.{name}" if path else name)


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def binder(parameters: Mapping[str, Any]) -> Callable[[Mapping[str, Any]], tuple[dict[str, Any], dict[str, Any]]]:
    """For a tool's parameter schema: valid arguments -> (typed arguments for the record, values for SQL).

    An absent parameter is bound as NULL; 1.0 for an integer becomes 1; arrays and objects become canonical JSON text.
    """
    properties: dict[str, Any] = parameters.get("properties", {})
    integers = {name for name, schema in properties.items() if "integer" in kinds_of(schema)}
    empty = dict.fromkeys(properties)

    def bind(arguments: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        typed: dict[str, Any] = {}
        bound = empty.copy()
        for name, value in arguments.items():
            kept = int(value) if isinstance(value, float) and value.is_integer() and name in integers else value
            typed[name] = kept
            bound[name] = canonical_text(kept) if isinstance(kept, list | dict) else kept
        return typed, bound

    return bind


def kinds_of(schema: Any) -> tuple[str, ...]:
    """The types a schema names; none for a schema that names none."""
    kinds = schema.get("type", ()) if isinstance(schema, Mapping) else ()
    return (kinds,) if isinstance(kinds, str) else tuple(kinds)


def _short(text: str, most: int = 300) -> str:
    return text if len(text) <= most else text[: most - 3] + "..."
