"""Whether two calls may be one call in other words: what code can say before, and after, a model is asked."""

import re
import unicodedata
from collections.abc import Collection
from typing import Any

import orjson

_TOKEN = re.compile(r"[^\W_]+(?:[-_.,:/@][^\W_]+)*")
_ORDINAL = re.compile(r"(?<=\d)(?:st|nd|rd|th)$")
_JOINT = re.compile(r"(?<=[^\W\d_])[-_](?=\d)|(?<=\d)[-_](?=[^\W\d_])")


def unlike(one: str, other: str, choices: Collection[str] = ()) -> str | None:
    """The argument that keeps two calls from being the same in other words; None if a model may decide.

    `one`, `other`: arguments as canonical JSON. Numbers, truth values, and the numbers and ids within texts must be
    equal and come in the same order; lists must be alike item by item; the arguments named in `choices` (enums) must
    be the very same.
    """
    left, right = orjson.loads(one), orjson.loads(other)
    for name in sorted(left.keys() | right.keys()):
        mine, theirs = left.get(name), right.get(name)
        alike = same_json(mine, theirs) if name in choices else _may_be_same_or_unsaid(mine, theirs)
        if not alike:
            return str(name)
    return None


def folded(arguments: str, choices: Collection[str] = ()) -> str:
    """Canonical arguments without what nobody means: the case of letters, and white space. Equal texts are one call.

    The arguments named in `choices` (enums) stay as they are.
    """
    read = orjson.loads(arguments)
    found = {name: value if name in choices else _folded(value) for name, value in read.items()}
    return orjson.dumps(found, option=orjson.OPT_SORT_KEYS).decode()


def same_json(one: Any, other: Any) -> bool:
    """Whether two JSON values are one value: 1 is 1.0, and never `true`."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same_json, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same_json(value, other[name]) for name, value in one.items())
    return bool(one == other)


def _folded(value: Any) -> Any:
    if isinstance(value, str):
        return " ".join(unicodedata.normalize("NFC", value).casefold().split())
    if isinstance(value, list):
        return [_folded(item) for item in value]
    if isinstance(value, dict):
        return {name: _folded(item) for name, item in value.items()}
    return value


def _may_be_same_or_unsaid(one: Any, other: Any) -> bool:
    """As `_may_be_same`; what is said by one and left out by the other, a model may know."""
    return one is None or other is None or _may_be_same(one, other)


def _may_be_same(one: Any, other: Any) -> bool:
    if isinstance(one, str) and isinstance(other, str):
        return _exact(one) == _exact(other)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_may_be_same, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        names = one.keys() | other.keys()
        return all(_may_be_same_or_unsaid(one.get(name), other.get(name)) for name in names)
    return same_json(one, other)


def _exact(text: str) -> list[str]:
    """Numbers, dates and ids of a text, in order: its words that hold a digit, "M-1" and "m1" alike."""
    words = _TOKEN.findall(unicodedata.normalize("NFKC", text).casefold())
    return [_ORDINAL.sub("", _JOINT.sub("", word)) for word in words if any(letter.isdigit() for letter in word)]
