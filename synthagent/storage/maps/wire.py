"""What passes between a worker and the owner of a response map: a list of operations, and as many results."""

from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import astuple, fields
from typing import Any

import orjson

from synthagent.simulation.map_store import Entry, MapStore, damaged, sound

PATH = "/map"
HEALTH = "/health"
DAMAGED = 422
"""The HTTP status of a request for an entry that the owner cannot use itself."""
AT_ONCE = 3.0
"""Seconds within which a store must answer where nobody waits for one that is being started again."""
MOST_OPERATIONS = 10_000
"""In one request."""
_WIDTH = len(fields(Entry))
_KINDS: tuple[type, ...] = (str, str, object, str, str, str, str, bool, str, str, str, str, str, float)


def packed(entry: Entry | None) -> list[Any] | None:
    """An entry as JSON data."""
    return None if entry is None else list(astuple(entry))


def unpacked(data: Any) -> Entry:
    """The entry that `packed` made. Raises `ValueError` for anything else, and for an entry whose key or id are not its
    own: what comes over a wire is hostile."""
    if not isinstance(data, list) or len(data) != _WIDTH:
        raise ValueError("not an entry")
    for value, kind in zip(data, _KINDS, strict=True):
        fits = (
            isinstance(value, int | float) and not isinstance(value, bool) if kind is float else isinstance(value, kind)
        )
        if not fits:
            raise ValueError("not an entry: a field has the wrong type")
    if not isinstance(data[2], str | None):
        raise ValueError("not an entry: alias_of")
    return sound(Entry(*data))


def entry_in(kept: Any, where: str, *, key: str | None = None, groups: Collection[str] | None = None) -> Entry:
    """What a store gave for an entry, as `packed` data or its JSON.

    `key`, `groups`: what was asked for. Raises `EpisodeFailure` (`map_damaged`) for what is no entry, or another one.
    """
    try:
        entry = unpacked(orjson.loads(kept) if isinstance(kept, bytes) else kept)
    except ValueError as error:
        raise damaged(where, error) from error
    if (key is not None and entry.key != key) or (groups is not None and entry.group not in groups):
        raise damaged(where, f"it is another than was asked for: {entry.key}")
    return entry


async def perform(store: MapStore, operation: Any) -> Any:
    """Does one operation on a store and gives its result as JSON data. Raises `ValueError` for what is none."""
    if not isinstance(operation, list) or not operation or operation[0] not in _OPERATIONS:
        raise ValueError(f"unknown operation: {str(operation)[:80]}")
    name, *arguments = operation
    try:
        return await _OPERATIONS[name](store, *arguments)
    except TypeError as error:
        raise ValueError(f"{name}: {error}") from error


async def _get(store: MapStore, key: str) -> Any:
    return packed(await store.get(str(key)))


async def _put(store: MapStore, entry: Any) -> Any:
    return packed(await store.put(unpacked(entry)))


async def _of(store: MapStore, groups: list[str]) -> Any:
    return [packed(entry) for entry in await store.of([str(group) for group in list(groups)])]


async def _lease(store: MapStore, name: str, holder: str, seconds: float) -> Any:
    return await store.lease(str(name), str(holder), min(float(seconds), 3600.0))


async def _release(store: MapStore, name: str, holder: str) -> Any:
    await store.release(str(name), str(holder))


async def _count(store: MapStore, hits: Mapping[str, int]) -> Any:
    await store.count({str(key): int(number) for key, number in dict(hits).items()})


async def _sizes(store: MapStore, worlds: list[str]) -> Any:
    return await store.sizes([str(world) for world in worlds])


async def _dump(store: MapStore, after: int, most: int) -> Any:
    found = await store.dump(int(after), min(int(most), 1000))
    return [[number, packed(entry), hits] for number, entry, hits in found]


_OPERATIONS: dict[str, Callable[..., Awaitable[Any]]] = {
    "get": _get, "put": _put, "of": _of, "lease": _lease, "release": _release, "count": _count, "sizes": _sizes,
    "dump": _dump,
}  # fmt: skip
