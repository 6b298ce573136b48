"""SQLite connections that hostile SQL may run on: allow-listed actions and functions, limits, an opcode budget.

Nothing here knows tasks. A `Guard` is one connection with a mode; the mode says what the authorizer lets through.
Budgets count virtual-machine opcodes and not time, so that a verdict does not depend on the machine's load; the
`SQLITE_LIMIT_*` values are there since one opcode can allocate without the progress handler firing. One opcode can also
take long (`instr` of two long texts is quadratic): behind the budget stands a time limit that is never a verdict.
Sources: SQLite's "Defense Against The Dark Arts" (sqlite.org/security.html) and sqlite3_set_authorizer.
"""

import hashlib
import math
import sqlite3
import time
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from enum import Enum
from typing import Any
from weakref import WeakMethod

OPCODE_BUDGET = 1_000_000
"""Opcodes one call (or one check) may spend."""
OPCODES_A_TICK = 1_000
PATIENCE = 30.0
"""Seconds that one call may take. Who runs out of them has `Stalled`, which no score may depend on."""
MAX_TEXT = 1_000_000
"""Characters in the rows that one statement returns."""
HEAP_BYTES = 1 << 30
"""Hard bound on SQLite's memory in this process: the last guard, behind all the others."""

FUNCTIONS = frozenset(
    """
    abs avg coalesce count glob group_concat ifnull iif instr json json_array json_array_length json_each
    json_extract json_group_array json_object json_type -> ->> length like lower ltrim max min nullif replace round
    row_number rtrim sign substr substring sum total trim typeof unicode upper now today add_days add_minutes
    days_between weekday new_id
    """.split()
)
"""SQL functions a program or a check may call. No dates of SQLite's own: the clock of a world stands still."""

_LIMITS = {
    sqlite3.SQLITE_LIMIT_LENGTH: 400_000,
    sqlite3.SQLITE_LIMIT_SQL_LENGTH: 40_000,
    sqlite3.SQLITE_LIMIT_COLUMN: 128,
    sqlite3.SQLITE_LIMIT_EXPR_DEPTH: 64,
    sqlite3.SQLITE_LIMIT_COMPOUND_SELECT: 12,
    sqlite3.SQLITE_LIMIT_VDBE_OP: 25_000,
    sqlite3.SQLITE_LIMIT_FUNCTION_ARG: 24,
    sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH: 200,
    sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER: 100,
    sqlite3.SQLITE_LIMIT_TRIGGER_DEPTH: 1,
    sqlite3.SQLITE_LIMIT_WORKER_THREADS: 0,
}

_READ = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE}
_WRITE = _READ | {sqlite3.SQLITE_INSERT, sqlite3.SQLITE_UPDATE, sqlite3.SQLITE_DELETE}
_BUILD = _WRITE | {sqlite3.SQLITE_CREATE_TABLE, sqlite3.SQLITE_CREATE_INDEX, sqlite3.SQLITE_REINDEX}
_NAMES = {
    value: name
    for name, value in vars(sqlite3).items()
    if name.startswith(("SQLITE_CREATE", "SQLITE_DROP", "SQLITE_ALTER"))
    or name
    in (
        "SQLITE_ATTACH SQLITE_DETACH SQLITE_PRAGMA SQLITE_TRANSACTION SQLITE_SAVEPOINT SQLITE_ANALYZE SQLITE_REINDEX "
        "SQLITE_INSERT SQLITE_UPDATE SQLITE_DELETE SQLITE_READ SQLITE_FUNCTION SQLITE_SELECT SQLITE_RECURSIVE"
    ).split()
}


_CHUNK = 32
"""Rows taken at a time: the size of a result is bounded chunk by chunk."""


class Mode(Enum):
    """What the authorizer lets through."""

    TRUSTED = "trusted"  # our own statements only
    BUILD = "build"  # DDL of a task and its rows
    READ = "read"
    WRITE = "write"


_ALLOWED = {Mode.BUILD: _BUILD, Mode.READ: _READ, Mode.WRITE: _WRITE}


class Denied(Exception):
    """The authorizer refused; the text names the action."""


class BudgetExceeded(Exception):
    """The statement spent its opcodes, or hit one of SQLite's limits."""


class Stalled(Exception):
    """The statement took longer than `PATIENCE`: the machine's fault or the statement's, but no verdict."""


class Clock:
    """What the deterministic functions of one connection read; swapped when the connection is given to a world."""

    __slots__ = ("id_source", "now")

    def __init__(self) -> None:
        self.now = "2030-01-01T00:00:00"
        self.id_source: Callable[[], str] = str


def _alive(method: WeakMethod[Callable[..., int]]) -> Callable[..., int]:
    found = method()
    assert found is not None  # a connection is used through its guard only
    return found


class Guard:
    """One guarded connection to an in-memory database."""

    def __init__(self, *, attach_base: bool = False, patience: float = PATIENCE):
        self.db = sqlite3.connect(":memory:", isolation_level=None, cached_statements=256)
        self.mode = Mode.TRUSTED
        self.clock = Clock()
        self.denied = ""
        self._ticks = 0
        self._patience = patience
        self._deadline = time.monotonic() + patience
        self.db.execute("PRAGMA trusted_schema = OFF")
        self.db.execute("PRAGMA foreign_keys = ON")
        self.db.execute("PRAGMA temp_store = MEMORY")
        self.db.execute(f"PRAGMA hard_heap_limit = {HEAP_BYTES}")
        if attach_base:
            self.db.execute("ATTACH ':memory:' AS base")
        self.db.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, int(attach_base))
        for limit, value in _LIMITS.items():
            self.db.setlimit(limit, value)
        _register(self.db, self.clock)
        # Weakly: a guard in a circle with its connection would wait for the collector, and SQLite's heap is one for the
        # whole process; thousands of worlds that nobody uses any more once filled it.
        ticking, authorizing = WeakMethod(self._tick), WeakMethod(self._authorize)
        self.db.set_authorizer(lambda *asked: _alive(authorizing)(*asked))
        self.db.set_progress_handler(lambda: _alive(ticking)(), OPCODES_A_TICK)

    def execute(self, mode: Mode, sql: str, parameters: Mapping[str, Any] | tuple[Any, ...] = ()) -> sqlite3.Cursor:
        """Runs one statement under the mode.

        Raises `Denied`, `BudgetExceeded`, `Stalled`, or what sqlite3 raises (`IntegrityError`, ...).
        """
        self.mode = mode
        self.denied = ""
        try:
            return self.db.execute(sql, parameters)
        except (sqlite3.DatabaseError, MemoryError) as error:
            raise self._classified(error) from error
        finally:
            self.mode = Mode.TRUSTED

    def script(self, sql: str) -> None:
        """Runs a task's DDL under `Mode.BUILD`; raises like `execute`."""
        self.mode = Mode.BUILD
        self.denied = ""
        self.refill()
        try:
            self.db.executescript(sql)
        except (sqlite3.DatabaseError, MemoryError) as error:
            raise self._classified(error) from error
        finally:
            self.mode = Mode.TRUSTED

    def fetch(self, cursor: sqlite3.Cursor, most: int) -> list[tuple[Any, ...]]:
        """At most `most` rows; raises `BudgetExceeded` when there are more, or more than `MAX_TEXT` characters."""
        rows: list[tuple[Any, ...]] = []
        size = 0
        try:
            while chunk := cursor.fetchmany(_CHUNK):
                rows += chunk
                size += sum([len(value) for row in chunk for value in row if isinstance(value, str)])
                if len(rows) > most or size > MAX_TEXT:
                    cursor.close()
                    raise BudgetExceeded(f"more than {most} rows or {MAX_TEXT} characters")
        except (sqlite3.DatabaseError, MemoryError) as error:
            raise self._classified(error) from error
        return rows

    def has_row(self, cursor: sqlite3.Cursor) -> bool:
        """Whether there is a row; raises like `execute`."""
        try:
            return cursor.fetchone() is not None
        except (sqlite3.DatabaseError, MemoryError) as error:
            raise self._classified(error) from error
        finally:
            cursor.close()

    def restore(self, image: bytes, name: str = "main") -> None:
        """Replaces a database by an image. Only for a connection on which nothing has been run yet.

        SQLite does not expire prepared statements here: a cached one would go on with freed table definitions (the type
        check of STRICT tables reads them). To start over, roll back to a savepoint instead.
        """
        self.db.deserialize(image, name=name)

    def declare(self) -> None:
        """Makes `json_each` known. To be called after every `restore`, which would free what this keeps.

        The first use of a table-valued function declares it, which the authorizer takes for a write.
        """
        self.own("SELECT 1 FROM json_each('[]')")

    def refill(self) -> None:
        """Starts a new opcode budget."""
        self._ticks = 0
        self._deadline = time.monotonic() + self._patience

    def own(self, sql: str, parameters: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        """All rows of one of our own statements: no authorizer and no budget. What comes after has a new one."""
        self._ticks, self._deadline = -(1 << 60), math.inf
        try:
            return self.db.execute(sql, parameters).fetchall()
        finally:
            self.refill()

    def save(self, point: str) -> None:
        """Opens a savepoint."""
        self.own(f"SAVEPOINT {point}")

    def undo(self, point: str) -> None:
        """Takes back everything since the savepoint, which stays open. See `lost` for when there is none left."""
        self.own(f"ROLLBACK TO {point}")

    def keep(self, point: str) -> None:
        """Closes a savepoint; what came since belongs to the one around it."""
        self.own(f"RELEASE {point}")

    @property
    def lost(self) -> bool:
        """SQLite gave up the whole transaction, savepoints and all.

        It does so for a write that was interrupted, when memory runs out, and for `OR ROLLBACK`
        (sqlite.org/lang_transaction.html, "Response To Errors Within A Transaction").
        """
        return not self.db.in_transaction

    def close(self) -> None:
        self.db.close()

    def _classified(self, error: BaseException) -> BaseException:
        if self.denied:
            return Denied(self.denied)
        text = str(error)
        if "interrupted" in text and time.monotonic() > self._deadline:
            return Stalled(f"more than {self._patience:g} s")
        if isinstance(error, MemoryError) or "interrupted" in text or "too big" in text or "too complex" in text:
            return BudgetExceeded(text or "out of memory")
        return error

    def _tick(self) -> int:
        self._ticks += 1
        return int(self._ticks * OPCODES_A_TICK > OPCODE_BUDGET or time.monotonic() > self._deadline)

    def _authorize(self, action: int, one: str | None, two: str | None, _db: str | None, _trigger: str | None) -> int:
        if self.mode is Mode.TRUSTED:
            return sqlite3.SQLITE_OK
        reason = ""
        if action not in _ALLOWED[self.mode]:
            reason = f"{_NAMES.get(action, f'action {action}')} {one or ''}".strip()
        elif action == sqlite3.SQLITE_FUNCTION:
            if (two or "").lower() not in FUNCTIONS:
                reason = f"function {two}()"
        elif action != sqlite3.SQLITE_SELECT and self.mode is not Mode.BUILD and _internal(one):
            reason = f"table {one}"
        if reason:
            self.denied = f"not allowed: {reason}"
            return sqlite3.SQLITE_DENY
        return sqlite3.SQLITE_OK


def _internal(table: str | None) -> bool:
    return (table or "").lower().startswith(("sqlite_", "pragma_"))


def _register(db: sqlite3.Connection, clock: Clock) -> None:
    db.create_function("now", 0, lambda: clock.now)
    db.create_function("today", 0, lambda: clock.now[:10])
    db.create_function("new_id", 1, lambda prefix: _new_id(clock, prefix))
    db.create_function("add_days", 2, _add_days, deterministic=True)
    db.create_function("add_minutes", 2, _add_minutes, deterministic=True)
    db.create_function("days_between", 2, _days_between, deterministic=True)
    db.create_function("weekday", 1, _weekday, deterministic=True)


def _new_id(clock: Clock, prefix: str) -> str:
    return f"{prefix}-{hashlib.sha256(f'{clock.id_source()}|{prefix}'.encode()).hexdigest()[:6]}"


def _moment(text: Any) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return None


def _add_days(text: Any, days: Any) -> str | None:
    moment = _moment(text)
    if moment is None or not isinstance(days, int):
        return None
    try:
        moved = moment + timedelta(days=days)
    except OverflowError:
        return None
    return moved.date().isoformat() if len(text) == 10 else moved.isoformat()


def _add_minutes(text: Any, minutes: Any) -> str | None:
    moment = _moment(text)
    if moment is None or not isinstance(minutes, int):
        return None
    try:
        return (moment + timedelta(minutes=minutes)).isoformat()
    except OverflowError:
        return None


def _days_between(first: Any, second: Any) -> int | None:
    one, two = _moment(first), _moment(second)
    if one is None or two is None:
        return None
    return (two.date() - one.date()).days


def _weekday(text: Any) -> str | None:
    moment = _moment(text)
    if moment is None:
        return None
    return ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")[moment.weekday()]
