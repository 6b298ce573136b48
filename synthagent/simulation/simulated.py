"""Tools without a program: a call read and checked by code, up to the point where somebody has to make up the answer.

The state of a simulated tool is what it may depend on and no more: the tables it `reads`, and the simulated writes that
may have touched them. A write counts by the entry of the response map that answered it, so that two ways of saying one
thing lead to one state.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from synthagent.schema.tasks import Service, Tool
from synthagent.simulation.arguments import Schema, binder, canonical_text

Rows = Mapping[str, Sequence[tuple[Any, ...]]]


class Simulated:
    """A tool that has no program: its validators, and what a model needs to know to stand in for it, or the service."""

    __slots__ = (
        "accepts", "bind", "choices", "grounding", "outputs", "reads", "schema", "service", "tool", "touches", "writes",
    )  # fmt: skip

    def __init__(self, tool: Tool, grounding: str, service: Service | None = None):
        """`service`: what answers it, if that is no model. Raises `ValueError` when one of its schemas is not valid."""
        self.tool, self.grounding, self.service = tool, grounding, service
        self.schema = Schema(tool.function.parameters)
        self.accepts = self.schema.accepts
        self.bind = binder(tool.function.parameters)
        self.outputs = Schema(tool.outputs) if tool.outputs else None
        self.writes = tool.effect == "write"
        properties = tool.function.parameters.get("properties", {})
        self.choices = frozenset(name for name, schema in properties.items() if "enum" in schema)
        self.reads = None if tool.reads is None else frozenset(tool.reads)
        self.touches = None if tool.writes is None else frozenset(tool.writes)


@dataclass(frozen=True, slots=True)
class Deed:
    """A call that changed something."""

    tool: str
    arguments: Mapping[str, Any]
    response: str
    touched: frozenset[str] | None
    """Tables, or whatever names the tools' `reads` and `writes` use; None: there is no telling."""
    fold: str = ""
    """Simulated writes: the entry that answered; empty for a program, whose rows speak for themselves."""


@dataclass(frozen=True, slots=True)
class Moment:
    """A state as far as one tool reads it."""

    state: str
    deeds: int
    """How many of the deeds that may matter to the tool came before it."""


@dataclass(frozen=True, slots=True)
class SimulatedCall:
    """A valid call of a tool that has no program, with everything its answer may depend on."""

    world_id: str
    now: str
    tool: Simulated
    arguments: dict[str, Any]
    """As typed; absent and null are one."""
    canonical: str
    """The arguments as canonical JSON: equal calls have equal bytes."""
    moments: tuple[Moment, ...]
    """Every state of this episode as far as the tool reads it, oldest first; the last one is now."""
    deeds: tuple[Deed, ...]
    """What has been done since the beginning, as far as it may matter to this tool."""
    rows: Mapping[str, Sequence[Mapping[str, Any]]]
    """The rows of the tables that the tool reads, as they are now."""

    @property
    def state(self) -> str:
        """Now, as far as the tool reads it."""
        return self.moments[-1].state


@dataclass(frozen=True, slots=True)
class Answer:
    """What somebody who stands in for a tool makes of a call."""

    ok: bool
    response: str
    """JSON: the result, or `{"error": {"type", "message"}}`. Of a service: text, as the agent reads it."""
    entry_id: str
    alias_of: str | None = None
    """The entry whose answer this repeats, of another call or an earlier state."""

    @property
    def root(self) -> str:
        """The entry that was first to give this answer."""
        return self.alias_of or self.entry_id


class History:
    """What one live world has been through, for worlds that have simulated tools."""

    __slots__ = ("_digests", "_known", "deeds")

    def __init__(self, initial: Mapping[str, str]):
        self.deeds: list[Deed] = []
        self._digests: list[Mapping[str, str]] = [initial]
        self._known: dict[str, list[str]] = {}

    def note(self, deed: Deed, digests: Mapping[str, str] | None = None) -> None:
        """Takes note of a deed; `digests`: table -> digest after it, if rows may have changed."""
        self.deeds.append(deed)
        self._digests.append(digests or self._digests[-1])

    def moments(self, tool: Simulated) -> tuple[Moment, ...]:
        """The distinct states in the order in which they came, as far as the tool reads them; the last one is now."""
        states = self._known.setdefault(tool.tool.name, [])
        for count in range(len(states), len(self.deeds) + 1):
            states.append(self._state(tool, count))
        first: dict[str, int] = {}
        mattering = 0
        for count, state in enumerate(states):
            mattering += bool(count) and _may_matter(self.deeds[count - 1], tool)
            first.setdefault(state, mattering)
        now = states[-1]
        return (*(Moment(state, count) for state, count in first.items() if state != now), Moment(now, mattering))

    def mattering(self, tool: Simulated) -> tuple[Deed, ...]:
        """The deeds that may matter to a tool."""
        return tuple(deed for deed in self.deeds if _may_matter(deed, tool))

    def _state(self, tool: Simulated, count: int) -> str:
        tables = self._digests[count]
        read = [[name, digest] for name, digest in sorted(tables.items()) if tool.reads is None or name in tool.reads]
        folds = [deed.fold for deed in self.deeds[:count] if deed.fold and _may_matter(deed, tool)]
        return hashlib.sha256(orjson.dumps([read, folds])).hexdigest()[:32]

    @property
    def digests(self) -> Mapping[str, str]:
        """Table -> digest, now."""
        return self._digests[-1]

    @property
    def folded(self) -> list[str]:
        """The entries of all simulated writes, in order."""
        return [deed.fold for deed in self.deeds if deed.fold]


def _may_matter(deed: Deed, tool: Simulated) -> bool:
    return tool.reads is None or deed.touched is None or bool(tool.reads & deed.touched)


def table_digests(rows: Rows) -> dict[str, str]:
    """Table -> SHA-256 over its rows by primary key."""
    return {name: hashlib.sha256(orjson.dumps(table)).hexdigest() for name, table in rows.items()}


def key_arguments(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments without those that say nothing: a null says as little as an absence."""
    return {name: value for name, value in arguments.items() if value is not None}


def canonical_arguments(arguments: Mapping[str, Any]) -> str:
    """Canonical JSON of arguments."""
    return canonical_text(dict(arguments))
