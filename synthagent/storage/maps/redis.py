"""A response map in Redis or Valkey (7.0 or newer), for many workers on many machines.

How much of it survives the server's own restart is the server's matter: turn on its append-only file.
"""

from collections.abc import Awaitable, Mapping, Sequence
from typing import Any, cast

import anyio
import orjson

from synthagent.errors import EpisodeFailure, InputError
from synthagent.simulation.map_store import MAP_SCHEMA, Entry
from synthagent.storage.maps.wire import AT_ONCE, entry_in, packed

_PREFIX = "{synthagent.map}"
"""With the braces, all keys lie on one node of a cluster: an entry and the lists that name it change together."""
_PUT = """
local there = redis.call('SET', KEYS[1], ARGV[1], 'NX', 'GET')
if there then return there end
redis.call('RPUSH', KEYS[2], ARGV[2])
redis.call('RPUSH', KEYS[3], ARGV[2])
redis.call('HSET', KEYS[5], ARGV[2], redis.call('LLEN', KEYS[3]))
if ARGV[3] == '1' then redis.call('HINCRBY', KEYS[4], ARGV[4], 1) end
return false
"""
_LEASE = """
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
"""
_RELEASE = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"


class RedisStore:
    """See `MapStore`. Raises `EpisodeFailure` (infrastructure) when the server does not answer."""

    def __init__(self, client: Any, where: str):
        self._client, self._where = client, where
        self._put = client.register_script(_PUT)
        self._lease = client.register_script(_LEASE)
        self._release = client.register_script(_RELEASE)

    @classmethod
    def open(cls, url: str) -> "RedisStore":
        """The map on a server. Raises `InputError` when the client is not installed or the address is none."""
        try:
            from redis.asyncio import from_url
            from redis.asyncio.retry import Retry
            from redis.backoff import ExponentialBackoff
        except ImportError as error:
            way_out = "pip install 'synthagent[redis]'"
            raise InputError("there is no client for Redis here", where=url, way_out=way_out) from error
        try:
            client = from_url(
                url.replace("valkey://", "redis://", 1), retry=Retry(ExponentialBackoff(cap=2, base=0.05), 6),
                socket_timeout=30,
            )  # fmt: skip
        except ValueError as error:
            raise InputError(str(error), where=url) from error
        return cls(client, url)

    async def ping(self) -> None:
        try:
            with anyio.fail_after(AT_ONCE):
                await self._done(self._client.ping())
        except TimeoutError as error:
            raise EpisodeFailure(f"{self._where}: no answer", reason="map_unavailable") from error

    async def get(self, key: str) -> Entry | None:
        body = await self._done(self._client.get(_key("entry", key)))
        return None if body is None else entry_in(body, self._where, key=key)

    async def put(self, entry: Entry) -> Entry:
        keys = [_key("entry", entry.key), _key("group", entry.group), _key("order"), _key("sizes"), _key("number")]
        body = orjson.dumps(packed(entry))
        there = await self._done(
            self._put(keys=keys, args=[body, entry.key, int(entry.alias_of is None), entry.world_id])
        )
        return entry if there is None else entry_in(there, self._where, key=entry.key)

    async def of(self, groups: Sequence[str]) -> list[Entry]:
        keys: list[bytes] = []
        for group in groups:
            keys += await self._done(self._client.lrange(_key("group", group), 0, -1))
        if len(groups) > 1 and keys:
            numbers = await self._done(self._client.hmget(_key("number"), keys))
            keys = [key for _, key in sorted(zip(map(int, numbers), keys, strict=True))]
        return await self._entries(keys, groups)

    async def lease(self, name: str, holder: str, seconds: float) -> bool:
        milliseconds = max(1, int(seconds * 1000))
        return bool(await self._done(self._lease(keys=[_key("lease", name)], args=[holder, milliseconds])))

    async def release(self, name: str, holder: str) -> None:
        await self._done(self._release(keys=[_key("lease", name)], args=[holder]))

    async def count(self, hits: Mapping[str, int]) -> None:
        pipe = self._client.pipeline(transaction=False)
        for key, number in hits.items():
            pipe.hincrby(_key("hits"), key, number)
        await self._done(pipe.execute())

    async def sizes(self, worlds: Sequence[str]) -> dict[str, int]:
        if not worlds:
            return {}
        found = await self._done(self._client.hmget(_key("sizes"), list(worlds)))
        return {world: int(size or 0) for world, size in zip(worlds, found, strict=True)}

    async def dump(self, after: int, most: int) -> list[tuple[int, Entry, int]]:
        keys = await self._done(self._client.lrange(_key("order"), after, after + most - 1))
        hits = await self._done(self._client.hmget(_key("hits"), keys)) if keys else []
        entries = await self._entries(keys)
        return [
            (after + number, entry, int(count or 0))
            for number, (entry, count) in enumerate(zip(entries, hits, strict=True), start=1)
        ]

    async def aclose(self) -> None:
        await self._client.aclose()

    async def _entries(self, keys: Sequence[bytes], groups: Sequence[str] | None = None) -> list[Entry]:
        if not keys:
            return []
        bodies = await self._done(self._client.mget([_key("entry", key.decode()) for key in keys]))
        return [
            entry_in(body, self._where, key=key.decode(), groups=groups)
            for body, key in zip(bodies, keys, strict=True)
            if body is not None
        ]

    async def _done(self, wish: Any) -> Any:
        from redis.exceptions import RedisError

        try:
            return await cast(Awaitable[Any], wish)
        except (RedisError, OSError) as error:
            raise EpisodeFailure(f"{self._where}: {error}", reason="map_unavailable") from error


def _key(*parts: str) -> str:
    return ":".join((_PREFIX, MAP_SCHEMA, *parts))
