"""What a list of reference steps does in a world when it is run: arguments, results, changes."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from synthagent.errors import TaskFault
from synthagent.schema.tasks import CallStep, ReferenceStep
from synthagent.simulation.scripted_agents import resolve
from synthagent.simulation.world import Blueprint, LiveWorld, RowChange, ToolResult, diff


@dataclass(frozen=True)
class Run:
    """What a list of reference steps did in a world."""

    results: dict[int, Any]
    arguments: dict[int, dict[str, Any]]
    """Step -> the call's arguments, literal."""
    changes: dict[int, list[RowChange]]


def run(blueprint: Blueprint, steps: Iterable[ReferenceStep], facts: Mapping[str, Any]) -> Run:
    """Runs the calls among the steps. Raises `TaskFault` when one fails or an argument cannot be had."""
    results: dict[int, Any] = {}
    arguments: dict[int, dict[str, Any]] = {}
    changes: dict[int, list[RowChange]] = {}
    with blueprint.open() as world:
        before = blueprint.initial
        for number, step in enumerate(steps):
            if not isinstance(step, CallStep):
                continue
            arguments[number] = resolve(step.args, facts, results)
            result = _called(world, step.call, arguments[number])
            results[number] = result.value
            if result.changed:
                after = world.rows()
                changes[number] = diff(blueprint.tables, before, after)
                before = after
    return Run(results, arguments, changes)


def _called(world: LiveWorld, tool: str, arguments: Mapping[str, Any]) -> ToolResult:
    result = world.call(tool, orjson.dumps(arguments).decode())
    if not result.ok:
        raise TaskFault(f"{tool} {arguments} fails: {result.response}", reason="reference")
    return result
