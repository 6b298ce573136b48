"""A response map in a SQLite file. One process owns it; for many processes one of them serves it."""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import astuple
from pathlib import Path

import orjson

from synthagent.errors import InputError
from synthagent.owned import owned
from synthagent.simulation.map_store import MAP_SCHEMA, Entry, Leases, MapUnavailable
from synthagent.storage.maps.wire import entry_in

_TABLES = (
    "CREATE TABLE entries (number INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, family TEXT NOT NULL, "
    "world TEXT NOT NULL, own INTEGER NOT NULL, body BLOB NOT NULL, hits INTEGER NOT NULL DEFAULT 0)",
    "CREATE INDEX entries_by_family ON entries (family, number)",
    "CREATE INDEX entries_by_world ON entries (world, own)",
)
_INSERT = (
    "INSERT INTO entries (key, family, world, own, body) VALUES (?, ?, ?, ?, ?) ON CONFLICT (key) DO NOTHING"
)  # fmt: skip


class SqliteStore:
    """See `MapStore`. An entry is in the file when `put` returns: a killed process loses none."""

    def __init__(self, path: Path, db: sqlite3.Connection):
        self.path = path
        self._db = db
        self._leases = Leases()

    @classmethod
    def open(cls, path: Path) -> "SqliteStore":
        """The map in this file, made if it is not there. Raises `InputError` when it cannot be owned."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            return cls(path, owned(path, MAP_SCHEMA, _TABLES, "entries of a response map"))
        except InputError as error:
            if "another process" in str(error):
                raise MapUnavailable(
                    f"{error}", way_out=f"share it: synthagent serve map {path}, and --map-store http://..."
                ) from error
            raise
        except OSError as error:
            raise InputError(f"cannot be made: {error.strerror}", where=str(path)) from error

    @contextmanager
    def together(self) -> Iterator[None]:
        """Everything that is put within becomes one commit; nothing may wait within."""
        with self._using():
            self._db.execute("BEGIN")
        try:
            yield
            with self._using():
                self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise

    @contextmanager
    def _using(self) -> Iterator[None]:
        """Raises `MapUnavailable` where SQLite fails: the disk is full or gone, the file is damaged."""
        try:
            yield
        except sqlite3.Error as error:
            raise MapUnavailable(f"cannot be used: {error}", where=str(self.path)) from error

    async def ping(self) -> None:
        with self._using():
            self._db.execute("SELECT number FROM entries LIMIT 1").fetchall()

    async def get(self, key: str) -> Entry | None:
        with self._using():
            row = self._db.execute("SELECT body FROM entries WHERE key = ?", (key,)).fetchone()
        return entry_in(row[0], str(self.path), key=key) if row else None

    async def put(self, entry: Entry) -> Entry:
        row = (entry.key, entry.group, entry.world_id, entry.alias_of is None, orjson.dumps(astuple(entry)))
        with self._using():
            if self._db.execute(_INSERT, row).rowcount:
                return entry
        there = await self.get(entry.key)
        assert there is not None  # entries are never removed
        return there

    async def of(self, groups: Sequence[str]) -> list[Entry]:
        marks = ", ".join("?" * len(groups))
        query = f"SELECT body, key FROM entries WHERE family IN ({marks}) ORDER BY number"
        with self._using():
            rows = self._db.execute(query, tuple(groups)).fetchall()
        return [entry_in(body, str(self.path), key=key, groups=groups) for body, key in rows]

    async def lease(self, name: str, holder: str, seconds: float) -> bool:
        return self._leases.take(name, holder, seconds)  # all who could want it are in this process

    async def release(self, name: str, holder: str) -> None:
        self._leases.release(name, holder)

    async def count(self, hits: Mapping[str, int]) -> None:
        update = "UPDATE entries SET hits = hits + ? WHERE key = ?"
        with self._using():
            self._db.executemany(update, [(number, key) for key, number in hits.items()])

    async def sizes(self, worlds: Sequence[str]) -> dict[str, int]:
        query = "SELECT count(*) FROM entries WHERE world = ? AND own"
        with self._using():
            return {world: self._db.execute(query, (world,)).fetchone()[0] for world in worlds}

    async def dump(self, after: int, most: int) -> list[tuple[int, Entry, int]]:
        query = "SELECT number, body, key, hits FROM entries WHERE number > ? ORDER BY number LIMIT ?"
        with self._using():
            rows = self._db.execute(query, (after, most)).fetchall()
        return [(number, entry_in(body, str(self.path), key=key), hits) for number, body, key, hits in rows]

    async def aclose(self) -> None:
        self._db.close()
