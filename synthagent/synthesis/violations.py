"""A call that breaks a rule, found by looking: in the task's own world, with values that stand in it.

The search is small and goes by names: a parameter takes what columns and results of its name hold, what demonstrations
gave, what the rule compares it with and values next to that. Where an id is made by another tool, that is called first.
"""

import itertools
import math
import re
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
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
from synthagent.synthesis.demonstrations import Demonstration, described, leaves, storable

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
SECONDS = 20.0
"""How long one search may take. Who runs out of them has found out nothing."""
_AT_ONCE = 50
"""Combinations put to the rule's SQL between two looks at the clock."""


class _Patience:
    """Raises `EpisodeFailure` once a search has taken too long."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic):
        self._seconds, self._clock, self._end = seconds, clock, clock() + seconds

    def look(self) -> None:
        if self._clock() > self._end:
            raise EpisodeFailure(f"no call was found in {self._seconds:g} s that breaks it", reason="stalled")


@dataclass(frozen=True)
class _Ground:
    """Where a search begins: what was called to get there, and what that gave."""

    calls: tuple[Call, ...]
    given: dict[str, list[Any]]
    """Name -> values that the calls returned under it."""
    final: Final


def violation(shown: Sequence[Demonstration], tool: str, where: str | None, seconds: float = SECONDS) -> list[Call]:
    """Calls that succeed in a fresh world, the last one of the tool and against the rule; empty if none was found.

    Raises `EpisodeFailure` for SQL that does not run, and for a search that takes longer than `seconds`.
    """
    stage = shown[0].stage
    if tool not in stage.blueprint.programs:
        return []
    patience = _Patience(seconds)
    for ground in _grounds(stage, shown, tool, where, patience):
        if (arguments := _breaking(stage, shown, tool, where, ground, patience)) is not None:
            return [*ground.calls, (tool, arguments)]
    return []


def _grounds(
    stage: Stage, shown: Sequence[Demonstration], tool: str, where: str | None, patience: _Patience
) -> Iterator[_Ground]:
    """The initial state, then those after one call that makes what a parameter of the tool is named after."""
    with stage.blueprint.open() as world:
        yield _Ground((), {}, world.final())
    wanted = {name for name in described(_tool(stage, tool)) if where is None or _compared(name, where)}
    for maker in stage.task.brief.tools:
        made = maker.outputs.get("properties", {})
        if maker.effect != "write" or maker.name == tool or not wanted & set(made):
            continue
        values = _values(stage, shown, maker.name, where, {})
        for chosen in _combinations(values, list(values), MOST_PRELUDES, stage):
            patience.look()
            with stage.blueprint.open() as world:
                result = world.call(maker.name, orjson.dumps(chosen).decode())
                if result.ok:
                    given: dict[str, list[Any]] = {}
                    for path, leaf in leaves(result.value):
                        given.setdefault(path.rpartition(".")[2], []).append(leaf)
                    yield _Ground(((maker.name, chosen),), given, world.final())


def _breaking(
    stage: Stage, shown: Sequence[Demonstration], tool: str, where: str | None, ground: _Ground, patience: _Patience
) -> dict[str, Any] | None:
    values = _values(stage, shown, tool, where, ground.given)
    free = [name for name in values if where is not None and _compared(name, where)]
    rest = [name for name in values if name not in free]
    found = _against(stage, where, ground.final, _combinations(values, free, MOST_LOOKED_AT, stage), patience)
    rests = _combinations(values, rest, MOST_RESTS, stage)
    found = Random(0).sample(found, min(len(found), MOST_BREAKING))
    for others, chosen in itertools.islice(itertools.product(rests, found), MOST_PLAYED):
        patience.look()
        arguments = {**chosen, **others}
        if _goes_through(stage, [*ground.calls, (tool, arguments)]):
            return arguments
    return None


def _against(
    stage: Stage, where: str | None, final: Final, candidates: list[dict[str, Any]], patience: _Patience
) -> list[dict[str, Any]]:
    """Those for which the rule's SQL gives a row."""
    if where is None:
        return candidates
    found = []
    for start in range(0, len(candidates), _AT_ONCE):
        patience.look()
        some = candidates[start : start + _AT_ONCE]
        try:
            rows = stage.blueprint.query(final, [(where, Bound(arguments)) for arguments in some])
        except (Denied, BudgetExceeded, sqlite3.Error, sqlite3.Warning, ValueError) as error:
            raise EpisodeFailure(f"{error} in {where}", reason="rubric") from error
        found += [arguments for arguments, row in zip(some, rows, strict=True) if row]
    return found


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
    called = _tool(stage, tool)
    required = set(called.function.parameters.get("required", ()))
    found: dict[str, list[Any]] = {}
    for name, schema in described(called).items():
        compared = where is not None and _compared(name, where)
        if name not in required and not compared:
            continue
        done = [e.arguments[name] for one in shown for e in one.deeds.values() if e.arguments and name in e.arguments]
        column = list(_columns(stage, name))
        ahead = [*given.get(name, ()), *(_around(where, stage) if where and compared else ())]
        values = [*ahead, *schema.get("enum", ()), *done, *column, *_facts(stage), *_filler(stage, schema)]
        fits = Schema(schema)
        fitting = [value for value in values if storable(value) and fits.accepts(value)]
        distinct = list(dict.fromkeys(v for v in fitting if not isinstance(v, list | dict))) or fitting[:1]
        if distinct:
            found[name] = distinct[:MOST_VALUES]
    return found


def _tool(stage: Stage, name: str) -> Tool:
    return next(tool for tool in stage.task.brief.tools if tool.name == name)


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
        elif day := _day(text):
            yield from _after(day, (1, -1, 7, -7))
    for number in map(int, re.findall(r"(?<![\w:.'-])\d{1,18}(?![\w.:'-])", where)):
        yield from (number + 1, number - 1, number, number * 2)
        if 1 < number < 1000:  # so many days from some day
            for day in _days(stage):
                yield from _after(day, (number + 1, number - 1))


def _days(stage: Stage) -> list[date]:
    """Today, and the days that stand in the tables, the latest first."""
    found = set()
    for table in stage.blueprint.tables:
        for row in stage.blueprint.initial[table.name]:
            found |= {day for value in row if (day := _day(value))}
    return [_today(stage), *sorted(found, reverse=True)[:12]]


def _today(stage: Stage) -> date:
    return datetime.fromisoformat(stage.task.world.now).date()


def _day(value: Any) -> date | None:
    """The day that a text is; None for anything else."""
    if not isinstance(value, str) or not re.fullmatch(r"\d{4}-\d\d-\d\d", value):
        return None
    try:
        return date.fromisoformat(value)
    except ValueError:
        return None


def _after(day: date, numbers: Iterable[int]) -> list[str]:
    """The days so many days after a day, as far as the calendar goes."""
    ends = (date.min.toordinal(), date.max.toordinal())
    wanted = (day.toordinal() + number for number in numbers)
    return [date.fromordinal(place).isoformat() for place in wanted if ends[0] <= place <= ends[1]]


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
        days = _after(_today(stage), (1, 2, 3, 5, 7, 10, 14, 21, 30, 60, 120, 400))
        yield from (
            days if schema.get("format") == "date" else ("10:00", "14:30", "20:30", "08:00", "as discussed", *days)
        )
