"""From what a model wrote to the JSON object it meant. The text is hostile; nothing is evaluated, sizes are bounded.

`json_repair` is the last resort, marked as such, and never used on what a policy writes.
"""

import re
from collections.abc import Iterator
from typing import Any

import orjson

MAX_TEXT = 400_000
"""Characters that are looked at."""
_THOUGHT = re.compile(r"<think(?:ing)?>.*?(?:</think(?:ing)?>|\Z)", re.S | re.I)
_FENCE = re.compile(r"```[a-zA-Z]*\s*\n(.*?)(?:```|\Z)", re.S)
_MOST_STARTS = 40
"""Opening braces that are tried as the beginning of the object."""


class NoJson(ValueError):
    """There is no JSON object in the text; the message says what was found."""


def json_in(text: str) -> tuple[Any, bool]:
    """The JSON object (or list) in a reply, and whether it had to be mended. Raises `NoJson`."""
    if len(text) > MAX_TEXT:
        raise NoJson(f"the reply is longer than {MAX_TEXT} characters")
    plain = _THOUGHT.sub("", text).strip()
    if not plain:
        raise NoJson("the reply is empty")
    for candidate in _candidates(plain):
        value = _loaded(candidate)
        if isinstance(value, dict | list):
            return value, False
    start = min((place for mark in "{[" if (place := plain.find(mark)) >= 0), default=-1)
    if start < 0:
        raise NoJson(f"the reply holds no JSON object; it begins: {plain[:80]!r}")
    value = _mended(plain[start:])
    if isinstance(value, dict | list) and value:
        return value, True
    raise NoJson("the reply is not valid JSON")


def _candidates(text: str) -> Iterator[str]:
    """The whole text, what stands in fences, and the longest balanced object."""
    yield text
    yield from (found[1].strip() for found in _FENCE.finditer(text))
    spans = sorted(_balanced(text), key=len, reverse=True)
    yield from spans[:3]


def _balanced(text: str) -> Iterator[str]:
    """Texts from an opening brace to the one that closes it, braces within strings not counted."""
    at, tried = text.find("{"), 0
    while at >= 0 and tried < _MOST_STARTS:
        tried += 1
        end = _closing(text, at)
        if end is None:
            at = text.find("{", at + 1)
            continue
        yield text[at : end + 1]
        at = text.find("{", end + 1)


def _closing(text: str, start: int) -> int | None:
    depth, quoted, at = 0, False, start
    while at < len(text):
        letter = text[at]
        if quoted:
            if letter == "\\":
                at += 1
            elif letter == '"':
                quoted = False
        elif letter == '"':
            quoted = True
        elif letter in "{[":
            depth += 1
        elif letter in "}]":
            depth -= 1
            if depth == 0:
                return at
        at += 1
    return None


def _loaded(text: str) -> Any:
    try:
        return orjson.loads(text)
    except (orjson.JSONDecodeError, UnicodeEncodeError):
        return None


def _mended(text: str) -> Any:
    import json_repair

    try:
        value = json_repair.loads(text, skip_json_loads=True)
        orjson.dumps(value)  # it makes what no JSON may hold: halves of characters, endless numbers
        return value
    except (ValueError, RecursionError, TypeError, IndexError):  # it meets text that nobody has tried
        return None
