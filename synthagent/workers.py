"""Many jobs, a bounded number at once, taken from one iterator as they are needed: nothing piles up."""

from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

import anyio
import anyio.lowlevel

from synthagent.errors import EndpointDown, SynthAgentError

J = TypeVar("J")

GIVE_UP_AFTER = 16
"""Failures of infrastructure in a row after which a batch stops: the endpoint is gone."""


async def work_off(jobs: Iterable[J], do: Callable[[J], Awaitable[None]], in_flight: int) -> None:
    """Does every job, at most `in_flight` at once. Raises the first error, one of ours rather than another's."""
    left = iter(jobs)

    async def worker() -> None:
        for job in left:  # one shared iterator: each job is taken once
            await do(job)
            await anyio.lowlevel.checkpoint()  # jobs that never wait: let an interrupt through

    try:
        async with anyio.create_task_group() as group:
            for _ in range(in_flight):
                group.start_soon(worker)
    except ExceptionGroup as errors:
        raise first_error(errors) from errors


class Streak:
    """Counts failures of infrastructure in a row, over all workers."""

    def __init__(self, jobs: str = "jobs", most: int = GIVE_UP_AFTER):
        self._jobs, self._row, self._most = jobs, 0, most

    def see(self, lost: str | None) -> None:
        """Takes note of one result: None if it came, else what went wrong. Raises `EndpointDown` after too many."""
        self._row = self._row + 1 if lost is not None else 0
        if self._row >= self._most:
            raise EndpointDown(f"{self._row} {self._jobs} in a row failed ({lost})")


def first_error(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    """The error that stopped the batch: one of ours if there is one."""
    leaves: list[BaseException] = []
    for error in errors.exceptions:
        leaves.append(first_error(error) if isinstance(error, BaseExceptionGroup) else error)
    return next((leaf for leaf in leaves if isinstance(leaf, SynthAgentError)), leaves[0])
