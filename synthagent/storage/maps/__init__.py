"""Where response maps are kept: `memory`, a SQLite file, an owner over HTTP (`synthagent serve map`), Redis, an
actor of a Ray cluster."""

from pathlib import Path

from synthagent.errors import InputError
from synthagent.simulation.map_store import MapStore, MemoryStore


def open_store(where: str, token: str | None = None) -> MapStore:
    """The store that a word stands for: `memory`, `http://host:port`, `redis://host:port/0`, or a file.

    `token`: for an owner that wants one. Raises `InputError`. Must be called within the loop that uses the store.
    """
    if where == "memory":
        return MemoryStore()
    scheme, mark, _ = where.partition("://")
    if not mark:
        from synthagent.storage.maps.sqlite import SqliteStore

        return SqliteStore.open(Path(where))
    if scheme in ("http", "https"):
        from synthagent.storage.maps.remote import RemoteStore

        return RemoteStore(where, token)
    if scheme in ("redis", "rediss", "valkey"):
        from synthagent.storage.maps.redis import RedisStore

        return RedisStore.open(where)
    if scheme == "ray":
        from synthagent.storage.maps.keeper import store_of

        return store_of(where)
    raise InputError(f"'{where}' is no place for a response map",
                     way_out="memory, a file, http://host:port or redis://host:port/0")  # fmt: skip
