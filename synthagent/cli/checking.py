"""check: every task of a file verified again, with a simulator where tools have no program."""

from collections import defaultdict
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import anyio

from synthagent.cli.agents import Models
from synthagent.cli.casting import Others, mapped
from synthagent.cli.console import print_json, progress, say
from synthagent.config import Settings, settings
from synthagent.schema.tasks import Task
from synthagent.simulation.episode import prepare
from synthagent.storage.task_file import read_tasks, write_tasks
from synthagent.synthesis.red_team import too_easy
from synthagent.synthesis.screening import Objection, objections, pending, screened


def run_check(
    path: Path,
    fix_ids: bool,
    json: bool,
    with_: Others | None = None,
    out: Path | None = None,
    config: Path | None = None,
) -> None:
    """Verifies every task again; exits with 1 when something is wrong. `out`: where the tasks that hold go."""
    import typer

    grouped: dict[str, list[Task]] = defaultdict(list)
    for task in read_tasks(path, fix_ids=fix_ids):
        grouped[task.family].append(task)
    count = sum(map(len, grouped.values()))
    found = anyio.run(_checked, list(grouped.values()), with_ or Others(), settings(config, {}))
    if fix_ids:
        write_tasks(path, (task for family in grouped.values() for task in family))
    if out is not None:
        wrong = {objection.family for objection in found}
        simulating = with_ is not None and with_.simulating
        good = (task for family, tasks in grouped.items() if family not in wrong for task in tasks)
        write_tasks(out, (screened(task) if simulating else task for task in good))
    if json:
        print_json({"tasks": count, "objections": [_plain(o) for o in found]})
    else:
        for objection in found:
            say(f"{path}: {objection}")
        say(f"{count} tasks, {len(found)} objections")
    if found:
        raise typer.Exit(1)


async def _checked(families: Sequence[Sequence[Task]], with_: Others, chosen: Settings) -> list[Objection]:
    found: list[Objection] = []
    async with AsyncExitStack() as stack:
        tools = await stack.enter_async_context(mapped(with_, chosen, Models(stack, chosen)))
        with progress("checking", len(families)) as tick:
            for family in families:
                wrong = await objections(family, tools=tools)
                for task in family if tools is not None and not wrong else ():
                    if pending(task):
                        easy = await too_easy(prepare(task), tools)
                        wrong += [Objection(task.id, task.family, "red team", text) for text in easy]
                found += wrong
                tick(f"families, {len(found)} objections")
    return found


def _plain(objection: Objection) -> dict[str, Any]:
    return {
        "task": objection.task_id,
        "family": objection.family,
        "screen": objection.screen,
        "text": objection.text,
    }
