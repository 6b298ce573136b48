"""The records behind the tools: tables as columns and rows, and what becomes of them in SQLite."""

import re
import sqlite3
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from synthagent.errors import TaskFault
from synthagent.schema.record import Record
from synthagent.schema.tasks import World
from synthagent.simulation.compiling import compile_world
from synthagent.synthesis.drafts import Name, Scalar

_TYPES = {"INTEGER": "INTEGER", "INT": "INTEGER", "BOOLEAN": "INTEGER", "BOOL": "INTEGER", "BIGINT": "INTEGER",
          "REAL": "REAL", "FLOAT": "REAL", "DOUBLE": "REAL", "DECIMAL": "REAL", "NUMERIC": "REAL"}  # fmt: skip


def _type(value: Any) -> Any:
    """SQL types as people write them -> the three of a STRICT table; all else is text (dates, names, ids)."""
    return _TYPES.get(value.split("(")[0].strip().upper(), "TEXT") if isinstance(value, str) else value


class Column(Record):
    """One column of a table."""

    name: Name
    type: Annotated[Literal["TEXT", "INTEGER", "REAL"], BeforeValidator(_type)]
    """Dates and ids are TEXT, money is an INTEGER of cents, yes/no is an INTEGER 0 or 1."""
    key: bool = False
    """Part of the primary key."""


class TableDraft(Record):
    """One table with its rows."""

    name: Name
    columns: tuple[Column, ...] = Field(min_length=1, max_length=12)
    rows: tuple[tuple[Scalar, ...], ...] = Field(min_length=1, max_length=40)
    """Each a list with one value a column, in the columns' order."""


class TablesDraft(Record):
    """The records behind the tools."""

    now: str
    """The moment at which it all happens: YYYY-MM-DDTHH:MM:SS"""
    tables: tuple[TableDraft, ...] = Field(min_length=1, max_length=6)


def typed(draft: TablesDraft) -> TablesDraft:
    """The tables, a column of numbers that holds words in truth being one of text."""
    return draft.model_copy(update={"tables": tuple(_typed(table) for table in draft.tables)})


def _typed(table: TableDraft) -> TableDraft:
    columns = tuple(
        column.model_copy(update={"type": "TEXT"})
        if column.type != "TEXT"
        and any(isinstance(_stored(row[n], column.type), str) for row in table.rows if len(row) > n)
        else column
        for n, column in enumerate(table.columns)
    )
    return table.model_copy(update={"columns": columns})


def table_faults(draft: TablesDraft) -> Iterator[str]:
    """What keeps the tables from being a world, in words for their author."""
    for table in draft.tables:
        if not any(column.key for column in table.columns):
            yield f"{table.name}: no column is marked as key"
        for number, row in enumerate(table.rows):
            if len(row) != len(table.columns):
                yield f"{table.name}, row {number + 1}: {len(row)} values for {len(table.columns)} columns"
    try:
        world = World(now=draft.now, ddl=ddl_of(draft), rows=rows_of(draft), programs={})
        compile_world((), world, "draft")
    except (TaskFault, ValueError, sqlite3.Error) as fault:
        yield str(fault)
    if not re.fullmatch(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2})?", draft.now):
        yield f"now: '{draft.now[:40]}' is no moment such as 2031-05-07T10:00:00"


def ddl_of(draft: TablesDraft) -> str:
    """CREATE TABLE statements for drafted tables."""
    return "\n".join(_create(table) for table in draft.tables)


def _create(table: TableDraft) -> str:
    # Names are \w+ by `snake`: quoting keeps SQL's own words (order, group) usable, nothing can end the quotes.
    columns = ", ".join(f'"{column.name}" {column.type}' for column in table.columns)
    keys = ", ".join(f'"{column.name}"' for column in table.columns if column.key)
    return f'CREATE TABLE "{table.name}" ({columns}, PRIMARY KEY ({keys})) STRICT;'


def rows_of(draft: TablesDraft) -> dict[str, tuple[tuple[Any, ...], ...]]:
    """Rows, each value in its column's type where that is plain (a number written as text, a truth as 0 or 1)."""
    return {
        table.name: tuple(
            tuple(_stored(value, column.type) for value, column in zip(row, table.columns, strict=False))
            for row in table.rows
        )
        for table in draft.tables
    }


def _stored(value: Scalar, kind: str) -> Any:
    if isinstance(value, bool):
        return int(value) if kind == "INTEGER" else str(value).lower() if kind == "TEXT" else float(value)
    if kind == "TEXT" and isinstance(value, int | float):
        return str(value)
    if kind != "TEXT" and isinstance(value, str):
        try:
            return int(value) if kind == "INTEGER" else float(value)
        except ValueError:
            return value  # the table's own type check says what is wrong
    if kind == "INTEGER" and isinstance(value, float) and value.is_integer():
        return int(value)
    return float(value) if kind == "REAL" and isinstance(value, int) else value
