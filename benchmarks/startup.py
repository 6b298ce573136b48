"""How long the command line takes to say what it can do."""

import sys
from collections.abc import Iterator

from benchmarks.figures import Figure, Target
from benchmarks.floors import python_alone, wall

REPEATS = 9


def help_() -> Iterator[Figure]:
    """`synthagent --help`, wall time, against an interpreter that does nothing. The fastest of several counts."""
    command = [sys.executable, "-m", "synthagent.cli.main", "--help"]
    pairs = [(wall(command), python_alone()) for _ in range(REPEATS)]
    ours, floor = min(o for o, _ in pairs), min(f for _, f in pairs)
    yield Figure("help", ours, "s", floor, ours / floor, Target("value", "<=", 0.3))
