"""Entries of a response map behind an episode's simulated tools: who first wrote an answer, which model, and when.

A map in a file is owned by one process (see `storage.maps.sqlite`). It is read here without becoming its owner: opened
for reading only, without waiting, and let go at once. While an owner has it, SQLite turns us away, and we say so.
"""

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

from synthagent.errors import EpisodeFailure, InputError
from synthagent.schema.episodes import Episode, ToolEvent
from synthagent.schema.record import Json
from synthagent.schema.tasks import Task
from synthagent.simulation.map_store import MAP_SCHEMA, Entry, MapUnavailable
from synthagent.storage.maps.wire import entry_in

MOST = 50_000
"""Entries of one world that are looked through."""
_LARGEST = 64 << 20
"""Bytes of one value."""


def behind(episode: Episode, task: Task, store: str, others: Iterable[Path]) -> Json:
    """`{where, entries, error}`: id -> entry with its hits, of every entry that the episode's tool calls name.

    `store`: what the run's manifest says of its map; `others`: files to look into where that one is not there.
    `error` says why there are none, or why some are missing.
    """
    ids = {id_ for event in episode.events if isinstance(event, ToolEvent) for id_ in (event.entry_id, event.alias_of)}
    wanted = {id_ for id_ in ids if id_ is not None}
    try:
        path = located(store, others)
        entries = {entry.entry_id: (entry, hits) for entry, hits in of_world(path, task.world_id)}
    except (InputError, EpisodeFailure) as error:
        return {"where": None, "entries": {}, "error": str(error)}
    # The answer that an alias repeats may be named by the map alone.
    wanted |= {entry.root for id_, (entry, _) in entries.items() if id_ in wanted}
    found = {id_: {**asdict(entry), "hits": hits} for id_, (entry, hits) in entries.items() if id_ in wanted}
    missing = None if wanted <= entries.keys() else "some of the episode's entries are not in this map"
    return {"where": str(path), "entries": found, "error": missing}


def located(store: str, others: Iterable[Path]) -> Path:
    """The file of a map. Raises `MapUnavailable` where it is in none, or not to be found."""
    if not store:
        raise MapUnavailable("the run says of no response map")
    if store == "memory":
        raise MapUnavailable("the response map was kept in memory, and is gone with the run")
    if "://" in store:
        # The address comes out of a file, and may hold a password: it is neither asked nor told.
        scheme = store.partition("://")[0][:10]
        way_out = "`synthagent map export` gives its entries"
        raise MapUnavailable(f"the response map is not in a file, but behind {scheme}", way_out=way_out)
    for path in (Path(store), *others):
        if path.is_file():
            return path
    raise MapUnavailable("the response map is not there", where=store, way_out="start from the folder of the run")


def of_world(path: Path, world_id: str) -> Iterator[tuple[Entry, int]]:
    """The entries of a world with their hits, in the order in which they came.

    Raises `MapUnavailable` when the file is another process's at the moment, or no map; `EpisodeFailure` for an entry
    that cannot be used.
    """
    try:
        # `immutable` would look past the owner's lock, at a file that changes.
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=0.0)) as db:
            rows = _rows(db, path, world_id)
    except sqlite3.OperationalError as error:
        if "locked" in str(error):
            way_out = "it can be read when that process is done"
            raise MapUnavailable("another process owns this map", where=str(path), way_out=way_out) from error
        raise MapUnavailable(f"cannot be read: {error}", where=str(path)) from error
    except sqlite3.DatabaseError as error:
        raise MapUnavailable(f"no response map: {error}", where=str(path)) from error
    for body, key, hits in rows:
        yield entry_in(body, str(path), key=key), hits


def _rows(db: sqlite3.Connection, path: Path, world_id: str) -> list[Any]:
    db.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _LARGEST)
    if [row[0] for row in db.execute("SELECT schema FROM about LIMIT 2")] != [MAP_SCHEMA]:
        raise MapUnavailable("no response map of this version", where=str(path), way_out=f"it reads {MAP_SCHEMA}")
    query = "SELECT body, key, hits FROM entries WHERE world = ? ORDER BY number LIMIT ?"
    return db.execute(query, (world_id, MOST)).fetchall()
