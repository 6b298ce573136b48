"""How much two texts share: word n-grams, and near-duplicates by MinHash.

Source: Broder, *On the resemblance and containment of documents* (1997). Our own few lines and not a library's: what
counts as a duplicate must not change with a library's version, and every hash here is the same on every machine.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator
from functools import cache
from itertools import islice

from synthagent.schema.tasks import Task

_WORD = re.compile(r"[^\W_]+")
_BANDS, _ROWS = 24, 4
"""A pair at 0.8 is a candidate with probability 1 - (1 - 0.8^4)^24, more than 0.999999; one at 0.2 with 0.04."""
_PRIME = (1 << 61) - 1


def words(text: str) -> list[str]:
    """Words and numbers, lower case: letters and digits of any script."""
    return _WORD.findall(text.casefold())


def grams(text: str, n: int) -> Iterator[tuple[str, ...]]:
    """Runs of n words, in order; a text of fewer words is one run."""
    found = words(text)
    for start in range(max(1, len(found) - n + 1)) if found else ():
        yield tuple(found[start : start + n])


def hashed(parts: Iterable[str]) -> int:
    """64 bits of a sequence of words, the same everywhere."""
    return int.from_bytes(hashlib.blake2b("\x1f".join(parts).encode(), digest_size=8).digest(), "big")


def features(task: Task) -> frozenset[int]:
    """What a task is compared by: runs of three words of the instruction, and what its tools take.

    The hand-over to a human, which every task has, is left out.
    """
    found = {hashed(("say", *gram)) for gram in grams(task.brief.instruction, 3)}
    for tool in task.brief.tools:
        if tool.name not in task.world.ends_episode:
            found.add(hashed(("tool", tool.name)))
            found |= {hashed(("takes", tool.name, name)) for name in tool.function.parameters.get("properties", {})}
    return frozenset(found)


def jaccard(one: frozenset[int], two: frozenset[int]) -> float:
    """Shared over all; 0 for two empty sets."""
    return len(one & two) / len(one | two) if one or two else 0.0


class NearDuplicates:
    """Finds the nearest of what was added. Candidates come from MinHash bands; similarities are exact."""

    def __init__(self, threshold: float = 0.8):
        self.threshold = threshold
        self._sets: dict[str, frozenset[int]] = {}
        self._bands: dict[tuple[int, int], list[str]] = {}

    def nearest(self, found: frozenset[int]) -> tuple[str, float] | None:
        """(key, similarity) of the most similar set at or above the threshold; None if there is none."""
        best = max(((jaccard(found, self._sets[key]), key) for key in self.candidates(found)), default=(0.0, ""))
        return (best[1], best[0]) if best[0] >= self.threshold and best[1] else None

    def candidates(self, found: frozenset[int]) -> set[str]:
        """Keys of the sets that share a band with this one: nearly all that are alike, and a few that are not."""
        return {key for band in _bands(found) for key in self._bands.get(band, ())}

    def add(self, key: str, found: frozenset[int]) -> None:
        """Remembers a set."""
        self._sets[key] = found
        for band in _bands(found):
            self._bands.setdefault(band, []).append(key)


def _bands(found: frozenset[int]) -> Iterator[tuple[int, int]]:
    """The bands of a set's signature, each as (number, hash)."""
    if not found:
        return
    lowest = iter([min((a * value + b) % _PRIME for value in found) for a, b in _permutations()])
    for number in range(_BANDS):
        rows = tuple(islice(lowest, _ROWS))
        yield number, hashed(map(str, rows))


@cache
def _permutations() -> tuple[tuple[int, int], ...]:
    """One a row: a linear map modulo a prime, drawn once and for all."""
    return tuple(
        (1 + hashed(("a", str(number))) % (_PRIME - 1), hashed(("b", str(number))) % _PRIME)
        for number in range(_BANDS * _ROWS)
    )
