"""Simulated tools made executable: a teacher proposes guarded SQL from what a tool was seen to answer, code proves it.

The teacher sees one part of the observed calls; the program must give the answers of the other part, which it has never
seen. What does not, resists, and stays simulated.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import orjson
from pydantic import Field

from synthagent import prompts
from synthagent.errors import EpisodeFailure, TaskFault
from synthagent.llm.structured import NotUnderstood, Structured
from synthagent.schema.record import Record
from synthagent.schema.tasks import Require, Return, Run, Step, Task, Tool, World, identified
from synthagent.simulation.compiling import compile_world
from synthagent.simulation.map_store import Entry
from synthagent.synthesis.tables import TableDraft, TablesDraft, ddl_of, rows_of, table_faults, typed
from synthagent.synthesis.world import StepDraft

FEWEST = 4
"""Observed calls below which nothing can be proved."""
HELD_OUT = 3
"""One in so many calls is kept from the teacher."""


class CompiledDraft(Record):
    """A tool as a program."""

    tables: tuple[TableDraft, ...] = Field(default=(), max_length=4)
    """Tables that are missing."""
    steps: tuple[StepDraft, ...] = Field(min_length=1, max_length=8)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one tool."""

    task_id: str
    tool: str
    compiled: bool
    observed: int
    """Calls whose answers are known and can be tried."""
    held_out: int
    right: int
    """Of the held-out calls, those that the last program answers as they were answered."""
    reason: str = ""
    """Why it resists."""


@dataclass(frozen=True, slots=True)
class Compiled:
    """A task with what could be compiled, and the verdict on each of its simulated tools."""

    task: Task
    verdicts: tuple[Verdict, ...]


async def compiled_task(task: Task, entries: Sequence[Entry], teacher: Structured, rounds: int = 2) -> Compiled:
    """Tries to compile every simulated tool of a task, those without writes first. Raises `ModelFailed`."""
    now, verdicts = task, list[Verdict]()
    tools = sorted((t for t in task.brief.tools if t.name in task.world.grounding), key=lambda t: t.effect == "write")
    for tool in tools:
        seen = [entry for entry in entries if entry.tool == tool.name and entry.world_id == task.world_id]
        now, verdict = await _compiled(now, tool, seen, teacher, rounds)
        verdicts.append(verdict)
    if now is not task:
        parents = (*task.provenance.parents, task.id)
        now = identified(now.model_copy(update={"provenance": task.provenance.model_copy(update={"parents": parents})}))
    return Compiled(now, tuple(verdicts))


async def _compiled(
    task: Task, tool: Tool, entries: Sequence[Entry], teacher: Structured, rounds: int
) -> tuple[Task, Verdict]:
    usable = [entry for entry in entries if _playable(entry, task.world)]
    shown, held = split(usable)
    if len(usable) < FEWEST:
        reason = f"{len(usable)} observed calls that can be tried, {FEWEST} are needed"
        return task, Verdict(task.id, tool.name, False, len(usable), len(held), 0, reason)
    errors, attempt, right, reason = [""][:0], "", 0, ""
    for _ in range(rounds + 1):
        prompt = prompts.render(
            "audit/compile",
            tool=orjson.dumps(tool.model_dump(mode="json", exclude_defaults=True)).decode(),
            grounding=task.world.grounding[tool.name],
            now=task.world.now,
            ddl=task.world.ddl,
            observed=[_told(entry) for entry in shown],
            errors=errors,
            attempt=attempt,
        )
        try:
            asked = await teacher.ask([{"role": "user", "content": prompt}], CompiledDraft, stage="compile")
        except NotUnderstood as error:
            return task, Verdict(task.id, tool.name, False, len(usable), len(held), right, str(error))
        attempt = asked.raw
        world, errors = drafted(task, tool, asked.value)
        if world is not None:
            errors = wrong(task, world, shown)
            right = len(held) - len(wrong(task, world, held))
            if not errors and right == len(held):
                update = {"world": world}
                return task.model_copy(update=update), Verdict(task.id, tool.name, True, len(usable), len(held), right)
            if not errors:
                reason = f"{len(held) - right} of {len(held)} held-out calls come out otherwise"
                break  # what the teacher has not seen must not be told to it
        reason = errors[0]
    return task, Verdict(task.id, tool.name, False, len(usable), len(held), right, reason[:300])


def split(entries: Sequence[Entry]) -> tuple[list[Entry], list[Entry]]:
    """(what a teacher is shown, what is kept from it): every third one is kept, in the order of their keys."""
    ordered = sorted(entries, key=lambda entry: entry.key)
    held = ordered[HELD_OUT - 1 :: HELD_OUT]
    return [entry for entry in ordered if entry not in held], held


def drafted(task: Task, tool: Tool, draft: CompiledDraft) -> tuple[World | None, list[str]]:
    """(the task's world with the tool as a program, what is wrong with the draft)."""
    tables = typed(TablesDraft(now=task.world.now, tables=draft.tables)) if draft.tables else None
    faults = list(table_faults(tables)) if tables else []
    if faults:
        return None, faults
    world = task.world.model_copy(
        update={
            "ddl": "\n".join(filter(None, (task.world.ddl, ddl_of(tables) if tables else ""))),
            "rows": {**task.world.rows, **(rows_of(tables) if tables else {})},
            "programs": {**task.world.programs, tool.name: _steps(tool, draft.steps)},
            "grounding": {name: text for name, text in task.world.grounding.items() if name != tool.name},
        }
    )
    try:
        compile_world(task.brief.tools, world, task.world_id)
    except TaskFault as fault:
        return None, [str(fault)]
    return world, []


def _steps(tool: Tool, drafts: Sequence[StepDraft]) -> tuple[Step, ...]:
    steps: list[Step] = []
    for step in drafts:
        sql = step.sql.strip().rstrip(";").strip()
        match step.do:
            case "require":
                steps.append(Require(require=sql, otherwise=step.otherwise.strip() or "not possible"))
            case "run":
                steps.append(Run(run=sql))
            case "return":
                steps.append(Return(query=sql, shape=_shape(tool.outputs)))
    return tuple(steps)


def _shape(outputs: Mapping[str, Any]) -> Literal["rows", "row", "value", "column"]:
    if outputs.get("type") == "array":
        return "column" if outputs.get("items", {}).get("type") not in (None, "object") else "rows"
    return "row" if outputs.get("type") in (None, "object") or "properties" in outputs else "value"


def wrong(task: Task, world: World, entries: Sequence[Entry]) -> list[str]:
    """The observed calls that a world answers otherwise, each in words."""
    blueprint = compile_world(task.brief.tools, world, task.world_id)
    found = []
    for entry in entries:
        try:
            with blueprint.open() as live:
                for tool, arguments in orjson.loads(entry.trail):
                    live.call(tool, orjson.dumps(arguments).decode())
                result = live.call(entry.tool, entry.arguments)
        except EpisodeFailure as failure:
            found.append(f"{entry.arguments}: {failure}")
            continue
        same = not result.ok if not entry.ok else result.ok and result.value == orjson.loads(entry.response)
        if not same:
            found.append(f"{entry.arguments} gives {result.response[:300]}, not {entry.response[:300]}")
    return found


def _playable(entry: Entry, world: World) -> bool:
    """Whether everything that led to the entry's state has a program, so that it can be done again."""
    try:
        trail = orjson.loads(entry.trail)
        return all(tool in world.programs for tool, _ in trail)
    except (ValueError, TypeError):
        return False


def _told(entry: Entry) -> str:
    trail = "; ".join(f"{tool}({orjson.dumps(args).decode()})" for tool, args in orjson.loads(entry.trail))
    return f"{trail + ' | ' if trail else ''}{entry.arguments} -> {entry.response[:600]}"
