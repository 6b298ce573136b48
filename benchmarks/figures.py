"""What a benchmark says: one figure, its floor, and whether it is good enough."""

import operator
import os
import platform
import sqlite3
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Literal

from synthagent import __version__

_HOLDS = {"<=": operator.le, ">=": operator.ge}


@dataclass(frozen=True)
class Target:
    """A bound on the ratio to the floor, or on the value itself where no floor applies."""

    of: Literal["ratio", "value"]
    relation: Literal["<=", ">="]
    bound: float

    def __str__(self) -> str:
        return f"{self.of} {self.relation} {self.bound:g}"


@dataclass(frozen=True)
class Figure:
    """One line of the table. `ratio` is the median over pairs of runs, not the quotient of two medians."""

    name: str
    value: float
    unit: str
    floor: float | None
    ratio: float | None
    target: Target

    @property
    def passed(self) -> bool:
        measured = self.ratio if self.target.of == "ratio" else self.value
        return measured is not None and _HOLDS[self.target.relation](measured, self.target.bound)

    def plain(self) -> dict[str, Any]:
        """As it stands in the JSON file, under its name."""
        return {
            "value": _rounded(self.value),
            "unit": self.unit,
            "floor": _rounded(self.floor),
            "ratio": _rounded(self.ratio),
            "target": str(self.target),
            "passed": self.passed,
        }


def against(name: str, unit: str, pairs: Iterable[tuple[float, float]], target: Target) -> Figure:
    """A figure from (ours, floor) pairs that were measured one right after the other."""
    pairs = list(pairs)
    ratio = median(ours / floor for ours, floor in pairs)
    return Figure(name, median(o for o, _ in pairs), unit, median(f for _, f in pairs), ratio, target)


def cpu(work: Callable[[], object]) -> float:
    """Seconds of processor time that the work takes: what others do on this machine hardly matters."""
    begun = time.process_time()
    work()
    return time.process_time() - begun


def machine() -> dict[str, Any]:
    """Where the figures come from."""
    return {
        "synthagent": __version__,
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "system": platform.system(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),
        "loop_ms": _rounded(median(cpu(_loop) for _ in range(9)) * 1e3),
    }


def _loop() -> int:
    """A million steps of plain Python: how fast the machine is just now, for whoever compares two files."""
    return sum(number * number for number in range(1_000_000))


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.4g}")
