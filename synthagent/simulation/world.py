"""Executable mock worlds: a task's state is a small SQLite database, a tool is guarded SQL.

`synthagent.simulation.compiling` turns a task's world into a `Blueprint` (image, programs, validators), once.
`Blueprint.open` gives a `LiveWorld` in the initial state. No model is called, the same calls give the same bytes, and
no tool enforces a restriction: forbidden calls succeed here and are for the rubric to see.
"""

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import orjson

from synthagent.errors import EpisodeFailure, TaskFault
from synthagent.schema.tasks import Require, Return, Run, Tool
from synthagent.simulation.arguments import (
    BadArguments,
    Schema,
    binder,
    canonical_text,
    check_storable,
    parse,
)
from synthagent.simulation.guarded_sql import PATIENCE, BudgetExceeded, Denied, Guard, Mode, Stalled
from synthagent.simulation.shaping import restorers, shaped
from synthagent.simulation.simulated import (
    Answer,
    Deed,
    History,
    Simulated,
    SimulatedCall,
    canonical_arguments,
    key_arguments,
    table_digests,
)
from synthagent.simulation.states import RowChange, Rows, Table, diff, digest_of, folded, quoted

MAX_RESULT_ROWS = 5_000
MAX_RESULT_BYTES = 1_000_000


@dataclass(frozen=True, slots=True)
class ToolResult:
    """The answer to one tool call."""

    ok: bool
    response: str
    """The exact text for the agent: the result as JSON, or `{"error": {"type", "message"}}`; of a service, plain."""
    value: Any
    """The result as data; None when the call failed."""
    error: str | None
    """unknown_tool, bad_arguments, malformed, precondition, limit or raised; None when the call succeeded."""
    arguments: dict[str, Any] | None
    """As typed; None when they could not be read."""
    changed: bool = False


class Program:
    """A tool made executable: its validator, binder and steps."""

    __slots__ = ("accepts", "bind", "outputs", "restore", "schema", "steps", "tool", "writes")

    def __init__(self, tool: Tool, steps: Sequence[Require | Run | Return]):
        self.tool = tool.name
        self.steps = tuple(steps)
        self.schema = Schema(tool.function.parameters)
        self.accepts = self.schema.accepts
        self.bind = binder(tool.function.parameters)
        self.outputs = Schema(tool.outputs) if tool.outputs else None
        self.restore = restorers(tool.outputs)
        self.writes = any(isinstance(step, Run) for step in steps)


class Blueprint:
    """A compiled world: what every live copy of it shares. Use within one thread.

    A connection is restored from the image once and then kept: a world is reset by rolling back to a savepoint, which
    costs less than a restore and leaves prepared statements valid.
    """

    def __init__(self, world_id: str, now: str, tables: tuple[Table, ...], image: bytes, programs: dict[str, Program],
                 tools: tuple[str, ...], ends: frozenset[str], initial: Rows,
                 simulated: Mapping[str, Simulated] | None = None):  # fmt: skip
        self.world_id, self.now, self.tables, self.image = world_id, now, tables, image
        self.programs, self.tools, self.ends, self.initial = programs, tools, ends, initial
        self.simulated = simulated or {}
        self.patience = PATIENCE
        self._free: dict[bool, list[Guard]] = {False: [], True: []}

    @cached_property
    def digest(self) -> str:
        """Of the initial state."""
        return digest_of(self.initial)

    @cached_property
    def table_digests(self) -> Mapping[str, str]:
        """Table -> digest in the initial state."""
        return table_digests(self.initial)

    def open(self, *, reverse: bool = False) -> "LiveWorld":
        """A live world in the initial state. `reverse`: rows without ORDER BY come back to front, to catch them."""
        home = self._free[reverse]
        return LiveWorld(self, home.pop() if home else self._fresh(reverse), home)

    def _fresh(self, reverse: bool) -> Guard:
        guard = Guard(patience=self.patience)
        guard.restore(self.image)
        guard.declare()
        guard.own(f"PRAGMA reverse_unordered_selects = {int(reverse)}")
        guard.clock.now = self.now
        guard.save("start")
        return guard

    @cached_property
    def _checker(self) -> Guard:
        guard = Guard(attach_base=True, patience=self.patience)
        guard.restore(self.image, "base")
        guard.restore(self.image)
        guard.declare()
        guard.own("PRAGMA foreign_keys = OFF")
        guard.clock.now = self.now
        return guard

    def query(self, final: "Final", statements: Sequence[tuple[str, Mapping[str, Any]]]) -> list[list[tuple[Any, ...]]]:
        """Runs read-only SQL over a final state, the initial state attached as `base`.

        Raises `Denied`, `BudgetExceeded` or what sqlite3 raises.
        """
        guard = self._checker
        guard.save("final")
        try:
            self._apply(guard, final.changes(self))
            answers = []
            for sql, parameters in statements:
                guard.refill()
                answers.append(guard.fetch(guard.execute(Mode.READ, sql, parameters), MAX_RESULT_ROWS))
            return answers
        except Stalled as error:
            raise EpisodeFailure(f"a check took too long: {error}", reason="stalled") from error
        finally:
            if not guard.lost:
                guard.undo("final")
                guard.keep("final")

    def _apply(self, guard: Guard, changes: "list[RowChange]") -> None:
        keys = {table.name: table.key for table in self.tables}
        for change in changes:
            if change.before is not None:
                where = " AND ".join(f"{quoted(name)} IS ?" for name in keys[change.table])
                key = tuple(change.before[name] for name in keys[change.table])
                guard.own(f"DELETE FROM main.{quoted(change.table)} WHERE {where}", key)
        for change in changes:
            if change.after is not None:
                marks = ", ".join("?" * len(change.after))
                insert = f"INSERT INTO main.{quoted(change.table)} VALUES ({marks})"
                guard.own(insert, tuple(change.after.values()))

    def rows_of(self, guard: Guard) -> Rows:
        """All rows of the connection's main database. Raises `TaskFault` for text that is not Unicode."""
        try:
            return {table.name: guard.own(table.select) for table in self.tables}
        except sqlite3.OperationalError as error:
            raise TaskFault(f"a tool stored what cannot be read: {error}", reason="program") from error


class Final:
    """A state to be looked at: what checks and viewers get of a world that has been played."""

    def __init__(self, digest: str, rows: Rows | None):
        self.digest = digest
        self.rows = rows
        """None: nothing changed since the initial state."""
        self._changes: list[RowChange] | None = [] if rows is None else None

    def changes(self, blueprint: Blueprint) -> list[RowChange]:
        """Every row that differs from the initial state, by table and key."""
        if self._changes is None:
            assert self.rows is not None
            self._changes = diff(blueprint.tables, blueprint.initial, self.rows)
        return self._changes


class LiveWorld:
    """One episode's world. `close` gives its connection back; use as a context manager."""

    __slots__ = ("_calls", "_closed", "_digest", "_dirty", "_done", "_guard", "_history", "_home", "blueprint")

    def __init__(self, blueprint: Blueprint, guard: Guard, home: list[Guard]):
        self.blueprint = blueprint
        self._guard, self._home = guard, home
        self._calls: dict[tuple[str, str], int] = {}
        self._done: list[tuple[Program, dict[str, Any], dict[str, Any]]] = []
        self._digest: str | None = blueprint.digest
        self._dirty = self._closed = False
        self._history = History(blueprint.table_digests) if blueprint.simulated else None

    def __enter__(self) -> "LiveWorld":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Gives the connection back. Harmless when repeated: it must not be given to two worlds."""
        if self._closed:
            return
        self._closed = True
        if self._dirty:
            self._guard.undo("start")
        self._guard.clock.id_source = str  # not this world's any more: see `Guard` on circles
        self._home.append(self._guard)

    def call(self, tool: str, raw: str) -> ToolResult:
        """Runs one call of a tool that has a program, on its raw argument text.

        Everything the agent can do wrong comes back as a `ToolResult` that is not `ok`, with the state as before.
        So does a valid call of a simulated tool (`no_simulator`), which takes `begin` and somebody to answer. Raises
        `TaskFault` when the task is at fault: its SQL fails or its result does not fit its own schema.
        """
        result = self.begin(tool, raw)
        if isinstance(result, SimulatedCall):
            return _failed("no_simulator", f"{tool} has no program", result.arguments)
        return result

    def begin(self, tool: str, raw: str) -> "ToolResult | SimulatedCall":
        """As `call`, but a valid call of a simulated tool comes back to be answered, and then to `take` the answer."""
        program = self.blueprint.programs.get(tool) or self.blueprint.simulated.get(tool)
        if program is None:
            known = ", ".join(self.blueprint.tools)
            return _failed("unknown_tool", f"there is no tool '{tool[:80]}'; the tools are: {known}", None)
        arguments: dict[str, Any] | None = None
        try:
            arguments = parse(raw)
            if not program.accepts(arguments):
                raise BadArguments(program.schema.complaint(arguments) or "not valid")
            check_storable(arguments)
        except BadArguments as bad:
            return _failed(bad.kind, str(bad), arguments if bad.kind == "bad_arguments" else None)
        typed, bound = program.bind(arguments)
        return self._run(program, typed, bound) if isinstance(program, Program) else self._posed(program, typed)

    def _posed(self, tool: Simulated, typed: dict[str, Any]) -> SimulatedCall:
        """A call of a simulated tool, with all that its answer may depend on."""
        assert self._history is not None
        blueprint = self.blueprint
        read = [t for t in blueprint.tables if tool.reads is None or t.name in tool.reads]
        rows = {t.name: [dict(zip(t.columns, row, strict=True)) for row in self._guard.own(t.select)] for t in read}
        return SimulatedCall(
            world_id=blueprint.world_id,
            now=blueprint.now,
            tool=tool,
            arguments=typed,
            canonical=canonical_arguments(key_arguments(typed)),
            moments=self._history.moments(tool),
            deeds=self._history.mattering(tool),
            rows=rows,
        )

    def take(self, call: SimulatedCall, answer: Answer) -> ToolResult:
        """Lets an answer happen: a write that succeeded becomes a part of the state."""
        changed = call.tool.writes and answer.ok
        if changed:
            assert self._history is not None
            tool = call.tool
            self._history.note(Deed(tool.tool.name, call.arguments, answer.response, tool.touches, answer.root))
        value = answer.response if call.tool.service else orjson.loads(answer.response)
        if answer.ok:
            return ToolResult(True, answer.response, value, None, call.arguments, changed)
        error = "raised" if call.tool.service else "precondition"
        return ToolResult(False, answer.response, None, error, call.arguments)

    @property
    def digest(self) -> str:
        """SHA-256 over the state; recomputed only after a call that changed a row."""
        if self._digest is None:
            self._digest = digest_of(self.rows())
        return self._digest

    def rows(self) -> Rows:
        return self.blueprint.rows_of(self._guard)

    def final(self) -> Final:
        """The state now, to be looked at after this world is closed."""
        entries = self._history.folded if self._history else []
        if not self._dirty:
            return Final(folded(self.digest, entries), None)
        rows = self.rows()
        return Final(folded(digest_of(rows), entries), rows)

    def _run(self, program: Program, typed: dict[str, Any], bound: dict[str, Any]) -> ToolResult:
        guard, tool = self._guard, program.tool
        self._name_ids(tool, typed)
        if not program.writes:
            guard.refill()
            try:
                return self._steps(program, typed, bound)
            except BudgetExceeded as error:
                return _failed("limit", f"{tool} took more than it may: {error}", typed)
            finally:
                if guard.lost:
                    self._restart()
        guard.save("call")
        kept = False
        try:
            result = self._steps(program, typed, bound)
            kept = result.ok
        except BudgetExceeded as error:
            return _failed("limit", f"{tool} took more than it may: {error}", typed)
        except sqlite3.IntegrityError:
            return _failed("precondition", "the request conflicts with what is already on record", typed)
        finally:
            if guard.lost:
                self._restart()
            else:
                if not kept:
                    guard.undo("call")
                guard.keep("call")
        if kept:
            self._digest, self._dirty = None, True
            key = (tool, canonical_text(typed))
            self._calls[key] = self._calls.get(key, 0) + 1
            self._done.append((program, typed, bound))
            if self._history is not None:
                self._history.note(*self._deed(program, typed, result, self._history))
        return result

    def _deed(self, program: Program, typed: dict[str, Any], result: ToolResult, history: History) -> tuple[Deed, Any]:
        """What a program has just done, and the digests of all tables after it."""
        before, after = history.digests, table_digests(self.rows())
        touched = frozenset(name for name, digest in after.items() if before[name] != digest)
        return Deed(program.tool, typed, result.response, touched), after

    def _restart(self) -> None:
        """The failed call took the whole transaction with it: what succeeded before is done again."""
        done, self._done, self._calls = self._done, [], {}
        history, self._history = self._history, None  # it knows of these deeds already
        self._guard.save("start")
        for program, typed, bound in done:
            self._run(program, typed, bound)
        self._history = history

    def _name_ids(self, tool: str, typed: dict[str, Any]) -> None:
        """`new_id` inside this call: a hash of world, tool, arguments and how often this call succeeded before."""

        def source() -> str:
            arguments = canonical_text(typed)
            earlier = self._calls.get((tool, arguments), 0)
            return f"{self.blueprint.world_id}|{tool}|{arguments}|{earlier}"

        self._guard.clock.id_source = source

    def _steps(self, program: Program, typed: dict[str, Any], bound: dict[str, Any]) -> ToolResult:
        guard, value = self._guard, None
        mode = Mode.WRITE if program.writes else Mode.READ
        for number, step in enumerate(program.steps):
            try:
                if isinstance(step, Require):
                    if not guard.has_row(guard.execute(Mode.READ, step.require, bound)):
                        return _failed("precondition", step.otherwise, typed)
                elif isinstance(step, Run):
                    if guard.execute(mode, step.run, bound).rowcount < 1:
                        return _failed("precondition", "nothing was changed", typed)
                else:
                    cursor = guard.execute(Mode.READ, step.query, bound)
                    names = [column[0] for column in cursor.description]
                    value = shaped(step.shape, names, guard.fetch(cursor, MAX_RESULT_ROWS), program.restore)
            except sqlite3.IntegrityError:
                raise
            except Stalled as error:
                raise EpisodeFailure(f"{program.tool}, step {number + 1}: {error}", reason="stalled") from error
            except (Denied, sqlite3.Error, ValueError, OverflowError) as error:
                raise TaskFault(f"{program.tool}, step {number + 1}: {error}", reason="program") from error
        try:
            text = orjson.dumps(value)
        except TypeError as error:  # a BLOB, or nested too deep
            raise TaskFault(f"{program.tool}: the result is not JSON: {error}", reason="program") from error
        if program.outputs is not None and not program.outputs.accepts(value):
            complaint = program.outputs.complaint(value)
            raise TaskFault(f"{program.tool}: result does not fit `outputs`: {complaint}", reason="outputs")
        if len(text) > MAX_RESULT_BYTES:
            raise BudgetExceeded(f"a result of more than {MAX_RESULT_BYTES} bytes")
        return ToolResult(True, text.decode(), value, None, typed, program.writes)


def _failed(kind: str, message: str, arguments: dict[str, Any] | None) -> ToolResult:
    text = orjson.dumps({"error": {"type": kind, "message": message}}).decode()
    return ToolResult(False, text, None, kind, arguments)
