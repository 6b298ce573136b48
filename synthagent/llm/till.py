"""One till for many workers: every call of a teacher is looked up, paid and counted in one place.

The till owns the file of replies, the ledger and the recording; workers ask it before and after each call. It belongs
to the process that began it: what it has acknowledged is on disk.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import orjson

from synthagent.config import Price
from synthagent.errors import ModelFailed
from synthagent.llm.caching import CallCache, key_of, restored, stored
from synthagent.llm.ledger import Budget, BudgetSpent, Ledger
from synthagent.llm.model import ChatModel, ChatReply, ChatRequest


class Till:
    """Runs in a process of its own. All answers are bytes."""

    def __init__(self, calls: Path, budget: Budget, price: Price | None):
        self._cache = CallCache.open(calls)
        self._budget, self._price = budget, price
        self._ledger = Ledger()
        self._ledger.entry("teacher", "earlier runs").add(self._cache.paid(), price)

    async def find(self, key: str, role: str, stage: str) -> bytes | None:
        """The reply that was kept under a key, entered as a cached one; None if there is none."""
        reply = self._cache.find(key)
        if reply is None:
            return None
        entry = self._ledger.entry(role, stage)
        entry.cached += 1
        entry.saved += reply.usage
        return orjson.dumps(stored(reply))

    async def spent(self) -> str:
        """Why no further call may be begun; empty while one may."""
        try:
            self._ledger.check(self._budget)
        except BudgetSpent as error:
            return str(error)
        return ""

    async def keep(self, key: str, role: str, stage: str, reply: bytes, seconds: float) -> None:
        """Keeps a reply that was paid for, and enters it."""
        found = restored(reply)
        assert found is not None
        self._cache.keep(key, stage, found)
        entry = self._ledger.entry(role, stage)
        entry.calls += 1
        entry.seconds += seconds
        entry.add(found.usage, self._price)

    async def failed(self, role: str, stage: str, seconds: float) -> None:
        """Enters a call that came to nothing."""
        entry = self._ledger.entry(role, stage)
        entry.failed += 1
        entry.seconds += seconds

    async def rows(self) -> bytes:
        """The ledger, as `Ledger.rows` gives it."""
        return orjson.dumps(self._ledger.rows())

    async def close(self) -> None:
        """Closes the file."""
        self._cache.close()


class Asking(Protocol):
    """A way to the till: `await ask("find", key, role, stage)`."""

    def __call__(self, method: str, /, *arguments: Any) -> Awaitable[Any]: ...


@dataclass(frozen=True, slots=True)
class Tilled:
    """The same model, asked only what nobody has asked before, every call entered in the till.

    The cache of a process in it would be `cached`, its meter `metered`.
    """

    model: ChatModel
    ask: Asking
    address: str
    """The endpoint, a part of the key."""
    role: str
    clock: Callable[[], float]

    @property
    def name(self) -> str:
        return self.model.name

    async def complete(self, request: ChatRequest) -> ChatReply:
        """The kept answer, or the model's, which is kept. Raises what the model raises."""
        key = key_of(self.name, self.address, request)
        raw = await self.ask("find", key, self.role, request.stage)
        found = None if raw is None else restored(raw)
        if found is not None:
            return found
        begun = self.clock()
        try:
            reply = await self.model.complete(request)
        except ModelFailed:
            await self.ask("failed", self.role, request.stage, self.clock() - begun)
            raise
        body = orjson.dumps(stored(reply))
        await self.ask("keep", key, self.role, request.stage, body, self.clock() - begun)
        return reply

    async def aclose(self) -> None:
        """Closes the model."""
        await self.model.aclose()


@dataclass(frozen=True, slots=True)
class Permitted:
    """The same model until the till says that the budget is spent: then no further call is begun."""

    model: ChatModel
    ask: Asking

    @property
    def name(self) -> str:
        return self.model.name

    async def complete(self, request: ChatRequest) -> ChatReply:
        """The model's answer. Raises `BudgetSpent` instead of asking, once there is nothing left to spend."""
        why = await self.ask("spent")
        if why:
            raise BudgetSpent(why)
        return await self.model.complete(request)

    async def aclose(self) -> None:
        """Closes the model."""
        await self.model.aclose()
