"""How much two texts share: word n-grams, and near-duplicates by MinHash.

Source: Broder, *On the resemblance and containment of documents* (1997). Our own few lines and not a library's: what
counts as a duplicate must not change with a library's version, and every hash here is the same on every machine.
"""

import hashlib
import re
from array import array
from collections.abc import Iterable, Iterator
from functools import cache
from itertools import islice

from synthagent.schema.tasks import Task

_WORD = re.compile(r"[^\W_]+")
_BANDS, _ROWS = 20, 4
"""A pair at 0.8 is a candidate with probability 1 - (1 - 0.8^4)^20, more than 0.99999; one at 0.2 with 0.03."""
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
        self._keys: list[str] = []
        self._sets: list[array[int]] = []
        """As arrays: eight bytes a feature and not fifty."""
        self._bands: dict[int, int | list[int]] = {}
        """Band -> the one set that has it, as nearly always, or several."""

    def nearest(self, found: frozenset[int]) -> tuple[str, float] | None:
        """(key, similarity) of the most similar set at or above the threshold; None if there is none."""
        alike = ((jaccard(found, frozenset(self._sets[place])), self._keys[place]) for place in self._places(found))
        best = max(alike, default=(0.0, ""))
        return (best[1], best[0]) if best[0] >= self.threshold and best[1] else None

    def candidates(self, found: frozenset[int]) -> set[str]:
        """Keys of the sets that share a band with this one: nearly all that are alike, and a few that are not."""
        return {self._keys[place] for place in self._places(found)}

    def add(self, key: str, found: frozenset[int]) -> None:
        """Remembers a set."""
        place = len(self._keys)
        self._keys.append(key)
        self._sets.append(array("Q", sorted(found)))
        for band in _bands(found):
            there = self._bands.setdefault(band, place)
            if isinstance(there, list):
                there.append(place)
            elif there != place:
                self._bands[band] = [there, place]

    def _places(self, found: frozenset[int]) -> set[int]:
        places: set[int] = set()
        for band in _bands(found):
            there = self._bands.get(band, ())
            places.update((there,) if isinstance(there, int) else there)
        return places


def _bands(found: frozenset[int]) -> Iterator[int]:
    """The bands of a set's signature, hashed with their numbers."""
    if not found:
        return
    lowest = iter([min((a * value + b) % _PRIME for value in found) for a, b in _permutations()])
    for number in range(_BANDS):
        yield hashed(map(str, (number, *islice(lowest, _ROWS))))


@cache
def _permutations() -> tuple[tuple[int, int], ...]:
    """One a row: a linear map modulo a prime, drawn once and for all."""
    return tuple(
        (1 + hashed(("a", str(number))) % (_PRIME - 1), hashed(("b", str(number))) % _PRIME)
        for number in range(_BANDS * _ROWS)
    )
