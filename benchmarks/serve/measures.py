"""What a client measures of a server, whatever it speaks: phases, latencies, and one record of it all."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import fmean, median, quantiles

from benchmarks.serve.processes import cpu_seconds, megabytes
from benchmarks.serve.scripts import STEPS


class Wrong(Exception):
    """An answer is not what was to be answered: what was measured would be another thing."""


@dataclass(slots=True)
class Phase:
    """Seconds that a phase took, and how many of them the server and the client computed."""

    seconds: float = 0.0
    server: float = 0.0
    client: float = 0.0


class Meter:
    """Looks at the server's process from outside, before and after each phase. Made when the server is warm."""

    def __init__(self, pid: int):
        self._pid = pid
        self._before = self._filled = megabytes(pid)
        self.resets: list[float] = []
        """Seconds that each opening took."""
        self.steps: list[float] = []
        """Seconds that each step took."""
        self.rewards: list[float] = []
        """What each session was worth, where there are rewards."""
        self.opening, self.stepping, self.closing = Phase(), Phase(), Phase()

    @contextmanager
    def during(self, phase: Phase) -> Iterator[None]:
        """Adds what is done inside to a phase."""
        begun, server, client = time.perf_counter(), cpu_seconds(self._pid), time.process_time()
        yield
        phase.seconds += time.perf_counter() - begun
        phase.server += cpu_seconds(self._pid) - server
        phase.client += time.process_time() - client

    def all_open(self) -> None:
        """To be called when every session is open and none has taken a turn."""
        self._filled = megabytes(self._pid)

    def found(self, sessions: int, alone: "Meter") -> dict[str, float | None]:
        """Everything, by name. Rates are of whole phases; processor time is the server's.

        `alone`: what was measured with one session at a time.
        """
        opening, stepping, closing = self.opening, self.stepping, self.closing
        return {
            "sessions": sessions,
            "sessions_per_second": sessions / (opening.seconds + stepping.seconds + closing.seconds),
            "steps_per_second": sessions * STEPS / stepping.seconds,
            **_latencies("reset", self.resets),
            **_latencies("step", self.steps),
            "alone_reset_p50_ms": median(alone.resets) * 1e3,
            "alone_step_p50_ms": median(alone.steps) * 1e3,
            "reset_cpu_ms": opening.server / sessions * 1e3,
            "step_cpu_ms": stepping.server / (sessions * STEPS) * 1e3,
            "close_cpu_ms": closing.server / sessions * 1e3,
            "peak_mb": megabytes(self._pid, "VmHWM"),
            "session_kb": (self._filled - self._before) / sessions * 1024,
            "server_busy": stepping.server / stepping.seconds,
            "client_busy": stepping.client / stepping.seconds,
            "reward": fmean(self.rewards) if self.rewards else None,
        }


def _latencies(name: str, seconds: Sequence[float]) -> dict[str, float]:
    cuts = quantiles(seconds, n=100, method="inclusive")
    return {f"{name}_p50_ms": cuts[49] * 1e3, f"{name}_p99_ms": cuts[98] * 1e3}


def innermost(error: BaseException) -> str:
    """What went wrong first, out of the groups of the tasks it went wrong in."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}"
