"""A SQLite file of ours with one owner: one process, one connection, and nobody else's tables.

Several processes on one WAL file can lose each other's writes in SQLite below 3.51.3; an owner that keeps the others
out cannot. The kernel lets go when the owner dies.
"""

import sqlite3
from collections.abc import Sequence
from pathlib import Path

from synthagent.errors import InputError

_LARGEST = 64 * 1024 * 1024
"""Bytes of one value in the file: eight times the longest reply that a client reads."""


def owned(path: Path, schema: str, tables: Sequence[str], what: str) -> sqlite3.Connection:
    """The file, made if it is not there, in autocommit mode.

    `schema` is its version, kept in a table `about`; `tables`: the statements that make its other tables and indices;
    `what` it holds, for messages. Raises `InputError` when it is another file, is damaged, or is owned by another
    process.
    """
    try:
        db = sqlite3.connect(path, isolation_level=None, timeout=0.2)
        try:
            _own(db, path, schema, ("CREATE TABLE about (schema TEXT PRIMARY KEY)", *tables), what)
        except BaseException:
            db.close()
            raise
    except sqlite3.OperationalError as error:
        if "locked" in str(error):
            raise InputError(f"another process has these {what} open", where=str(path)) from error
        raise InputError(f"cannot be opened: {error}", where=str(path)) from error
    except sqlite3.DatabaseError as error:
        raise InputError(f"no file of {what}: {error}", where=str(path), way_out="remove or rename it") from error
    return db


def _own(db: sqlite3.Connection, path: Path, schema: str, tables: Sequence[str], what: str) -> None:
    """Takes the file for this process and lays it out if it is empty. Raises `InputError` for somebody else's."""
    db.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _LARGEST)
    db.execute("PRAGMA locking_mode = EXCLUSIVE")
    # Before anything is written: another program's database must stay as it is, and ours brings no triggers along.
    there = {row[0] for row in db.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL LIMIT 100")}
    if not there <= set(tables):
        way_out = "use another file"
        raise InputError(f"no file of {what} that this version knows: it holds other tables", where=str(path),
                         way_out=way_out)  # fmt: skip
    db.execute("PRAGMA journal_mode = WAL")
    # A kill loses nothing that was committed; a power cut may lose the last lines, never the file.
    db.execute("PRAGMA synchronous = NORMAL")
    for table in tables:
        if table not in there:
            db.execute(table)
    found = [row[0] for row in db.execute("SELECT schema FROM about LIMIT 2")]
    if not found:
        db.execute("INSERT INTO about VALUES (?)", (schema,))
    elif found != [schema]:
        raise InputError(f"unknown version {found[0]!r}", where=str(path), way_out=f"this version reads {schema}")
