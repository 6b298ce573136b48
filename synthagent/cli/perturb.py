"""perturb: the same tasks under other names."""

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


def run_perturb(path: Path, out: Path, seed: int, kinds: str | None, verify: bool, json: bool) -> None:
    """Writes every task under other names; families that do not hold afterwards go to `out`.d/rejected.jsonl."""
    chosen = tuple(part.strip() for part in kinds.split(",")) if kinds else KINDS
    wrong = [kind for kind in chosen if kind not in KINDS]
    if wrong:
        raise InputError(f"--kinds: '{wrong[0]}' is not known", way_out=f"known: {', '.join(KINDS)}")
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
                new = [perturbed(task, seed, cast(tuple[Kind, ...], chosen)) for task in family]
                found = [str(o) for o in runner.run(objections(new))] if verify else []
                tick(f"({rejected} rejected)")
                if found:
                    rejected += len(new)
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
