"""Another try for failures that may pass: exponential backoff with jitter, within a budget."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from synthagent.errors import ModelFailed
from synthagent.llm.model import ChatModel, ChatReply, ChatRequest, TransientFailure

T = TypeVar("T")

_PATIENCE = 3
"""Tries that a call may fail before it is told."""
_TOLD_EVERY = 60.0
"""Seconds between what is told of one model."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long to keep trying. Times in seconds."""

    attempts: int = 8
    """Tries in all, the first included."""
    first: float = 0.5
    """Longest wait after the first failure; doubled after each further one."""
    longest: float = 30.0
    """Longest wait that we choose ourselves; a server's Retry-After may ask for more."""
    total: float = 300.0
    """Most that the waits may sum to. Time spent in calls, or in a limiter's queue, is not held against a call."""


def retried(
    model: ChatModel,
    backoff: Backoff | None = None,
    *,
    rng: random.Random | None = None,
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    tell: Callable[[str], object] = lambda _: None,
) -> "Retried":
    """The same model, asked again after a `TransientFailure`, until the backoff's attempts or time are used up.

    `tell` hears of a call that keeps failing, once a minute at most, so that nobody waits without knowing for what.
    Raises what the last try raised: its class as a plain `ModelFailed`, its reason, and how often we tried.
    """
    return Retried(model, backoff or Backoff(), rng or random.Random(), sleep, tell)


class Retried:
    """See `retried`."""

    def __init__(
        self, model: ChatModel, backoff: Backoff, rng: random.Random, sleep: Callable[[float], Awaitable[object]],
        tell: Callable[[str], object],
    ):  # fmt: skip
        self.name = model.name
        self._model = model
        self._tries = Tries(backoff, rng=rng, sleep=sleep, tell=tell)

    async def complete(self, request: ChatRequest) -> ChatReply:
        """The first answer that is not a `TransientFailure`."""
        return await self._tries.of(lambda: self._model.complete(request))

    async def aclose(self) -> None:
        """Closes the model."""
        await self._model.aclose()


class Tries:
    """Calls of whatever kind, made again after a `TransientFailure`: see `retried`."""

    def __init__(
        self, backoff: Backoff | None = None, *, rng: random.Random | None = None,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep, tell: Callable[[str], object] = lambda _: None,
    ):  # fmt: skip
        self._backoff, self._rng, self._sleep = backoff or Backoff(), rng or random.Random(), sleep
        self._tell, self._told = tell, -_TOLD_EVERY

    async def of(self, call: Callable[[], Awaitable[T]]) -> T:
        """What the first call gives that is not a `TransientFailure`; raises `ModelFailed` as `retried` does."""
        attempt, waited = 1, 0.0
        while True:
            try:
                return await call()
            except TransientFailure as failure:
                wait = self._wait(failure, attempt)
                if attempt >= self._backoff.attempts or waited + wait > self._backoff.total:
                    text = f"{failure} (gave up after {attempt} tries and {waited:.1f} s of waiting)"
                    raise ModelFailed(text, reason=failure.reason) from failure
                if attempt >= _PATIENCE and time.monotonic() - self._told >= _TOLD_EVERY:
                    self._told = time.monotonic()
                    self._tell(f"{failure}; try {attempt} of {self._backoff.attempts}, trying again")
            # Outside `except`, so that a long chain of failures does not hang on to one another's frames.
            await self._sleep(wait)
            attempt, waited = attempt + 1, waited + wait

    def _wait(self, failure: TransientFailure, attempt: int) -> float:
        if failure.retry_after is not None:
            # Never earlier than asked; up to a tenth later, or all who were told the same would come back at once.
            return failure.retry_after * (1 + 0.1 * self._rng.random())
        longest = min(self._backoff.longest, self._backoff.first * 2.0 ** (attempt - 1))
        return longest * (0.5 + 0.5 * self._rng.random())
