"""perturb: the same tasks under other names, or without their information gap."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import cast

from synthagent.cli.console import print_json, progress, say
from synthagent.errors import InputError
from synthagent.schema.tasks import Task
from synthagent.storage.atomic import make_folder
from synthagent.storage.journal import Journal
from synthagent.storage.task_file import read_tasks, write_tasks
from synthagent.synthesis.perturbing import KINDS, Kind, perturbed
from synthagent.synthesis.screening import objections
from synthagent.synthesis.ungapped import without_gap

WITHOUT_GAP = "no-gap"
"""The kind that is none of `KINDS`: it changes what a task asks, so it is never part of "all"."""


def run_perturb(path: Path, out: Path, seed: int, kinds: str | None, verify: bool, json: bool) -> None:
    """Writes every task changed; families that do not hold afterwards go to `out`.d/rejected.jsonl."""
    chosen = _kinds(kinds)
    begun = time.monotonic()
    grouped: dict[str, list[Task]] = defaultdict(list)
    for task in read_tasks(path):
        grouped[task.family].append(task)
    folder = make_folder(out.with_name(out.name + ".d"))
    (folder / "rejected.jsonl").unlink(missing_ok=True)
    rejected = 0
    with (
        Journal.open(folder / "rejected.jsonl") as journal,
        asyncio.Runner() as runner,
        progress("perturbing", len(grouped)) as tick,
    ):

        def tasks() -> Iterator[Task]:
            nonlocal rejected
            for name, family in grouped.items():
                new, found = _changed(family, seed, chosen)
                if verify and not found:
                    found = [str(o) for o in runner.run(objections(new))]
                tick(f"({rejected} rejected)")
                if found:
                    rejected += len(family)
                    journal.append({"family": name, "reasons": found})
                else:
                    yield from new

        count = write_tasks(out, tasks())
    result = {
        "tasks": sum(map(len, grouped.values())),
        "perturbed": count,
        "rejected": rejected,
        "seconds": round(time.monotonic() - begun, 3),
    }
    if json:
        print_json(result)
    else:
        say(f"{count} tasks in {out}, {rejected} rejected (reasons in {folder / 'rejected.jsonl'})")


def _kinds(text: str | None) -> tuple[str, ...]:
    """The kinds that were asked for. Raises `InputError` for one that does not exist."""
    chosen = tuple(part.strip() for part in text.split(",")) if text else KINDS
    known = (*KINDS, WITHOUT_GAP)
    wrong = [kind for kind in chosen if kind not in known]
    if wrong:
        raise InputError(f"--kinds: '{wrong[0]}' is not known", way_out=f"known: {', '.join(known)}")
    return chosen


def _changed(family: list[Task], seed: int, chosen: tuple[str, ...]) -> tuple[list[Task], list[str]]:
    """The family changed, and why it cannot be."""
    names = cast(tuple[Kind, ...], tuple(kind for kind in chosen if kind != WITHOUT_GAP))
    try:
        told = [without_gap(task) for task in family] if WITHOUT_GAP in chosen else family
    except InputError as error:
        return [], [str(error)]
    return [perturbed(task, seed, names) for task in told], []
