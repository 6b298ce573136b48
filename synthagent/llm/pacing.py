"""How many calls may be under way at once: as many as the server takes without complaint, found by trying.

Additive increase, multiplicative decrease, as in TCP (Chiu and Jain 1989), over a first-come, first-served queue.
"""

import asyncio
from collections import deque
from types import TracebackType

from synthagent.llm.model import ChatModel, ChatReply, ChatRequest, TransientFailure

_DECREASE = 0.75


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


def paced(model: ChatModel, limiter: Limiter) -> "Paced":
    """The same model, no more calls at once than the limiter lets through.

    Belongs inside `retried`: then the limiter sees every complaint, and a call that waits to be retried holds no place.
    """
    return Paced(model, limiter)


class Paced:
    """See `paced`."""

    def __init__(self, model: ChatModel, limiter: Limiter):
        self.name = model.name
        self._model, self._limiter = model, limiter

    async def complete(self, request: ChatRequest) -> ChatReply:
        """The model's answer, when there is room."""
        async with self._limiter:
            return await self._model.complete(request)

    async def aclose(self) -> None:
        """Closes the model."""
        await self._model.aclose()
