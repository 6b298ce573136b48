"""audit: what a task set shares with evaluation sets, and how diverse it is."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from random import Random

import orjson
import typer

from synthagent.audit import diversity
from synthagent.audit.decontamination import FAILING, Index, Overlap, hits, overlaps
from synthagent.cli.console import print_json, print_table, progress, say
from synthagent.errors import InputError
from synthagent.schema.tasks import Task
from synthagent.storage.atomic import replacing
from synthagent.storage.task_file import read_tasks

_SHOWN = 50
"""Findings printed; all of them go into --out and --json."""


def run_decontaminate(tasks: Path, against: Sequence[Path], allow: Path | None, out: Path | None, json: bool) -> None:
    """Prints what is shared; exits with 1 when something is that should not be."""
    index = Index()
    for path in against:
        index.read(path)
    if not index.files:
        raise InputError("nothing to read there", where=", ".join(map(str, against)))
    with progress("tasks", 0) as tick:
        found = list(overlaps(_ticked(read_tasks(tasks), tick), index, _lines(allow)))
    failing = [overlap for overlap in found if overlap.kind in FAILING]
    if out is not None:
        with replacing(out) as write:
            for overlap in found:
                write(orjson.dumps(asdict(overlap), option=orjson.OPT_APPEND_NEWLINE))
    if json:
        print_json({"overlaps": [asdict(overlap) for overlap in failing], "hits": hits(found), "files": index.files})
    else:
        _print(found, index)
    if failing:
        raise typer.Exit(1)


def _print(found: Sequence[Overlap], index: Index) -> None:
    if found:
        print_table([asdict(overlap) for overlap in found[:_SHOWN]], ("kind", "task", "field", "text", "seen"))
    if len(found) > _SHOWN:
        say(f"and {len(found) - _SHOWN} more: --out FILE has them all")
    for path in index.skipped:
        say(f"{path}: not text, passed over")
    counted = ", ".join(f"{number} {kind}" for kind, number in hits(found).items()) or "nothing shared"
    say(f"{counted}, against {index.files} files")


def _ticked(tasks: Iterator[Task], tick: object) -> Iterator[Task]:
    for task in tasks:
        yield task
        tick("")  # type: ignore[operator]


def _lines(path: Path | None) -> list[str]:
    if path is None:
        return []
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot be read: {error}", where=str(path)) from error


def run_diversity(path: Path, sample: int, seed: int, json: bool) -> None:
    """Prints the figures of a set, or of a sample of it if it is large."""
    chosen, total = _sampled(read_tasks(path), sample, seed)
    if not chosen:
        raise InputError("holds no tasks", where=str(path))
    near = diversity.nearest(chosen)
    found = {
        "tasks": total,
        "looked_at": len(chosen),
        "words": diversity.average_words(chosen),
        "distinct_n": diversity.distinct_n(chosen),
        "vendi": round(diversity.vendi([task.brief.instruction for task in chosen]), 2),
        "tool_sequences": diversity.tool_sequences(chosen),
        "nearest": near,
    }
    if json:
        print_json(found)
        return
    shown = {**found, "nearest": {name: share for name, share in near.items() if name != "pairs"}}
    print_table([{"figure": name, "value": value} for name, value in shown.items()], ("figure", "value"))
    if near["pairs"]:
        print_table(near["pairs"], ("one", "two", "similarity"), title="nearest families")


def _sampled(tasks: Iterator[Task], most: int, seed: int) -> tuple[list[Task], int]:
    """All tasks, or a uniform sample of them in one pass (reservoir sampling), and how many there are."""
    random, kept, count = Random(seed), list[Task](), 0
    for task in tasks:
        count += 1
        if len(kept) < most:
            kept.append(task)
        elif (place := random.randrange(count)) < most:
            kept[place] = task
    return kept, count
