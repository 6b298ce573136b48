"""What a list of reference steps does in a world when it is run: arguments, results, changes."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from synthagent.errors import TaskFault
from synthagent.schema.tasks import AskStep, CallStep, ReferenceStep, SayStep
from synthagent.simulation.reference_agent import resolve
from synthagent.simulation.states import RowChange, diff
from synthagent.simulation.world import Blueprint, LiveWorld, ToolResult


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


def facts_used(value: Any) -> Iterator[str]:
    """Ids of the facts that arguments are made of."""
    if isinstance(value, Mapping):
        if "$fact" in value:
            yield value["$fact"]
        for item in value.values():
            yield from facts_used(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from facts_used(item)


def renumbered(steps: Sequence[ReferenceStep], kept: Sequence[int]) -> list[ReferenceStep]:
    """Steps of which some were left out, each `$from` and placeholder moved along; `kept`: their old numbers."""
    moved = {old: new for new, old in enumerate(kept)}

    def walk(value: Any) -> Any:
        if isinstance(value, Mapping):
            found = {key: walk(item) for key, item in value.items()}
            if "$from" in found:
                number, dot, path = str(found["$from"]).partition(".")
                found["$from"] = f"{moved[int(number)]}{dot}{path}"
            return found
        return [walk(item) for item in value] if isinstance(value, list) else value

    def spoken(text: str) -> str:
        return re.sub(r"\{\$(\d+)", lambda m: "{$" + str(moved[int(m[1])]), text)

    found: list[ReferenceStep] = []
    for step in steps:
        match step:
            case CallStep():
                found.append(step.model_copy(update={"args": walk(step.args)}))
            case SayStep():
                found.append(step.model_copy(update={"say": spoken(step.say)}))
            case AskStep():
                found.append(step)
    return found
