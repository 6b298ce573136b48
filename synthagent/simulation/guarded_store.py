"""The boundary between an episode and the store of its response map: whatever a store suffers is infrastructure's."""

from collections.abc import Awaitable, Mapping, Sequence
from typing import TypeVar

from synthagent.errors import EpisodeFailure, InputError
from synthagent.simulation.map_store import Entry, MapStore

T = TypeVar("T")


class GuardedStore:
    """A store as the response map uses it.

    A store that refuses, is full or is gone raises `EpisodeFailure` (`map_unavailable`), and nothing else.
    """

    def __init__(self, store: MapStore):
        self._store = store

    async def get(self, key: str) -> Entry | None:
        return await _done(self._store.get(key))

    async def put(self, entry: Entry) -> Entry:
        return await _done(self._store.put(entry))

    async def of(self, groups: Sequence[str]) -> list[Entry]:
        return await _done(self._store.of(groups))

    async def lease(self, name: str, holder: str, seconds: float) -> bool:
        return await _done(self._store.lease(name, holder, seconds))

    async def release(self, name: str, holder: str) -> None:
        await _done(self._store.release(name, holder))

    async def count(self, hits: Mapping[str, int]) -> None:
        await _done(self._store.count(hits))


async def _done(wish: Awaitable[T]) -> T:
    try:
        return await wish
    except (InputError, OSError) as error:
        raise EpisodeFailure(f"the response map cannot be used: {error}", reason="map_unavailable") from error
