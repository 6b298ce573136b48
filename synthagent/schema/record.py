"""The base of every record: frozen, closed, documented field by field; and canonical JSON with content ids."""

import hashlib
from typing import Any

import orjson
import rfc8785
from pydantic import BaseModel, ConfigDict

Json = Any
"""A JSON value: None, bool, int, float, str, list or dict of them."""


class Record(BaseModel):
    """A value: frozen, with no room for unknown fields."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
        serialize_by_alias=True,
        validate_by_alias=True,
        validate_by_name=True,
    )


def canonical(value: Json) -> bytes:
    """Canonical JSON (RFC 8785) as UTF-8 bytes: equal values give equal bytes, on every machine.

    Raises `ValueError` for NaN, infinities and integers beyond 2**53, which RFC 8785 cannot carry.
    """
    # For values without floats and with ASCII keys orjson writes the same bytes, in a fortieth of the time.
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS) if _simple(value) else rfc8785.dumps(value)


def _simple(value: Json) -> bool:
    waiting = [value]
    for item in waiting:  # it grows meanwhile
        kind = type(item)
        if kind is dict:
            if not all(type(key) is str and key.isascii() for key in item):
                return False
            waiting += [part for part in item.values() if type(part) not in _SIMPLE]
        elif kind is list:
            waiting += [part for part in item if type(part) not in _SIMPLE]
        elif kind is int:
            if not -_LARGEST <= item <= _LARGEST:
                return False
        elif kind not in _SIMPLE:
            return False
    return True


_SIMPLE = frozenset({str, bool, type(None)})
_LARGEST = 2**53 - 1
"""RFC 8785 carries integers as doubles."""


def content_id(value: Json) -> str:
    """The first 16 hex digits of SHA-256 over canonical JSON."""
    return hashlib.sha256(canonical(value)).hexdigest()[:16]


def dump(record: Record) -> Json:
    """A record as plain JSON data; fields that were left at their defaults are left out."""
    return record.model_dump(mode="json", exclude_defaults=True)


def line(value: Json) -> bytes:
    """One JSONL line, newline included."""
    return orjson.dumps(value, option=orjson.OPT_APPEND_NEWLINE)
