"""States of a world: tables, rows, what differs between two of them, and their digest. Pure."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson


@dataclass(frozen=True, slots=True)
class Table:
    """One table of a world."""

    name: str
    columns: tuple[str, ...]
    key: tuple[str, ...]
    select: str
    """All rows by primary key."""


@dataclass(frozen=True, slots=True)
class RowChange:
    """One row that differs between two states."""

    table: str
    key: tuple[Any, ...]
    before: dict[str, Any] | None
    after: dict[str, Any] | None

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that differ; all of them for a row that came or went."""
        if self.before is None or self.after is None:
            return tuple(self.before or self.after or ())
        return tuple(name for name, value in self.after.items() if self.before[name] != value)


Rows = dict[str, list[tuple[Any, ...]]]
"""Table name -> rows by primary key."""


def folded(digest: str, entries: Sequence[str]) -> str:
    """The digest of a state that simulated writes are a part of."""
    return hashlib.sha256("|".join((digest, *entries)).encode()).hexdigest() if entries else digest


def digest_of(rows: Rows) -> str:
    """SHA-256 over tables by name and rows by primary key; JSON keeps 1, 1.0, "1" and null apart."""
    return hashlib.sha256(orjson.dumps(rows, option=orjson.OPT_SORT_KEYS)).hexdigest()


def diff(tables: Sequence[Table], before: Rows, after: Rows) -> list[RowChange]:
    """Every row that differs, by table and key."""
    changes = []
    for table in tables:
        if before[table.name] == after[table.name]:
            continue
        places = [table.columns.index(column) for column in table.key]
        old = {tuple(row[p] for p in places): row for row in before[table.name]}
        new = {tuple(row[p] for p in places): row for row in after[table.name]}
        for key in sorted(old.keys() | new.keys(), key=repr):
            one, two = old.get(key), new.get(key)
            if one != two:
                changes.append(RowChange(table.name, key, _named(table, one), _named(table, two)))
    return changes


def _named(table: Table, row: tuple[Any, ...] | None) -> dict[str, Any] | None:
    return None if row is None else dict(zip(table.columns, row, strict=True))


def quoted(name: str) -> str:
    """A name as SQL writes identifiers."""
    return '"' + name.replace('"', '""') + '"'
