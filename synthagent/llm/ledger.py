"""What models were asked and what it cost, by role and stage; and the budget that stops them."""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from synthagent.config import Price
from synthagent.errors import InputError, ModelFailed, SynthAgentError
from synthagent.llm.model import ChatModel, ChatReply, ChatRequest
from synthagent.schema.messages import Usage


class BudgetSpent(SynthAgentError):
    """No further call is made: the run has used what it may."""


@dataclass(frozen=True, slots=True)
class Budget:
    """The most that a run may use; None is no limit."""

    tokens: int | None = None
    """Tokens read and written."""
    usd: float | None = None


@dataclass(slots=True)
class Entry:
    """One role at one stage."""

    calls: int = 0
    """Answered by the endpoint."""
    cached: int = 0
    """Answered out of the cache."""
    failed: int = 0
    paid: Usage = field(default_factory=Usage)
    """Tokens of the endpoint's answers."""
    saved: Usage = field(default_factory=Usage)
    """Tokens of the cache's."""
    seconds: float = 0.0
    """Sum over calls, waits for a limiter and for retries included."""
    usd: float | None = 0.0
    """For what was paid; None if the price is not known."""

    def add(self, usage: Usage, price: Price | None) -> None:
        """Enters tokens that were paid for."""
        self.paid += usage
        self.usd = None if price is None or self.usd is None else self.usd + price.of(usage)


@dataclass
class Ledger:
    """Adds up."""

    entries: dict[tuple[str, str], Entry] = field(default_factory=dict)
    """(role, stage) -> what it used."""

    def entry(self, role: str, stage: str) -> Entry:
        """The entry of a role at a stage, to be added to."""
        return self.entries.setdefault((role, stage), Entry())

    @property
    def tokens(self) -> int:
        """Tokens that were paid for."""
        return sum(entry.paid.prompt + entry.paid.completion for entry in self.entries.values())

    @property
    def usage(self) -> Usage:
        """Tokens of every answer, cached ones too."""
        return sum((entry.paid + entry.saved for entry in self.entries.values()), Usage())

    @property
    def usd(self) -> float | None:
        """None if a price is not known."""
        costs = [entry.usd for entry in self.entries.values()]
        return None if any(cost is None for cost in costs) else sum(cost for cost in costs if cost is not None)

    def told(self, *roles: str) -> list[str]:
        """What these roles were asked, in lines for a person; nothing of a role that was asked nothing."""
        found = []
        for role in roles:
            entries = [entry for (who, _), entry in self.entries.items() if who == role]
            if entries:
                calls, paid = sum(e.calls for e in entries), sum((e.paid for e in entries), Usage())
                found.append(f"{role}: {calls} model calls, {paid.prompt} tokens read, {paid.completion} written")
        return found

    def rows(self) -> list[dict[str, object]]:
        """One row a role and stage, for tables and JSON."""
        return [
            {
                "role": role,
                "stage": stage,
                "calls": entry.calls,
                "cached": entry.cached,
                "failed": entry.failed,
                "prompt": entry.paid.prompt,
                "completion": entry.paid.completion,
                "saved": entry.saved.prompt + entry.saved.completion,
                "seconds": round(entry.seconds, 3),
                "usd": None if entry.usd is None else round(entry.usd, 6),
            }
            for (role, stage), entry in self.entries.items()
        ]

    def add(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Adds what another ledger gave as `rows`, which came from another process."""
        for row in rows:
            entry = self.entry(row["role"], row["stage"])
            entry.calls += row["calls"]
            entry.cached += row["cached"]
            entry.failed += row["failed"]
            entry.paid += Usage(prompt=row["prompt"], completion=row["completion"])
            entry.saved += Usage(prompt=row["saved"])
            entry.seconds += row["seconds"]
            entry.usd = None if entry.usd is None or row["usd"] is None else entry.usd + row["usd"]

    def check(self, budget: Budget) -> None:
        """Raises `BudgetSpent` when the budget is reached, and `InputError` when a price is missing to tell."""
        if budget.tokens is not None and self.tokens >= budget.tokens:
            raise BudgetSpent(f"the budget of {budget.tokens} tokens is spent ({self.tokens} used)")
        if budget.usd is None:
            return
        usd = self.usd
        if usd is None:
            raise InputError("a budget in USD, for calls whose price is not known", way_out="give the models' prices")
        if usd >= budget.usd:
            raise BudgetSpent(f"the budget of {budget.usd:g} USD is spent ({usd:.4f} used)")


def metered(
    model: ChatModel, ledger: Ledger, role: str, *, price: Price | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> "Metered":  # fmt: skip
    """The same model, its calls entered in a ledger. Belongs outside a cache, so that what came from it is known."""
    return Metered(model, ledger, role, price, clock)


class Metered:
    """See `metered`."""

    def __init__(self, model: ChatModel, ledger: Ledger, role: str, price: Price | None, clock: Callable[[], float]):
        self.name = model.name
        self._model, self._ledger, self._role, self._price, self._clock = model, ledger, role, price, clock

    async def complete(self, request: ChatRequest) -> ChatReply:
        """The model's answer, entered; a failure is counted and raised."""
        entry, begun = self._ledger.entry(self._role, request.stage), self._clock()
        try:
            reply = await self._model.complete(request)
        except ModelFailed:
            entry.failed += 1
            raise
        finally:
            entry.seconds += self._clock() - begun
        if reply.cached:
            entry.cached += 1
            entry.saved += reply.usage
        else:
            entry.calls += 1
            entry.add(reply.usage, self._price)
        return reply

    async def aclose(self) -> None:
        """Closes the model."""
        await self._model.aclose()


def limited(model: ChatModel, ledger: Ledger, budget: Budget) -> "Limited":
    """The same model until a ledger reaches the budget: then no further call is begun; those under way end.

    Belongs inside a cache, whose answers cost nothing. Whoever has passed may still wait for a limiter or for another
    try further in: only inside of `paced` is nothing at all begun too late.
    """
    return Limited(model, ledger, budget)


class Limited:
    """See `limited`."""

    def __init__(self, model: ChatModel, ledger: Ledger, budget: Budget):
        self.name = model.name
        self._model, self._ledger, self._budget = model, ledger, budget

    async def complete(self, request: ChatRequest) -> ChatReply:
        """The model's answer. Raises `BudgetSpent` instead of asking, once there is nothing left to spend."""
        self._ledger.check(self._budget)
        return await self._model.complete(request)

    async def aclose(self) -> None:
        """Closes the model."""
        await self._model.aclose()
