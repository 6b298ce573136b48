"""A scene: one world's rows, and for every goal what its names stand for, legal and forbidden.

For each restriction of a goal a second binding is made in which the restriction forbids the goal. It is the trap, and
the fact twin points the user at it; the row twin changes the legal row itself.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from random import Random
from typing import Any

from synthagent.synthesis.procedural.domain import BulkSpec, Domain, Goal
from synthagent.synthesis.procedural.rows import Row, Rows, fill, reference_to
from synthagent.synthesis.procedural.tools import columns_of

Names = dict[str, Any]
"""Binding -> row or value; always holds `me`."""
LONG_RESULT_CHARS = 17_000
"""More than 4,000 tokens in any tokenizer met so far: JSON costs less than 4.2 characters a token."""


@dataclass(frozen=True)
class Flip:
    """A restriction that is made to bite: by another fact, or by another row."""

    goal: str
    restriction: str
    kind: str


@dataclass
class Scene:
    """The rows of one world and what the goals' names stand for in it."""

    domain: Domain
    rows: Rows
    me: Row
    legal: dict[str, Names] = field(default_factory=dict)
    """Goal -> names when nothing forbids it."""
    forbidden: dict[tuple[str, str], Names] = field(default_factory=dict)
    """(goal, restriction) -> names under which that restriction forbids the goal."""

    def table_rows(self) -> dict[str, tuple[tuple[Any, ...], ...]]:
        """Table -> rows, as a task file holds them."""
        return {name: tuple(tuple(row.values()) for row in rows) for name, rows in self.rows.tables.items()}


def set_scene(domain: Domain, goals: Sequence[str], random: Random, now: datetime, own_name: str) -> Scene:
    """Fills the tables, then binds every goal and every way in which it may be forbidden."""
    rows = Rows(domain, random, now)
    rows.populate()
    wanted: dict[str, Any] = {}
    for name in goals:
        wanted |= domain.goals[name].bind.get("me", {}).get("set", {})
    scene = Scene(domain, rows, _person(domain, rows, wanted, own_name))
    for name in goals:
        goal = domain.goals[name]
        scene.legal[name] = _bind(domain, goal, rows, {"me": scene.me}, {})
        for key, restriction in goal.restrictions.items():
            scene.forbidden[name, key] = _rebind(scene, goal, scene.legal[name], restriction.flip, wanted)
    return scene


def _person(domain: Domain, rows: Rows, wanted: Mapping[str, Any], own_name: str | None) -> Row:
    columns = domain.tables[domain.me].columns
    named = next((column for column, generator in columns.items() if "person" in generator), None)
    taken = rows.taken.setdefault((domain.me, named or ""), set())
    given = dict(wanted)
    if own_name and named and own_name not in taken:
        given[named] = own_name
        taken.add(own_name)
    return rows.add(domain.me, given)


def _bind(domain: Domain, goal: Goal, rows: Rows, names: Names, flips: Mapping[str, Any]) -> Names:
    """Makes every binding that `names` does not hold yet, in the order of the goal."""
    names = dict(names)
    for binding, spec in goal.bind.items():
        if binding in names:
            continue
        flip = flips.get(binding)
        if "row" not in spec:
            names[binding] = rows.make(flip or spec, names)
            continue
        names[binding] = rows.add(spec["row"], _given(domain, spec, names, flip or {}, rows))
    return names


def _given(
    domain: Domain, spec: Mapping[str, Any], names: Names, flip: Mapping[str, Any], rows: Rows
) -> dict[str, Any]:
    table = domain.tables[spec["row"]]
    given: dict[str, Any] = {}
    if spec.get("mine"):
        given[reference_to(table, domain.me)] = _key(names["me"])
    for binding, column in _owners(domain, spec):
        given[column] = _key(names[binding])
    for column, wanted in {**spec.get("set", {}), **flip}.items():
        given[column] = rows.make(wanted, names) if isinstance(wanted, dict) else _filled(wanted, names)
    return given


def _filled(value: Any, names: Names) -> Any:
    return fill(value, names) if isinstance(value, str) else value


def _owners(domain: Domain, spec: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(binding, column) for each other row that this one belongs to: `of: room` or `of: {room: room_id}`."""
    of = spec.get("of", {})
    if isinstance(of, dict):
        return [(binding, column) for binding, column in of.items()]
    return [
        (binding, reference_to(domain.tables[spec["row"]], _table_of(domain, spec, binding))) for binding in _many(of)
    ]


def _table_of(domain: Domain, spec: Mapping[str, Any], binding: str) -> str:
    for goal in domain.goals.values():
        if goal.bind.get(binding, {}).get("row") and spec in goal.bind.values():
            return str(goal.bind[binding]["row"])
    return domain.me


def _many(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else list(value)


def _key(row: Row) -> Any:
    return next(iter(row.values()))


def _rebind(scene: Scene, goal: Goal, legal: Names, flip: Mapping[str, Any], wanted: Mapping[str, Any]) -> Names:
    """The goal's names once more, with the flipped bindings and all that hangs on them made anew."""
    stale = set(flip)
    for binding, spec in goal.bind.items():
        if binding != "me" and stale & _needs(spec):
            stale.add(binding)
    kept = {name: value for name, value in legal.items() if name not in stale}
    if "me" in stale:
        flipped = {k: scene.rows.make(v, kept) if isinstance(v, dict) else v for k, v in flip["me"].items()}
        kept["me"] = _person(scene.domain, scene.rows, {**wanted, **flipped}, None)
    return _bind(scene.domain, goal, scene.rows, kept, flip)


def _needs(spec: Mapping[str, Any]) -> set[str]:
    """The bindings that a binding is made from."""
    found = {"me"} if spec.get("mine") else set()
    of = spec.get("of", {})
    found |= set(of) if isinstance(of, dict) else set(_many(of))
    return found | set(
        re.findall(r"\{([a-z_]\w*)", repr({k: v for k, v in spec.items() if k not in ("row", "mine", "of")}))
    )


def row_twin(scene: Scene, flip: Flip) -> Scene:
    """The same scene in which the legal rows themselves are changed so that the restriction forbids the goal."""
    copies: dict[int, Row] = {}
    tables = {name: [copies.setdefault(id(row), dict(row)) for row in rows] for name, rows in scene.rows.tables.items()}
    rows = Rows(scene.domain, scene.rows.random, scene.rows.now, tables, scene.rows.taken)
    twin = Scene(scene.domain, rows, copies[id(scene.me)])

    def moved(names: Names) -> Names:
        return {
            name: copies.get(id(value), value) if isinstance(value, dict) else value for name, value in names.items()
        }

    twin.legal = {goal: moved(names) for goal, names in scene.legal.items()}
    twin.forbidden = {key: moved(names) for key, names in scene.forbidden.items()}
    names, bad = twin.legal[flip.goal], twin.forbidden[flip.goal, flip.restriction]
    for binding, columns in scene.domain.goals[flip.goal].restrictions[flip.restriction].flip.items():
        for column in columns:
            names[binding][column] = bad[binding][column]
    return twin


def crowd(scene: Scene, bulk: BulkSpec) -> None:
    """Adds rows until the tool's result is longer than 4,000 tokens."""
    table = scene.domain.tables[bulk.table]
    given: dict[str, Any] = dict(bulk.set)
    if any(generator.get("ref") == scene.domain.me for generator in table.columns.values()):
        given[reference_to(table, scene.domain.me)] = _key(scene.me)
    shown, length, number = columns_of(scene.domain.tools[bulk.tool]), 0, 1
    while length < LONG_RESULT_CHARS:
        row = scene.rows.add(bulk.table, given, crowd=number)
        length += sum(len(str(row.get(column, ""))) + len(column) + 4 for column in shown)
        number += 1
