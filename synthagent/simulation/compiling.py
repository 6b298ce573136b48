"""From a task's world to a `Blueprint`: the image is built, and every program is proved before anything runs it.

A program parses, stays inside the sandbox, and binds only its tool's own arguments.
"""

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any

from synthagent.errors import TaskFault
from synthagent.schema.tasks import Require, Return, Run, Tool, World
from synthagent.simulation.arguments import BadArguments, check_storable
from synthagent.simulation.guarded_sql import BudgetExceeded, Denied, Guard, Mode, Stalled
from synthagent.simulation.simulated import Simulated
from synthagent.simulation.states import Rows, Table, quoted
from synthagent.simulation.world import Blueprint, Program

MAX_INITIAL_ROWS = 50_000


def compile_world(tools: tuple[Tool, ...], world: World, world_id: str) -> Blueprint:
    """Builds the image and proves every program: it parses, stays inside the sandbox and binds only its arguments.

    Raises `TaskFault` naming the field (`world.programs.renew_loan.2`) and what is wrong with it.
    """
    names = [tool.name for tool in tools]
    if len(set(names)) != len(names):
        raise TaskFault("brief.tools: two tools have one name", reason="tools")
    builder = Guard()
    builder.declare()
    builder.db.execute("PRAGMA page_size = 1024")  # small tables: a quarter of the image, restored faster
    try:
        tables, initial, image = _build(builder, world)
        builder.clock.now = world.now
        programs = {tool.name: _program(builder, tool, world) for tool in tools if tool.name in world.programs}
    finally:
        builder.close()
    for name in [*world.programs, *world.ends_episode, *world.services]:
        if name not in names:
            raise TaskFault(f"world: '{name}' is not a tool of the brief", reason="tools")
    for name in names:
        ways = (name in world.programs, name in world.grounding, name in world.services)
        if not any(ways):
            raise TaskFault(f"world.programs: '{name}' has neither a program nor a grounding", reason="tools")
        if ways[2] and any(ways[:2]):
            raise TaskFault(f"world.services: '{name}' has a program or a grounding too", reason="tools")
    simulated = {tool.name: _simulated(tool, world) for tool in tools if tool.name not in world.programs}
    return Blueprint(world_id, world.now, tables, image, programs, tuple(names),
                     frozenset(world.ends_episode), initial, simulated)  # fmt: skip


def _simulated(tool: Tool, world: World) -> Simulated:
    try:
        found = Simulated(tool, world.grounding.get(tool.name, ""), world.services.get(tool.name))
    except ValueError as error:
        raise TaskFault(f"brief.tools.{tool.name}: {error}", reason="tools") from error
    if tool.function.parameters.get("type") != "object":
        raise TaskFault(f"brief.tools.{tool.name}: parameters must be an object schema", reason="tools")
    return found


def _build(guard: Guard, world: World) -> tuple[tuple[Table, ...], Rows, bytes]:
    try:
        guard.script(world.ddl)
    except (Denied, BudgetExceeded, Stalled, sqlite3.Error, ValueError) as error:
        raise TaskFault(f"world.ddl: {error}", reason="ddl") from error
    tables = tuple(sorted(_tables(guard), key=lambda table: table.name))
    if not tables:
        guard.db.execute("PRAGMA user_version = 1")  # an image needs a page
    if sum(len(rows) for rows in world.rows.values()) > MAX_INITIAL_ROWS:
        raise TaskFault(f"world.rows: more than {MAX_INITIAL_ROWS} rows", reason="rows")
    known = {table.name: table for table in tables}
    guard.db.execute("PRAGMA foreign_keys = OFF")
    guard.db.execute("BEGIN")
    for name, rows in world.rows.items():
        if name not in known:
            raise TaskFault(f"world.rows.{name}: there is no such table", reason="rows")
        _fill(guard, known[name], rows)
    guard.db.execute("COMMIT")
    guard.db.execute("PRAGMA foreign_keys = ON")
    for table, _, parent, _ in guard.own("PRAGMA foreign_key_check"):
        raise TaskFault(f"world.rows.{table}: a row refers to a missing row of {parent}", reason="rows")
    initial = {table.name: guard.own(table.select) for table in tables}
    return tables, initial, guard.db.serialize()


def _tables(guard: Guard) -> Iterable[Table]:
    for _, name, kind, _, _, strict in guard.db.execute("PRAGMA table_list").fetchall():
        if name.startswith("sqlite_"):
            continue
        if kind != "table" or not strict:
            raise TaskFault(f"world.ddl: {name} must be a STRICT table", reason="ddl")
        query = "SELECT name, type, pk, dflt_value FROM pragma_table_info(?)"
        columns = guard.db.execute(query, (name,)).fetchall()
        if any(type_ not in ("INTEGER", "INT", "TEXT", "REAL") for _, type_, _, _ in columns):
            raise TaskFault(f"world.ddl: {name}: columns are INTEGER, TEXT or REAL", reason="ddl")
        for column, _, _, default in columns:
            if default is not None:  # the authorizer does not see functions in a default
                compiled(guard, Mode.READ, f"SELECT {default}", f"world.ddl: {name}.{column}")
        key = tuple(column for column, _, pk, _ in sorted(columns, key=lambda row: row[2]) if pk)
        if not key:
            raise TaskFault(f"world.ddl: {name} has no primary key", reason="ddl")
        order = ", ".join(quoted(column) for column in key)
        names = tuple(column for column, _, _, _ in columns)
        select = f"SELECT {', '.join(map(quoted, names))} FROM main.{quoted(name)} ORDER BY {order}"
        yield Table(name, names, key, select)


def _fill(guard: Guard, table: Table, rows: Sequence[Sequence[Any]]) -> None:
    marks = ", ".join("?" * len(table.columns))
    insert = f"INSERT INTO {quoted(table.name)} VALUES ({marks})"
    for number, row in enumerate(rows):
        guard.refill()
        try:
            if len(row) != len(table.columns):
                raise ValueError(f"{len(row)} values for {len(table.columns)} columns")
            check_storable(row)
            guard.execute(Mode.BUILD, insert, tuple(row))
        except (ValueError, BadArguments, Denied, BudgetExceeded, Stalled, sqlite3.Error) as error:
            raise TaskFault(f"world.rows.{table.name}.{number}: {error}", reason="rows") from error


class _Names(dict[str, Any]):
    """Bound in place of arguments: remembers which names a statement asks for."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: set[str] = set()

    def __missing__(self, name: str) -> None:
        self.asked.add(name)


def _program(guard: Guard, tool: Tool, world: World) -> Program:
    where = f"world.programs.{tool.name}"
    steps = world.programs[tool.name]
    try:
        program = Program(tool, steps)
    except ValueError as error:
        raise TaskFault(f"brief.tools.{tool.name}: {error}", reason="tools") from error
    if tool.function.parameters.get("type") != "object":
        raise TaskFault(f"brief.tools.{tool.name}: parameters must be an object schema", reason="tools")
    if program.writes and tool.effect == "read":
        raise TaskFault(f"{where}: a read tool may not hold `run`", reason="program")
    if sum(isinstance(step, Return) for step in steps) != 1 or not isinstance(steps[-1], Return):
        raise TaskFault(f"{where}: a program ends in its one `return`", reason="program")
    known = set(tool.function.parameters.get("properties", {}))
    for number, step in enumerate(steps):
        sql = step.require if isinstance(step, Require) else step.run if isinstance(step, Run) else step.query
        mode = Mode.WRITE if isinstance(step, Run) else Mode.READ
        asked, gives_rows = compiled(guard, mode, sql, f"{where}.{number}")
        unknown = asked - known
        if unknown:
            raise TaskFault(
                f"{where}.{number}: binds {sorted(unknown)}, which the tool does not take (it takes {_listed(known)})",
                reason="program",
            )
        verb = sql.split(None, 1)[0].upper()
        if isinstance(step, Run):
            if verb not in ("INSERT", "UPDATE", "DELETE"):
                raise TaskFault(f"{where}.{number}: `run` is one INSERT, UPDATE or DELETE", reason="program")
            if gives_rows:
                raise TaskFault(f"{where}.{number}: `run` may not have a RETURNING clause", reason="program")
        elif verb not in ("SELECT", "WITH", "VALUES"):
            raise TaskFault(f"{where}.{number}: `require` and `return` are one SELECT", reason="program")
    return program


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "nothing"


def compiled(guard: Guard, mode: Mode, sql: str, where: str) -> tuple[set[str], bool]:
    """The names one statement binds and whether it gives rows, after the authorizer has seen it.

    Nothing is run. Raises `TaskFault`.
    """
    names = _Names()
    guard.refill()
    try:
        opcodes = {row[1] for row in guard.execute(mode, f"EXPLAIN {sql}", names)}
    except (Denied, BudgetExceeded, Stalled, sqlite3.Error, sqlite3.Warning) as error:
        raise TaskFault(f"{where}: {error}", reason="program") from error
    return names.asked, "ResultRow" in opcodes
