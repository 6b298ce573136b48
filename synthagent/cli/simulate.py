"""simulate: programs taken away from tasks, so that a model has to stand in for the tools."""

from collections.abc import Iterator
from pathlib import Path

from synthagent.cli.console import print_json, progress, say
from synthagent.errors import InputError
from synthagent.schema.tasks import Task
from synthagent.storage.task_file import read_tasks, write_tasks
from synthagent.synthesis.simulating import simulated


def run_simulate(tasks: Path, out: Path, only: str | None, json: bool) -> None:
    """Writes the tasks with these tools simulated."""
    names = frozenset(filter(None, (name.strip() for name in (only or "").split(","))))
    count = {"tasks": 0, "changed": 0, "tools": 0}
    with progress("tasks", 0) as tick:

        def made() -> Iterator[Task]:
            for task in read_tasks(tasks):
                new = simulated(task, names)
                count["tasks"] += 1
                count["changed"] += new is not task
                count["tools"] += len(new.world.grounding) - len(task.world.grounding)
                tick("")
                yield new

        write_tasks(out, made())
    if names and not count["tools"]:
        raise InputError(f"--only: no task has a program for {', '.join(sorted(names))}", where=str(tasks))
    if json:
        print_json(count)
    else:
        say(f"{count['tools']} tools of {count['changed']} tasks are simulated now; {count['tasks']} tasks in {out}")
