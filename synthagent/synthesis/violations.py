"""A call that breaks a rule, found by looking: in the task's own world, with values that stand in it.

The search is small and goes by names: a parameter takes what columns and results of its name hold, what demonstrations
gave, what the rule compares it with and values next to that. Where an id is made by another tool, that is called first.
"""

import itertools
import math
import re
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from random import Random
from typing import Any

import orjson

from synthagent.errors import EpisodeFailure
from synthagent.schema.tasks import Tool
from synthagent.scoring.checks import Bound
from synthagent.simulation.arguments import Schema
from synthagent.simulation.episode import Stage
from synthagent.simulation.guarded_sql import BudgetExceeded, Denied
from synthagent.simulation.world import Final
from synthagent.synthesis.demonstrations import Demonstration, leaves

Call = tuple[str, dict[str, Any]]

MOST_VALUES = 40
"""Values tried for one argument."""
MOST_LOOKED_AT = 2000
"""Combinations of the arguments that a rule compares."""
MOST_PRELUDES = 150
"""Calls tried that make an id."""
MOST_BREAKING, MOST_RESTS = 60, 80
"""Forbidden combinations, and combinations of the other arguments, that are tried together."""
MOST_PLAYED = 600
"""Calls played from one ground."""


@dataclass(frozen=True)
class _Ground:
    """Where a search begins: what was called to get there, and what that gave."""

    calls: tuple[Call, ...]
    given: dict[str, list[Any]]
    """Name -> values that the calls returned under it."""
    final: Final


def violation(shown: Sequence[Demonstration], tool: str, where: str | None) -> list[Call]:
    """Calls that succeed in a fresh world, the last one of the tool and against the rule; empty if none was found.

    Raises `EpisodeFailure` for SQL that does not run.
    """
    stage = shown[0].stage
    if tool not in stage.blueprint.programs:
        return []
    for ground in _grounds(stage, shown, tool, where):
        if (arguments := _breaking(stage, shown, tool, where, ground)) is not None:
            return [*ground.calls, (tool, arguments)]
    return []


def _grounds(stage: Stage, shown: Sequence[Demonstration], tool: str, where: str | None) -> Iterator[_Ground]:
    """The initial state, then those after one call that makes what a parameter of the tool is named after."""
    with stage.blueprint.open() as world:
        yield _Ground((), {}, world.final())
    wanted = {name for name in _properties(_tool(stage, tool)) if where is None or _compared(name, where)}
    for maker in stage.task.brief.tools:
        made = maker.outputs.get("properties", {})
        if maker.effect != "write" or maker.name == tool or not wanted & set(made):
            continue
        values = _values(stage, shown, maker.name, where, {})
        for chosen in _combinations(values, list(values), MOST_PRELUDES, stage):
            with stage.blueprint.open() as world:
                result = world.call(maker.name, orjson.dumps(chosen).decode())
                if result.ok:
                    given: dict[str, list[Any]] = {}
                    for path, leaf in leaves(result.value):
                        given.setdefault(path.rpartition(".")[2], []).append(leaf)
                    yield _Ground(((maker.name, chosen),), given, world.final())


def _breaking(
    stage: Stage, shown: Sequence[Demonstration], tool: str, where: str | None, ground: _Ground
) -> dict[str, Any] | None:
    values = _values(stage, shown, tool, where, ground.given)
    free = [name for name in values if where is not None and _compared(name, where)]
    rest = [name for name in values if name not in free]
    found = _against(stage, where, ground.final, _combinations(values, free, MOST_LOOKED_AT, stage))
    rests = _combinations(values, rest, MOST_RESTS, stage)
    found = Random(0).sample(found, min(len(found), MOST_BREAKING))
    for others, chosen in itertools.islice(itertools.product(rests, found), MOST_PLAYED):
        arguments = {**chosen, **others}
        if _goes_through(stage, [*ground.calls, (tool, arguments)]):
            return arguments
    return None


def _against(stage: Stage, where: str | None, final: Final, candidates: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those for which the rule's SQL gives a row."""
    if where is None or not candidates:
        return candidates
    try:
        rows = stage.blueprint.query(final, [(where, Bound(arguments)) for arguments in candidates])
    except (Denied, BudgetExceeded, sqlite3.Error, sqlite3.Warning, ValueError) as error:
        raise EpisodeFailure(f"{error} in {where}", reason="rubric") from error
    return [arguments for arguments, found in zip(candidates, rows, strict=True) if found]


def _goes_through(stage: Stage, calls: Sequence[Call]) -> bool:
    with stage.blueprint.open() as world:
        return all(world.call(tool, orjson.dumps(arguments).decode()).ok for tool, arguments in calls)


def _combinations(values: dict[str, list[Any]], names: Sequence[str], most: int, stage: Stage) -> list[dict[str, Any]]:
    """Combinations of values: all of them if they are not too many, else so many; always the same.

    Half of a draw takes what stands together in a row of some table, the rest takes any value with any other.
    """
    choices = [values[name] for name in names]
    if math.prod(map(len, choices)) <= most:
        return [dict(zip(names, chosen, strict=True)) for chosen in itertools.product(*choices)]
    draw, rows = Random(0), _rows(stage, names)
    drawn: dict[tuple[Any, ...], None] = {}
    for turn in range(most):
        row = draw.choice(rows) if rows and turn % 2 else {}
        drawn[tuple(row.get(name, draw.choice(values[name])) for name in names)] = None
    return [dict(zip(names, chosen, strict=True)) for chosen in drawn]


def _rows(stage: Stage, names: Sequence[str]) -> list[dict[str, Any]]:
    """Rows of tables with at least two columns of these names, as far as these go."""
    found = []
    for table in stage.blueprint.tables:
        shared = [(name, table.columns.index(name)) for name in names if name in table.columns]
        if len(shared) > 1:
            found += [{name: row[place] for name, place in shared} for row in stage.blueprint.initial[table.name]]
    return found


def _values(
    stage: Stage, shown: Sequence[Demonstration], tool: str, where: str | None, given: dict[str, list[Any]]
) -> dict[str, list[Any]]:
    """Parameter -> what it might be, the likeliest first. Optional ones only if the rule compares them."""
    described = _tool(stage, tool)
    required = set(described.function.parameters.get("required", ()))
    found: dict[str, list[Any]] = {}
    for name, schema in _properties(described).items():
        compared = where is not None and _compared(name, where)
        if name not in required and not compared:
            continue
        done = [e.arguments[name] for one in shown for e in one.deeds.values() if e.arguments and name in e.arguments]
        column = list(_columns(stage, name))
        ahead = [*given.get(name, ()), *(_around(where, stage) if where and compared else ())]
        values = [*ahead, *schema.get("enum", ()), *done, *column, *_facts(stage), *_filler(stage, schema)]
        fits = Schema(schema)
        fitting = [value for value in values if fits.accepts(value)]
        distinct = list(dict.fromkeys(v for v in fitting if not isinstance(v, list | dict))) or fitting[:1]
        if distinct:
            found[name] = distinct[:MOST_VALUES]
    return found


def _tool(stage: Stage, name: str) -> Tool:
    return next(tool for tool in stage.task.brief.tools if tool.name == name)


def _properties(tool: Tool) -> dict[str, Any]:
    found: dict[str, Any] = tool.function.parameters.get("properties", {})
    return found


def _compared(name: str, where: str) -> bool:
    return re.search(rf":{re.escape(name)}\b", where) is not None


def _columns(stage: Stage, name: str) -> Iterator[Any]:
    for table in stage.blueprint.tables:
        if name in table.columns:
            place = table.columns.index(name)
            yield from (row[place] for row in stage.blueprint.initial[table.name])


def _facts(stage: Stage) -> Iterator[Any]:
    yield from (fact.value for fact in stage.task.hidden.facts)


def _around(where: str, stage: Stage) -> Iterator[Any]:
    """The constants of a rule and values next to them."""
    for text in re.findall(r"'([^']*)'", where):
        yield text
        if re.fullmatch(r"\d\d:\d\d", text):
            hour = int(text[:2])
            yield from (f"{other:02d}:{minute}" for other in (hour, hour + 1, hour - 1) if 0 <= other < 24
                        for minute in ("00", "30"))  # fmt: skip
        elif re.fullmatch(r"\d{4}-\d\d-\d\d", text):
            day = date.fromisoformat(text)
            yield from ((day + timedelta(days=n)).isoformat() for n in (1, -1, 7, -7))
    for number in map(int, re.findall(r"(?<![\w:.'-])\d+(?![\w.:'-])", where)):
        yield from (number + 1, number - 1, number, number * 2)
        if 1 < number < 1000:  # so many days from some day
            yield from ((day + timedelta(days=number + n)).isoformat() for day in _days(stage) for n in (1, -1))


def _days(stage: Stage) -> list[date]:
    """Today, and the days that stand in the tables, the latest first."""
    found = set()
    for table in stage.blueprint.tables:
        for row in stage.blueprint.initial[table.name]:
            found |= {value for value in row if isinstance(value, str) and re.fullmatch(r"\d{4}-\d\d-\d\d", value)}
    today = datetime.fromisoformat(stage.task.world.now).date()
    return [today, *sorted(map(date.fromisoformat, found), reverse=True)[:12]]


def _filler(stage: Stage, schema: dict[str, Any]) -> Iterator[Any]:
    kinds = schema.get("type", "string")
    kinds = kinds if isinstance(kinds, list) else [kinds]
    if "boolean" in kinds:
        yield from (True, False)
    if {"integer", "number"} & set(kinds):
        yield from (1, 2, 3, 5, 10, 20, 50, 100, 1000)
    if "array" in kinds:
        yield []
    if "string" in kinds:
        today = datetime.fromisoformat(stage.task.world.now).date()
        days = [(today + timedelta(days=n)).isoformat() for n in (1, 2, 3, 5, 7, 10, 14, 21, 30, 60, 120, 400)]
        yield from (
            days if schema.get("format") == "date" else ("10:00", "14:30", "20:30", "08:00", "as discussed", *days)
        )
