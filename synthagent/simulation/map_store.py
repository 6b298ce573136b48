"""Where a response map keeps its entries: one small protocol, and the store that lives in memory.

Entries are never changed and never removed. Whoever puts an entry under a key first has decided it; everybody else
gets that entry back. Other stores: `synthagent.storage.maps` (SQLite, an owner over HTTP, Redis).
"""

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import orjson

from synthagent.errors import EpisodeFailure, InputError
from synthagent.simulation.arguments import MAX_DEPTH, deeper_than

MAP_SCHEMA = "synthagent.map/1"
VERSION = 1
"""Of the way keys are made."""
MOST_HITS = 2**53
"""Beyond, not every program that reads JSON counts alike."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One answer of a simulated tool, for good."""

    key: str
    """Map version, world, state as far as the tool reads it, tool, canonical arguments: hashed."""
    entry_id: str
    """Hash of key and answer: who has the event and the call can tell that they belong together."""
    alias_of: str | None
    """The entry whose answer this repeats; None for an answer of its own."""
    world_id: str
    state: str
    tool: str
    arguments: str
    """Canonical JSON."""
    ok: bool
    response: str
    trail: str = "[]"
    """JSON: the calls `[tool, arguments]` that led to the state."""
    who: str = ""
    """The worker that made it."""
    model: str = ""
    """The model that answered."""
    prompt: str = ""
    """Fingerprint of the prompt."""
    made: float = 0.0
    """Unix time."""

    @property
    def group(self) -> str:
        """What is decided one at a time: one tool of one world in one state."""
        return group_of(self.world_id, self.state, self.tool)

    @property
    def root(self) -> str:
        """The entry that was first to give this answer."""
        return self.alias_of or self.entry_id


def group_of(world_id: str, state: str, tool: str) -> str:
    """The name under which entries of one tool in one state are found."""
    return f"{world_id}/{state}/{tool}"


def key_for(world_id: str, state: str, tool: str, arguments: str) -> str:
    """The key of a call, as 32 hex digits of SHA-256. `arguments`: canonical JSON; `state`: "-" where it is ignored."""
    return hashlib.sha256(f"{VERSION}|{world_id}|{state}|{tool}|{arguments}".encode()).hexdigest()[:32]


def id_of(key: str, ok: bool, response: str) -> str:
    """The id of an entry: 16 hex digits."""
    return hashlib.sha256(f"{key}|{int(ok)}|{response}".encode()).hexdigest()[:16]


def as_json(entry: Entry, hits: int = 0) -> dict[str, Any]:
    """An entry as a line of an exported map."""
    return {**asdict(entry), "hits": hits}


_FIELDS = dict(Entry.__annotations__)


def from_json(data: Any) -> tuple[Entry, int]:
    """An entry of an exported map, and its hits. Raises `ValueError` for anything that is none: files are hostile."""
    if not isinstance(data, Mapping):
        raise ValueError("not an object")
    values: dict[str, Any] = {}
    for name, kind in _FIELDS.items():
        value = data.get(name)
        wanted: tuple[type, ...] = (str,)
        if kind is bool:
            wanted = (bool,)
        elif kind is float:
            wanted = (int, float)
        elif name == "alias_of":
            wanted = (str, type(None))
        if not isinstance(value, wanted) or (isinstance(value, bool) and bool not in wanted):
            raise ValueError(f"{name}: {'missing' if value is None else 'of the wrong type'}")
        values[name] = value
    hits = data.get("hits", 0)
    if not isinstance(hits, int) or isinstance(hits, bool) or not 0 <= hits < MOST_HITS:
        raise ValueError("hits: not a whole number from 0 to 2**53")
    return sound(Entry(**values)), hits


def sound(entry: Entry) -> Entry:
    """The entry. Raises `ValueError` when key, id and texts of it do not belong together: it is nobody's answer."""
    if entry.key != key_for(entry.world_id, entry.state, entry.tool, entry.arguments):
        raise ValueError("key: does not fit the call: it was changed by hand, or another version made it")
    if entry.entry_id != id_of(entry.key, entry.ok, entry.response):
        raise ValueError("entry_id: does not fit the answer: it was changed by hand")
    _read(entry, "response")
    arguments, trail = _read(entry, "arguments"), _read(entry, "trail")
    if not isinstance(arguments, dict):
        raise ValueError("arguments: not an object")
    if not isinstance(trail, list) or not all(map(_is_call, trail)):
        raise ValueError("trail: not a list of calls")
    for name, value in (("arguments", arguments), *(("trail", call[1]) for call in trail)):
        if deeper_than(value, MAX_DEPTH):
            raise ValueError(f"{name}: nested deeper than {MAX_DEPTH} levels")
    return entry


def _read(entry: Entry, name: str) -> Any:
    try:
        return orjson.loads(getattr(entry, name))
    except orjson.JSONDecodeError as error:
        raise ValueError(f"{name}: not JSON") from error


def _is_call(data: Any) -> bool:
    return isinstance(data, list) and len(data) == 2 and isinstance(data[0], str) and isinstance(data[1], dict)


def damaged(where: str, why: object) -> EpisodeFailure:
    """What to raise when a store gives what cannot be the entry that was asked for."""
    return EpisodeFailure(f"{where}: holds an entry that cannot be used: {why}", reason="map_damaged")


class MapStore(Protocol):
    """Keeps entries. All methods may be called by many tasks at once."""

    async def ping(self) -> None:
        """Raises `InputError` or `EpisodeFailure`, within seconds, when the store is not there or refuses."""
        ...

    async def get(self, key: str) -> Entry | None:
        """The entry under a key.

        This and all that give entries raise `EpisodeFailure` (`map_damaged`) for what is no entry, or another's.
        """
        ...

    async def put(self, entry: Entry) -> Entry:
        """Keeps an entry unless there is one under its key; gives the one that counts. Kept when this returns."""
        ...

    async def of(self, groups: Sequence[str]) -> list[Entry]:
        """The entries of these groups, in the order in which they came."""
        ...

    async def lease(self, name: str, holder: str, seconds: float) -> bool:
        """Takes or renews a lease that runs out by itself; False while another holder has it."""
        ...

    async def release(self, name: str, holder: str) -> None:
        """Gives a lease back; harmless when another has it."""
        ...

    async def count(self, hits: Mapping[str, int]) -> None:
        """Adds hits to keys. Figures, not truth: those of a worker that dies are lost."""
        ...

    async def sizes(self, worlds: Sequence[str]) -> dict[str, int]:
        """World -> how many entries it has that are not aliases; 0 for worlds without any."""
        ...

    async def dump(self, after: int, most: int) -> list[tuple[int, Entry, int]]:
        """(number, entry, hits) of up to `most` entries after a number, in the order in which they came."""
        ...

    async def aclose(self) -> None:
        """Lets go of files and connections. Harmless when repeated."""
        ...


class Leases:
    """Leases within one process."""

    def __init__(self, clock: Callable[[], float] = time.monotonic):
        self._held: dict[str, tuple[str, float]] = {}
        self._clock = clock

    def take(self, name: str, holder: str, seconds: float) -> bool:
        """See `MapStore.lease`."""
        now = self._clock()
        owner, until = self._held.get(name, (holder, 0.0))
        if owner != holder and until > now:
            return False
        self._held[name] = (holder, now + seconds)
        return True

    def release(self, name: str, holder: str) -> None:
        """See `MapStore.release`."""
        if name in self._held and self._held[name][0] == holder:
            del self._held[name]


class MemoryStore:
    """A map that is gone with the process."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._entries: dict[str, Entry] = {}
        self._groups: dict[str, list[Entry]] = {}
        self._order: list[Entry] = []
        self._hits: dict[str, int] = {}
        self._roots: dict[str, int] = {}
        self._leases = Leases(clock)

    async def ping(self) -> None:
        """It is there."""

    async def get(self, key: str) -> Entry | None:
        return self._entries.get(key)

    async def put(self, entry: Entry) -> Entry:
        kept = self._entries.setdefault(entry.key, entry)
        if kept is entry:
            self._groups.setdefault(entry.group, []).append(entry)
            self._order.append(entry)
            if entry.alias_of is None:
                self._roots[entry.world_id] = self._roots.get(entry.world_id, 0) + 1
        return kept

    async def of(self, groups: Sequence[str]) -> list[Entry]:
        if len(groups) == 1:
            return list(self._groups.get(groups[0], ()))
        wanted = {entry.key for group in groups for entry in self._groups.get(group, ())}
        return [entry for entry in self._order if entry.key in wanted]

    async def lease(self, name: str, holder: str, seconds: float) -> bool:
        return self._leases.take(name, holder, seconds)

    async def release(self, name: str, holder: str) -> None:
        self._leases.release(name, holder)

    async def count(self, hits: Mapping[str, int]) -> None:
        for key, number in hits.items():
            self._hits[key] = self._hits.get(key, 0) + number

    async def sizes(self, worlds: Sequence[str]) -> dict[str, int]:
        return {world: self._roots.get(world, 0) for world in worlds}

    async def dump(self, after: int, most: int) -> list[tuple[int, Entry, int]]:
        some = self._order[after : after + most]
        return [(after + n, entry, self._hits.get(entry.key, 0)) for n, entry in enumerate(some, start=1)]

    async def aclose(self) -> None:
        """Nothing to let go of."""


@dataclass(frozen=True, slots=True)
class Merged:
    """What came of reading entries into a map."""

    added: int
    same: int
    conflicts: tuple[str, ...]
    """One line each: the key is decided otherwise already, and stays so."""


async def merge(store: MapStore, entries: Sequence[tuple[Entry, int]]) -> Merged:
    """Reads entries into a map. What is there already stays; where the two differ, that is reported."""
    added, same, conflicts = 0, 0, []
    for entry, hits in entries:
        there = await store.get(entry.key)
        kept = there or await store.put(entry)
        if kept.entry_id != entry.entry_id:
            told = f"{entry.tool}({entry.arguments}) in state {entry.state[:8]} of world {entry.world_id}"
            conflicts.append(f"{told}: {kept.response[:120]} is kept, {entry.response[:120]} is not")
        elif there is None:
            added += 1
            if hits:
                await store.count({entry.key: hits})
        else:
            same += 1
    return Merged(added, same, tuple(conflicts))


class MapUnavailable(InputError):
    """The store of a response map cannot be used: another process owns it, it is damaged, or nobody answers."""
