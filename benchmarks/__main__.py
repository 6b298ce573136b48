"""Measures, prints a table, and writes JSON: name -> value, unit, floor, ratio, target, passed."""

import argparse
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.figures import Figure, machine
from benchmarks.maps import maps
from benchmarks.model_calls import model_calls
from benchmarks.startup import help_
from benchmarks.teaching import teaching
from benchmarks.throughput import episodes, synthesis
from benchmarks.worlds import tool_step, world_reset
from synthagent.cli.main import collect_less

BENCHMARKS: dict[str, Callable[[], Iterator[Figure]]] = {
    "help": help_,
    "world_reset": world_reset,
    "tool_step": tool_step,
    "episodes": episodes,
    "synthesis": synthesis,
    "model_calls": model_calls,
    "teaching": teaching,
    "maps": maps,
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the benchmarks that were asked for, all by default."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="where the JSON goes")
    parser.add_argument("--only", action="append", choices=list(BENCHMARKS), metavar="NAME", help=", ".join(BENCHMARKS))
    chosen = parser.parse_args(arguments)
    about = machine()
    collect_less()  # as every command does
    figures: list[Figure] = []
    for name in chosen.only or BENCHMARKS:
        figures += BENCHMARKS[name]()
    chosen.out.parent.mkdir(parents=True, exist_ok=True)
    found = {"_machine": about, **{figure.name: figure.plain() for figure in figures}}
    chosen.out.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    Console(width=100).print(_table(figures))


def _table(figures: Sequence[Figure]) -> Table:
    table = Table(title="benchmarks", title_justify="left")
    for column in ("name", "value", "unit", "floor", "ratio", "target", "passed"):
        table.add_column(column, justify="right" if column in ("value", "floor", "ratio") else "left")
    for figure in figures:
        line = figure.plain()
        numbers = ("-" if line[key] is None else f"{line[key]:g}" for key in ("floor", "ratio"))
        passed = "yes" if figure.passed else "[red]no[/]"
        table.add_row(figure.name, f"{line['value']:g}", figure.unit, *numbers, line["target"], passed)
    return table


if __name__ == "__main__":
    main()
