"""How fast a server is asked: calls at once, as many as it takes without complaint; calls and tokens a minute, as told.

Calls at once are found by trying: additive increase, multiplicative decrease, as in TCP (Chiu and Jain 1989), over a
first-come, first-served queue. Rates are token buckets.
"""

import asyncio
import math
import time
from collections import deque
from collections.abc import Awaitable, Callable
from types import TracebackType

from synthagent.llm.model import ChatModel, ChatReply, ChatRequest, TransientFailure

_DECREASE = 0.75
_BURST = 10.0
"""Seconds' worth of calls and tokens that may be used at once."""
_LONGEST_PAUSE = 60.0
"""Seconds that one server's Retry-After holds up everybody; whoever was told to wait longer does so alone."""
_BYTES_A_TOKEN = 4
_USUAL_REPLY = 512
"""Tokens of a reply whose limit is not set."""


class Limiter:
    """`async with limiter:` holds one of its places. One event loop; wakes in order of arrival; never polls.

    `start` places at first, never fewer than one nor more than `most`. Share one limiter between the models that share
    a server.
    """

    def __init__(self, start: int = 32, most: int = 1024):
        if not 1 <= start <= most:
            raise ValueError(f"1 <= start <= most, not start={start}, most={most}")
        self.most = most
        self.in_flight = 0
        """Calls under way."""
        self._level = float(start)
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._old = 0

    @property
    def limit(self) -> int:
        """Calls that may be under way now."""
        return int(self._level)

    async def __aenter__(self) -> "Limiter":
        if self.in_flight < int(self._level) and not self._waiting:
            self.in_flight += 1
            return self
        place = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        try:
            await place
        except BaseException:
            if place.done() and not place.cancelled():
                # Given the place and cancelled in the same tick: it goes to the next in line.
                self.in_flight -= 1
                self._admit()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            # Unused room proves nothing about the server, so only a full house grows: by one place a round.
            if self.in_flight >= int(self._level):
                self._level = min(float(self.most), self._level + 1 / self._level)
        elif isinstance(error, TransientFailure) and error.overloaded and self._old == 0:
            # The calls already under way were sent at the old rate: their complaints are the same complaint.
            self._level = max(1.0, self._level * _DECREASE)
            self._old = self.in_flight
        if self._old:
            self._old -= 1
        self.in_flight -= 1
        if self._waiting:
            self._admit()

    def _admit(self) -> None:
        while self._waiting and self.in_flight < int(self._level):
            place = self._waiting.popleft()
            if not place.done():  # else its owner was cancelled while waiting
                self.in_flight += 1
                place.set_result(None)


class Rate:
    """Calls and tokens a minute, over all the models that share it. One event loop; first come, first served.

    Tokens are reserved by estimate and corrected once the usage is known. `pause` holds up everybody.
    """

    def __init__(
        self, rpm: float | None = None, tpm: float | None = None, *, clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ):  # fmt: skip
        if not all(limit is None or 0 < limit < math.inf for limit in (rpm, tpm)):
            raise ValueError(f"rates are positive, not rpm={rpm}, tpm={tpm}")
        self.counts_tokens = tpm is not None
        """Whether it matters how many tokens are taken."""
        self._clock, self._sleep = clock, sleep
        self._calls = _Bucket(rpm, clock())
        self._tokens = _Bucket(tpm, clock())
        self._until = 0.0
        self._turn = asyncio.Lock()
        self._queue = 0
        """How many wait for their turn; the lock itself is free for a moment between two of them."""

    async def take(self, tokens: int) -> None:
        """Waits until there is room for one call of about so many tokens, and takes it."""
        # Nobody waits and there is room: the usual case costs no lock.
        if self._queue or self._wait() > 0:
            self._queue += 1
            try:
                async with self._turn:
                    while (wait := self._wait()) > 0:
                        await self._sleep(wait)
            finally:
                self._queue -= 1
        self._calls.level -= 1
        self._tokens.level -= tokens

    def settle(self, reserved: int, used: int) -> None:
        """Corrects a reservation; a server that does not count its tokens leaves it as it is."""
        if used:
            self._tokens.level += reserved - used

    def pause(self, seconds: float) -> None:
        """Nobody starts a call for so long, at most a minute."""
        self._until = max(self._until, self._clock() + min(seconds, _LONGEST_PAUSE))

    def _wait(self) -> float:
        now = self._clock()
        return max(self._until - now, self._calls.wait(now, 1.0), self._tokens.wait(now, 1.0))


class _Bucket:
    """Fills at a steady rate up to ten seconds' worth; may be overdrawn by one call, which later ones wait for."""

    def __init__(self, a_minute: float | None, now: float):
        self.rate = a_minute / 60 if a_minute is not None else None
        self.most = max(1.0, self.rate * _BURST) if self.rate is not None else 0.0
        self.level = self.most
        self._at = now

    def wait(self, now: float, least: float) -> float:
        """Seconds until the level is `least`."""
        if self.rate is None:
            return 0.0
        self.level = min(self.most, self.level + (now - self._at) * self.rate)
        self._at = now
        # A hair more than needed: rounding must not make it wait again for nothing.
        return 0.0 if self.level >= least - 1e-9 else (least - self.level) / self.rate


def estimate(request: ChatRequest) -> int:
    """Tokens that a call will take, roughly: what it reads at four bytes each, and the longest reply."""
    size = sum(_bytes(message.get("content")) + _bytes(message.get("tool_calls")) for message in request.messages)
    size += sum(_bytes(tool) for tool in request.tools or ())
    return size // _BYTES_A_TOKEN + (request.max_tokens or _USUAL_REPLY)


def _bytes(value: object) -> int:
    if not value:
        return 0
    text = value if isinstance(value, str) else str(value)
    # Bytes, since a letter that is none of ASCII's is about a token.
    return len(text) if text.isascii() else len(text.encode("utf-8", "replace"))


def paced(model: ChatModel, limiter: Limiter, rate: Rate | None = None) -> "Paced":
    """The same model, no more calls at once than the limiter lets through, no more a minute than the rate allows.

    Belongs inside `retried`: then the limiter sees every complaint, and a call that waits to be retried holds no place.
    """
    return Paced(model, limiter, rate)


class Paced:
    """See `paced`."""

    def __init__(self, model: ChatModel, limiter: Limiter, rate: Rate | None = None):
        self.name = model.name
        self._model, self._limiter, self._rate = model, limiter, rate

    async def complete(self, request: ChatRequest) -> ChatReply:
        """The model's answer, when there is room."""
        if self._rate is None:
            async with self._limiter:
                return await self._model.complete(request)
        async with self._limiter:
            reserved = estimate(request) if self._rate.counts_tokens else 0
            await self._rate.take(reserved)
            try:
                reply = await self._model.complete(request)
            except TransientFailure as failure:
                if failure.retry_after and failure.overloaded:
                    # All would run into the same refusal, one after another.
                    self._rate.pause(failure.retry_after)
                raise
            if self._rate.counts_tokens:
                self._rate.settle(reserved, reply.usage.prompt + reply.usage.completion)
            return reply

    async def aclose(self) -> None:
        """Closes the model."""
        await self._model.aclose()
