"""What commands print: tables, JSON, and progress that suits a terminal or a log."""

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import orjson
import typer
from rich.console import Console
from rich.measure import Measurement
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

Tick = Callable[[str], None]
"""Says that one more piece is done, with a word on how it goes."""

_WIDEST = 10_000
"""Columns of a terminal in which every table fits."""

PLAIN_EVERY = 5.0
"""Seconds between progress lines when nobody watches a terminal."""


def console(*, err: bool = False) -> Console:
    """A console that does not wrap tables in a pipe."""
    stream = sys.stderr if err else sys.stdout
    return Console(stderr=err, width=None if stream.isatty() else 160, highlight=False)


def print_json(value: Any) -> None:
    typer.echo(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode())


def print_table(
    rows: Sequence[Mapping[str, Any]], columns: Sequence[str], title: str = "", *, turn: bool = False
) -> None:
    """Rows as a table; numbers to the right, None as a dash. `turn`: rows become columns where it is too wide."""
    out = console()
    tables = [_table(rows, columns, title)]
    if turn:
        tables += [_table(rows, columns, title, apart="\n"), _turned(rows, columns, title)]
    wide = out.options.update(width=_WIDEST)
    widths = [Measurement.get(out, wide, table).maximum for table in tables]
    fitting = next((place for place, width in enumerate(widths) if width <= out.width), widths.index(min(widths)))
    out.print(tables[fitting])


def _turned(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], title: str) -> Table:
    table = Table(title=title or None, title_justify="left")
    table.add_column(columns[0].replace("_", " "))
    for row in rows:
        table.add_column(_cell(row.get(columns[0])), justify="right", overflow="fold")
    for column in columns[1:]:
        table.add_row(column.replace("_", " "), *(_cell(row.get(column)) for row in rows))
    return table


def _table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], title: str, apart: str = " ") -> Table:
    """`apart`: what stands between the words of a heading."""
    table = Table(title=title or None, title_justify="left")
    for place, column in enumerate(columns):
        number = any(isinstance(row.get(column), int | float) for row in rows)
        table.add_column(
            column.replace("_", apart), justify="right" if number else "left", overflow="fold", no_wrap=place == 0
        )
    for row in rows:
        table.add_row(*(_cell(row.get(column)) for column in columns))
    return table


def _cell(value: Any) -> str:
    from rich.markup import escape

    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.3f}"
    if isinstance(value, dict):
        return ", ".join(f"{escape(str(key))} {_cell(item)}" for key, item in value.items()) or "-"
    return escape(str(value))


def say(text: str) -> None:
    """A line for a person, on stderr, so that stdout stays clean for figures."""
    typer.echo(text, err=True)


@contextmanager
def progress(title: str, total: int) -> Iterator[Tick]:
    """A progress bar on a terminal, a line every few seconds elsewhere. Both on stderr."""
    if sys.stderr.isatty():
        bar = Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
            TimeRemainingColumn(), TextColumn("{task.fields[word]}"), console=console(err=True), transient=True,
        )  # fmt: skip
        with bar:
            task = bar.add_task(title, total=total, word="")
            yield lambda word: bar.update(task, advance=1, word=word)
        return
    state = {"done": 0, "last": time.monotonic()}

    def tick(word: str) -> None:
        state["done"] += 1
        if time.monotonic() - state["last"] >= PLAIN_EVERY:
            state["last"] = time.monotonic()
            say(f"{title}: {int(state['done'])} of {total} {word}".rstrip())

    yield tick
