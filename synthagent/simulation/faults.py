"""Failures injected on purpose: what a real service does now and then, at a seeded rate, visible in the record.

Off by default. They are the world's doing, not a simulator's failure: the agent is meant to cope with them, and the
episode is scored.
"""

import hashlib
from typing import Any, Literal, get_args

import orjson

from synthagent.simulation.world import ToolResult

Fault = Literal["timeout", "rate_limit", "partial_result"]
FAULTS: tuple[Fault, ...] = get_args(Fault)

_MESSAGES: dict[Fault, str] = {
    "timeout": "the service did not answer in time; nothing was done",
    "rate_limit": "too many requests; nothing was done, try again",
    "partial_result": "the result could not be read to its end; try again",
}


class Faults:
    """Draws faults for one episode: the same for the same seed, task, sample and number of call."""

    def __init__(self, rate: float, seed: int, task_id: str, sample: int):
        self._rate, self._seed = rate, f"{seed}/{task_id}/{sample}"

    def strike(self, number: int, *, writes: bool) -> Fault | None:
        """What happens to the episode's n-th call. A write is struck before it does anything, or not at all."""
        if not self._rate:
            return None
        draw = hashlib.sha256(f"{self._seed}/{number}".encode()).digest()
        if int.from_bytes(draw[:7], "big") / 2**56 >= self._rate:
            return None
        return FAULTS[draw[7] % (2 if writes else 3)]


def failed(fault: Fault, arguments: dict[str, Any] | None) -> ToolResult:
    """The result of a call that was never made."""
    return ToolResult(False, _response(fault), None, fault, arguments)


def cut_short(result: ToolResult) -> ToolResult:
    """The result of a read of which only the first half came; of one that cannot be cut, nothing came."""
    if not result.ok:
        return result
    if not isinstance(result.value, list) or len(result.value) < 2:
        return failed("timeout", result.arguments)
    half = result.value[: len(result.value) // 2]
    return ToolResult(False, _response("partial_result", half), None, "partial_result", result.arguments)


def is_cut_short(response: str) -> bool:
    """Whether `cut_short` can have written this: its error, and with it a part of a list."""
    try:
        data = orjson.loads(response)
        half = data.get("partial") if isinstance(data, dict) else None
        return isinstance(half, list) and bool(half) and response == _response("partial_result", half)
    except (orjson.JSONDecodeError, TypeError):  # a TypeError: nested deeper than it writes
        return False


def _response(fault: Fault, partial: list[Any] | None = None) -> str:
    error: dict[str, Any] = {"type": fault, "message": _MESSAGES[fault]}
    body: dict[str, Any] = {"error": error} if partial is None else {"error": error, "partial": partial}
    return orjson.dumps(body).decode()
