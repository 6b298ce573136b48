"""How different the tasks of a set are: words, tools, and how near the nearest neighbour is.

Distinct-n: Li et al. 2016. Vendi score: Friedman and Dieng 2023, the exponential of the entropy of a similarity
matrix's eigenvalues: the number of tasks that would be as diverse if they had nothing in common.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from synthagent.errors import InputError
from synthagent.schema.tasks import CallStep, Task
from synthagent.synthesis.overlap import NearDuplicates, features, grams, hashed, jaccard, words

DIMENSIONS = 512
"""Of the space that instructions are hashed into: the kernel's matrix is never larger."""
CLOSE = 0.8
"""Jaccard similarity from which two tasks count as alike."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Two tasks that are alike."""

    one: str
    two: str
    similarity: float


def distinct_n(tasks: Sequence[Task], most: int = 3) -> dict[str, float]:
    """For n = 1 to `most`: distinct runs of n words over all runs, of the instructions."""
    found = {}
    for n in range(1, most + 1):
        counted = Counter(gram for task in tasks for gram in grams(task.brief.instruction, n) if len(gram) == n)
        total = counted.total()
        found[str(n)] = round(len(counted) / total, 4) if total else 0.0
    return found


def vendi(texts: Sequence[str]) -> float:
    """Vendi score of texts under the cosine of their hashed words and word pairs, weighted by tf-idf.

    Between 1 (all the same) and the smaller of the number of texts and `DIMENSIONS`, since there are no more
    directions than that. Raises `InputError` without numpy.
    """
    try:
        import numpy
    except ImportError as error:
        raise InputError("the Vendi score needs numpy", way_out="pip install 'synthagent[audit]'") from error
    rows = [Counter(hashed(gram) % DIMENSIONS for n in (1, 2) for gram in grams(text, n)) for text in texts]
    spread = Counter(place for row in rows for place in row)
    matrix = numpy.zeros((len(rows), DIMENSIONS))
    for number, row in enumerate(rows):
        for place, count in row.items():
            matrix[number, place] = (1 + math.log(count)) * math.log((1 + len(rows)) / spread[place])
    lengths = numpy.linalg.norm(matrix, axis=1, keepdims=True)
    matrix = numpy.divide(matrix, lengths, out=numpy.zeros_like(matrix), where=lengths > 0)
    # The eigenvalues of X Xᵀ / n are those of Xᵀ X / n, which does not grow with the number of tasks.
    values = numpy.linalg.eigvalsh(matrix.T @ matrix / max(1, len(rows)))
    values = values[values > 1e-12]
    total = float(values.sum())
    if not total:
        return 1.0
    shares = values / total
    return float(numpy.exp(-(shares * numpy.log(shares)).sum()))


def tool_sequences(tasks: Sequence[Task]) -> dict[str, Any]:
    """Distinct sequences of tools in the references, the commonest one's share, distinct sets of tools."""
    sequences = Counter(tuple(s.call for s in task.reference if isinstance(s, CallStep)) for task in tasks)
    sets = Counter(tuple(sorted(tool.name for tool in task.brief.tools)) for task in tasks)
    tools = {tool.name for task in tasks for tool in task.brief.tools}
    return {
        "distinct": len(sequences),
        "commonest_share": round(max(sequences.values(), default=0) / max(1, len(tasks)), 4),
        "distinct_toolsets": len(sets),
        "commonest_toolset_share": round(max(sets.values(), default=0) / max(1, len(tasks)), 4),
        "tools": len(tools),
    }


def nearest(tasks: Sequence[Task], shown: int = 5) -> dict[str, Any]:
    """How alike each task is to the nearest of another family that is alike at all; twins do not count.

    Neighbours below half are not looked for: `half` and `close` are shares of tasks with one at or above 0.5 and 0.8.
    """
    found = NearDuplicates(0.5)
    best: dict[str, float] = {}
    pairs: list[Pair] = []
    sets = {task.family: features(task) for task in tasks}
    members = Counter(task.family for task in tasks)
    for family, own in sets.items():
        for other in found.candidates(own):
            alike = jaccard(own, sets[other])
            if alike >= 0.5:
                pairs.append(Pair(other, family, round(alike, 4)))
                for name in (family, other):
                    best[name] = max(best.get(name, 0.0), alike)
        found.add(family, own)
    pairs.sort(key=lambda pair: (-pair.similarity, pair.one, pair.two))
    total = max(1, members.total())
    return {
        "half": round(sum(members[name] for name, alike in best.items() if alike >= 0.5) / total, 4),
        "close": round(sum(members[name] for name, alike in best.items() if alike >= CLOSE) / total, 4),
        "pairs": [{"one": pair.one, "two": pair.two, "similarity": pair.similarity} for pair in pairs[:shown]],
    }


def average_words(tasks: Sequence[Task]) -> float:
    """Words of an instruction, on average."""
    return round(sum(len(words(task.brief.instruction)) for task in tasks) / max(1, len(tasks)), 2)
