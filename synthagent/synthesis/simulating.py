"""Programs taken away: the same task with tools that a model has to stand in for.

What such a tool answered as a program is known, so that a simulator can be measured against the truth; and a task set
without any simulated tool can try out what is meant for them.
"""

import re
from collections.abc import Collection

from synthagent.errors import EpisodeFailure
from synthagent.schema.tasks import Require, Return, Run, Step, Task, Tool, identified
from synthagent.synthesis.drafts import snake
from synthagent.synthesis.perturbing import with_new_ids

_TABLE = re.compile(r"create\s+table\s+(?:if\s+not\s+exists\s+)?[\"`\[]?(\w+)", re.I)


def simulated(task: Task, tools: Collection[str]) -> Task:
    """The task with these tools (all but those that end the episode, if there are none) left to a simulator.

    Their grounding is what they do, step by step; `reads` and `writes` are the tables that their programs name.
    """
    world = task.world
    names = {name for name in world.programs if (not tools or name in tools) and name not in world.ends_episode}
    if not names:
        return task
    told = {t.name: _grounding(t, world.programs[t.name]) for t in task.brief.tools if t.name in names}
    tables = [found[1] for found in _TABLE.finditer(world.ddl)]
    changed = world.model_copy(
        update={
            "programs": {name: steps for name, steps in world.programs.items() if name not in names},
            "grounding": {**world.grounding, **told},
        }
    )
    declared = tuple(
        _declared(tool, world.programs[tool.name], tables) if tool.name in names else tool for tool in task.brief.tools
    )
    screening = {**task.provenance.screening, "simulated": "pending_simulation"}
    provenance = task.provenance.model_copy(
        update={"parents": (*task.provenance.parents, task.id), "screening": screening}
    )
    brief = task.brief.model_copy(update={"tools": declared})
    new = task.model_copy(update={"brief": brief, "world": changed, "provenance": provenance})
    try:
        return with_new_ids(task, new, task.world)
    except EpisodeFailure:  # what does not play as it is speaks of no generated id
        return identified(new)


def _declared(tool: Tool, steps: Collection[Step], tables: Collection[str]) -> Tool:
    reads = tuple(sorted(table for table in tables if any(_names(_sql(step), table) for step in steps)))
    touched = {table for table in tables for step in steps if isinstance(step, Run) and _names(step.run, table)}
    update = {"reads": reads, **({"writes": tuple(sorted(touched))} if tool.effect == "write" else {})}
    return tool.model_copy(update=update)


def _names(sql: str, table: str) -> bool:
    return bool(re.search(rf"\b{re.escape(table)}\b", sql, re.I))


def _sql(step: Step) -> str:
    return step.require if isinstance(step, Require) else step.run if isinstance(step, Run) else step.query


def _grounding(tool: Tool, steps: Collection[Step]) -> str:
    lines = [f"{snake(tool.name).replace('_', ' ').capitalize()}: what it does with the records, in SQL:"]
    for step in steps:
        match step:
            case Require(require=sql, otherwise=message):
                lines.append(f"- unless this gives a row, it fails with '{message}': {sql}")
            case Run(run=sql):
                lines.append(f"- it changes the records: {sql}")
            case Return(query=sql):
                lines.append(f"- its result: {sql}")
    return "\n".join(lines)
