"""Whether two calls may be one call in other words: what code can say before, and after, a model is asked."""

import re
import unicodedata
from collections.abc import Collection
from typing import Any

import orjson

_EXACT = re.compile(r"\d+(?:[.,:/-]\d+)*")
_SHORT = 40
"""A text beyond so many characters is prose, in which an id may come and go."""


def unlike(one: str, other: str, choices: Collection[str] = ()) -> str | None:
    """The argument that keeps two calls from being the same in other words; None if a model may decide.

    `one`, `other`: arguments as canonical JSON. Numbers, truth values, the digits in short texts, and the arguments
    named in `choices` (enums) must be equal.
    """
    left, right = orjson.loads(one), orjson.loads(other)
    for name in sorted(left.keys() | right.keys()):
        mine, theirs = left.get(name), right.get(name)
        if (name in choices and mine != theirs) or not _may_be_same(mine, theirs):
            return str(name)
    return None


def folded(arguments: str) -> str:
    """Canonical arguments without what nobody means: the case of letters, and white space. Equal texts are one call."""
    return orjson.dumps(_folded(orjson.loads(arguments)), option=orjson.OPT_SORT_KEYS).decode()


def _folded(value: Any) -> Any:
    if isinstance(value, str):
        return " ".join(unicodedata.normalize("NFC", value).casefold().split())
    if isinstance(value, list):
        return [_folded(item) for item in value]
    if isinstance(value, dict):
        return {name: _folded(item) for name, item in value.items()}
    return value


def _may_be_same(one: Any, other: Any) -> bool:
    if isinstance(one, str) and isinstance(other, str):
        if max(len(one), len(other)) > _SHORT:
            return True
        return sorted(_EXACT.findall(one)) == sorted(_EXACT.findall(other))
    if isinstance(one, str) or isinstance(other, str):
        return one is None or other is None  # said by one and left out by the other: a model may know
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other)
    if isinstance(one, dict) and isinstance(other, dict):
        return all(_may_be_same(one.get(name), other.get(name)) for name in one.keys() | other.keys())
    return bool(one == other) or one is None or other is None
