"""Whether a reply says what it was to say: in other words, but not in none of its own. Pure and lexical."""

from synthagent.simulation.topics import content_stems, stems_of
from synthagent.simulation.values import reading

_EMPTY = frozenset("not even oh ther whil pleas over doe but yes no well too one".split())
"""Stems that go with anything, on top of those that the ears pass over."""


def conveys(text: str, line: str, before: str = "") -> bool:
    """Whether a text holds a value or the stem of a word of the line.

    `before`: what both have heard by then. Its words tell nothing, unless the line consists of them.
    """
    if not line.strip():
        return True
    wanted, known, got = reading(line), reading(before), reading(text)
    for mine, theirs, there in (
        (wanted.dates, known.dates, got.dates),
        (wanted.times, known.times, got.times),
        (wanted.numbers, known.numbers, got.numbers),
    ):
        if (mine - theirs) & there:
            return True
    stems = set(content_stems(line)) - _EMPTY
    if not stems:  # a line of words that say little: any of them will do
        return bool(set(stems_of(line)) & set(stems_of(text)))
    telling = stems - set(content_stems(before)) or stems
    return bool(telling & set(content_stems(text)))
