"""The response map: a simulated tool gives the same bytes to the same call in the same state, whoever asks.

Lyu et al., section 3.2, keep M = {(tool, arguments) -> response} a task. Here the key also holds the state as far as
the tool reads it, so that a read after a write may say something new, and the map is shared by all workers and outlives
them. A call that is not in the map costs one model call, which either points to an entry that already answers it (the
same call in other words, or an earlier state that nothing has touched since) or makes an answer up. Misses of one tool
in one state are decided one at a time, so that two ways of asking the same never get two answers.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Literal, Protocol

import anyio
import orjson

from synthagent.errors import EpisodeFailure, ToolFailed
from synthagent.simulation.guarded_store import GuardedStore
from synthagent.simulation.likeness import folded
from synthagent.simulation.map_store import Entry, MapStore, group_of, id_of, key_for
from synthagent.simulation.simulated import Answer, SimulatedCall

MapMode = Literal["state", "paper", "none", "frozen"]
"""`state`: ours. `paper`: the state is ignored, as in the paper. `none`: every call is simulated anew, as in the
paper's released training code. `frozen`: as `state`, but a call that is not in the map is a failure."""

LEASE = 60.0
"""Seconds after which the lease of a worker that died runs out; renewed three times in that time."""
_WAIT = (0.005, 0.1)
"""Seconds between two tries at a lease that another worker has: at first, and at most."""
_MOST_RECENT = 50_000
"""Entries that one worker remembers; they never change, so that they need not be asked for twice."""


@dataclass(frozen=True, slots=True)
class Simulation:
    """What a simulator makes of a call: the entry that answers it already, or an answer of its own."""

    same: Entry | None
    ok: bool = True
    response: str = ""


class Simulator(Protocol):
    """Somebody who stands in for tools, usually a language model."""

    name: str
    prompt: str
    """Fingerprint of how it is asked."""

    async def simulate(self, call: SimulatedCall, known: Sequence[Entry], draw: int = 0) -> Simulation:
        """Answers a call. `known`: the tool's entries of this state and of those before it, oldest first.

        `draw`: which of many answers to one call, where no map keeps the first. Raises `ToolFailed`.
        """
        ...


class Tools(Protocol):
    """What an episode asks for the answers of tools that have no program."""

    name: str

    async def answer(self, call: SimulatedCall) -> Answer:
        """The answer. Raises `ToolFailed`: an episode's failure, never text for the agent."""
        ...


def key_of(call: SimulatedCall, mode: MapMode = "state") -> str:
    """What decides a call's answer, as 32 hex digits of SHA-256."""
    return key_for(call.world_id, "-" if mode == "paper" else call.state, call.tool.tool.name, call.canonical)


@dataclass(slots=True)
class MapFigures:
    """What a response map was asked."""

    hits: int = 0
    misses: int = 0
    calls: int = 0
    """Model calls."""
    aliases: int = 0
    """Misses that turned out to be answered already."""


@dataclass(slots=True)
class _Turn:
    """Whose turn it is, within this process, to decide a group's misses."""

    lock: anyio.Lock = field(default_factory=anyio.Lock)
    waiting: int = 0


class ResponseMap:
    """See the module. One a process and store; shared by all its episodes."""

    def __init__(
        self, store: MapStore, simulator: Simulator | None, mode: MapMode = "state", *, who: str = "local",
        lease: float = LEASE, now: Callable[[], float] = time.time,
    ):  # fmt: skip
        """`who`: the name of this worker, unlike that of any other. Without a simulator the mode must be `frozen`."""
        if simulator is None and mode != "frozen":
            raise ValueError("a map that is not frozen needs somebody to simulate tools")
        self.name = simulator.name if simulator else "frozen"
        self.figures = MapFigures()
        self._store, self._simulator, self._mode, self._who = GuardedStore(store), simulator, mode, who
        self._lease, self._now = lease, now
        self._recent: dict[str, Entry] = {}
        self._hits: dict[str, int] = {}
        self._turns: dict[str, _Turn] = {}

    async def answer(self, call: SimulatedCall) -> Answer:
        """The answer to a call: the same for ever, unless the mode is `none`.

        Raises `ToolFailed`, or `EpisodeFailure` (infrastructure) when the store cannot be used.
        """
        if self._mode == "none":
            return await self._unmapped(call)
        key = key_of(call, self._mode)
        entry = self._recent.get(key) or await self._store.get(key)
        if entry is not None:
            return self._hit(entry)
        return await self._missed(call, key)

    async def flush(self) -> None:
        """Hands the hits that were counted to the store. Raises `EpisodeFailure` when it does not take them."""
        hits, self._hits = self._hits, {}
        if hits:
            await self._store.count(hits)

    async def _unmapped(self, call: SimulatedCall) -> Answer:
        assert self._simulator is not None
        self.figures.calls += 1
        made = await self._simulator.simulate(call, (), draw=self.figures.calls)
        return Answer(made.ok, made.response, id_of(key_of(call), made.ok, made.response))

    async def _missed(self, call: SimulatedCall, key: str) -> Answer:
        if self._simulator is None or self._mode == "frozen":
            told = f"{call.tool.tool.name}({call.canonical[:200]})"
            raise ToolFailed(f"{told} is not in the response map, which is frozen", reason="map_miss")
        states = ["-"] if self._mode == "paper" else [moment.state for moment in call.moments]
        groups = [group_of(call.world_id, state, call.tool.tool.name) for state in states]
        async with self._turn(groups[-1]):
            entry = await self._store.get(key)
            if entry is not None:
                return self._hit(entry)  # whoever had the turn before wanted the same
            async with self._leased(groups[-1]) as lease:
                return await self._settled(call, key, groups, lease)

    async def _settled(self, call: SimulatedCall, key: str, groups: Sequence[str], lease: "_Lease") -> Answer:
        """The answer that this worker, or another in the meantime, decided on."""
        known: list[Entry] | None = None
        made: Entry | None = None
        while True:
            entry = await self._store.get(key)
            if entry is not None:
                return self._hit(entry)  # another worker wanted the same
            there = await self._store.of(groups)
            if made is None or there != known:
                self.figures.misses += made is None
                known = there
                made = await self._decided(call, key, "-" if self._mode == "paper" else call.state, known)
            if lease.held:
                self.figures.aliases += made.alias_of is not None
                kept = await self._store.put(made)
                self._remember(kept)
                return _answer(kept)
            await lease.take()  # whoever had it since may have decided this very call, or another way of asking it

    async def _decided(self, call: SimulatedCall, key: str, state: str, known: Sequence[Entry]) -> Entry:
        assert self._simulator is not None
        choices = call.tool.choices
        words = folded(call.canonical, choices)
        same = next((e for e in known if e.state == state and folded(e.arguments, choices) == words), None)
        by_code = same is not None
        made = Simulation(same)
        if same is None:
            self.figures.calls += 1
            made = await self._simulator.simulate(call, known)
            same = made.same
        ok, response = (same.ok, same.response) if same else (made.ok, made.response)
        return Entry(
            key=key,
            entry_id=id_of(key, ok, response),
            alias_of=same.root if same else None,
            world_id=call.world_id,
            state=state,
            tool=call.tool.tool.name,
            arguments=call.canonical,
            ok=ok,
            response=response,
            trail=orjson.dumps([[deed.tool, deed.arguments] for deed in call.deeds]).decode(),
            who=self._who,
            model="code" if by_code else self._simulator.name,
            prompt="" if by_code else self._simulator.prompt,
            made=round(self._now(), 3),
        )

    def _hit(self, entry: Entry) -> Answer:
        self.figures.hits += 1
        self._hits[entry.key] = self._hits.get(entry.key, 0) + 1
        self._remember(entry)
        return _answer(entry)

    def _remember(self, entry: Entry) -> None:
        if len(self._recent) >= _MOST_RECENT:
            self._recent.clear()
        self._recent[entry.key] = entry

    @asynccontextmanager
    async def _turn(self, group: str) -> AsyncIterator[None]:
        turn = self._turns.setdefault(group, _Turn())
        turn.waiting += 1
        try:
            async with turn.lock:
                yield
        finally:
            turn.waiting -= 1
            if not turn.waiting:
                self._turns.pop(group, None)

    @asynccontextmanager
    async def _leased(self, group: str) -> AsyncIterator["_Lease"]:
        """Holds the group's lease, renewing it, for as long as the block runs."""
        lease = _Lease(self._store, group, self._who, self._lease)
        renewing: asyncio.Task[None] | None = None
        try:
            await lease.take()
            renewing = asyncio.get_running_loop().create_task(lease.renew())
            yield lease
        finally:
            # Whoever is cancelled while it asks for the lease may have got it: it is given back in any case.
            with anyio.CancelScope(shield=True):
                if renewing is not None:
                    renewing.cancel()
                    await asyncio.gather(renewing, return_exceptions=True)
                # The answer is kept by now, and a lease that is not given back runs out by itself.
                with suppress(EpisodeFailure):
                    await self._store.release(group, self._who)


class _Lease:
    """A worker's lease of a group, and whether another may have had it since it was taken."""

    def __init__(self, store: GuardedStore, group: str, who: str, seconds: float):
        self._store, self._group, self._who, self._seconds = store, group, who, seconds
        self._until, self._lost = 0.0, False

    @property
    def held(self) -> bool:
        """Whether nobody else can have had it since `take`."""
        return not self._lost and anyio.current_time() < self._until

    async def take(self) -> None:
        """Waits until it is this worker's."""
        wait, most = _WAIT
        while True:
            asked = anyio.current_time()
            if await self._store.lease(self._group, self._who, self._seconds):
                self._until, self._lost = asked + self._seconds, False
                return
            await anyio.sleep(wait)
            wait = min(2 * wait, most)

    async def renew(self) -> None:
        """Renews it for ever. One that ran out stays lost though it is given again: others may have been in between."""
        while True:
            await anyio.sleep(self._seconds / 3)
            with suppress(EpisodeFailure):  # a store that is away is asked again
                asked = anyio.current_time()
                given = await self._store.lease(self._group, self._who, self._seconds)
                if given and self.held:
                    self._until = asked + self._seconds
                else:
                    self._lost = True


def _answer(entry: Entry) -> Answer:
    return Answer(entry.ok, entry.response, entry.entry_id, entry.alias_of)
