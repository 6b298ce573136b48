"""Hostile SQL: what is refused before it runs, what is stopped while it runs, and that the process survives both."""

import sqlite3

import pytest

from synthagent.errors import EpisodeFailure, TaskFault
from synthagent.simulation.guarded_sql import BudgetExceeded, Denied, Guard, Mode, Stalled
from tests.builders import SHELF, WHOLE, give, require, run, shelf, text_of

FOREVER = "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c) "
LONG = "replace(replace(replace('aaaaaaaaaa', 'a', 'aaaaaaaaaa'), 'a', 'aaaaaaaaaa'), 'a', '" + "b" * 100 + "')"
"""100,000 characters in one line of SQL."""

NOT_FOR_READING = [
    "DROP TABLE shelf",
    "DELETE FROM shelf",
    "UPDATE shelf SET n = 0",
    "INSERT INTO shelf VALUES ('z', 1, 1.0, '') RETURNING id",
    "WITH x AS (SELECT 1) DELETE FROM shelf",
    "CREATE TABLE other(a)",
    "CREATE TEMP TABLE other(a)",
    "ALTER TABLE shelf ADD y",
    "ATTACH 'other.db' AS other",
    "DETACH main",
    "PRAGMA writable_schema = 1",
    "SELECT * FROM pragma_table_info('shelf')",
    "VACUUM",
    "VACUUM INTO 'other.db'",
    "ANALYZE",
    "REINDEX shelf",
    "BEGIN",
    "COMMIT",
    "ROLLBACK",
    "SAVEPOINT mine",
    "SELECT load_extension('other')",
    "SELECT random()",
    "SELECT randomblob(8)",
    "SELECT zeroblob(1000000000)",
    "SELECT printf('%1000000000d', 1)",
    "SELECT date('now')",
    "SELECT unixepoch()",
    "SELECT CURRENT_TIMESTAMP",
    "SELECT CURRENT_DATE",
    "SELECT last_insert_rowid()",
    "SELECT * FROM sqlite_master",
    "SELECT * FROM SQLITE_SCHEMA",
    "SELECT * FROM temp.sqlite_temp_master",
    "SELECT * FROM dbstat",
    "SELECT * FROM base.shelf",
    "SELECT 1; SELECT 2",
    "SELECT 1; DROP TABLE shelf",
    "EXPLAIN SELECT 1",
    "QUERY PLAN SELECT 1",
    "SELECT :unheard_of",
    "SELECT ?",
    "SELECT nothing FROM shelf",
    "nonsense",
    "-- nothing",
    "",
    "SELECT " + "+".join("1" * 300),
    " UNION ALL ".join(["SELECT 1"] * 20),
    "SELECT '" + "x" * 50_000 + "'",
    "SELECT CAST(x'ff' AS TEXT)",
]


@pytest.mark.parametrize("sql", NOT_FOR_READING, ids=lambda sql: sql[:40])
def test_a_query_that_does_more_than_read_the_tables_is_refused_with_its_place(sql):
    with pytest.raises(TaskFault, match=r"^world\.programs\.act\.0: ") as caught:
        shelf(give(sql))
    assert caught.value.reason == "program"
    with pytest.raises(TaskFault, match=r"^world\.programs\.act\.0: "):
        shelf(require(sql, "no"), give("SELECT 1"))


@pytest.mark.parametrize(
    "sql",
    [
        "DROP TABLE shelf",
        "SELECT 1",
        "REPLACE INTO shelf VALUES ('a', 1, 1.0, '')",
        "DELETE FROM sqlite_master",
        "INSERT INTO sqlite_sequence VALUES (1, 1)",
        "PRAGMA user_version = 3",
        "UPDATE shelf SET n = random()",
        "UPDATE shelf SET s = CURRENT_TIMESTAMP",
        "UPDATE shelf SET n = 1; DELETE FROM shelf",
        "UPDATE shelf SET n = 2 RETURNING id",
        "INSERT INTO shelf(id) SELECT name FROM sqlite_master",
        "INSERT INTO base.shelf(id) VALUES ('z')",
        "/* x */ DROP TABLE shelf",
    ],
)
def test_a_write_that_is_not_one_plain_write_is_refused_with_its_place(sql):
    with pytest.raises(TaskFault, match=r"^world\.programs\.act\.1: "):
        shelf(require("SELECT 1", "no"), run(sql), give("SELECT 1"))


def test_the_word_returning_in_a_text_is_no_clause():
    world = shelf(run("UPDATE shelf SET s = 'returning' WHERE id = :id"), give("SELECT s FROM shelf ORDER BY id"))
    with world.open() as live:
        assert live.call("act", '{"id": "a"}').ok


def test_a_read_tool_holds_no_write():
    with pytest.raises(TaskFault, match=r"^world\.programs\.act: a read tool may not hold `run`"):
        shelf(run("UPDATE shelf SET n = 1"), give("SELECT 1"), effect="read")


@pytest.mark.parametrize(
    "ddl",
    [
        "CREATE TABLE t(id TEXT PRIMARY KEY)",
        "CREATE TABLE t(id TEXT) STRICT",
        "CREATE TABLE t(id TEXT PRIMARY KEY, b BLOB) STRICT",
        "CREATE TABLE t(id TEXT PRIMARY KEY, b ANY) STRICT",
        "CREATE TABLE t AS SELECT 1 AS id",
        "CREATE TABLE t(id TEXT PRIMARY KEY, at TEXT DEFAULT CURRENT_TIMESTAMP) STRICT",
        "CREATE TABLE t(id TEXT PRIMARY KEY, n INTEGER DEFAULT (random())) STRICT",
        "CREATE TABLE t(id TEXT PRIMARY KEY, at TEXT DEFAULT (date('now'))) STRICT",
        "CREATE TABLE t(id TEXT PRIMARY KEY, n INTEGER CHECK (random() > 0)) STRICT",
        "CREATE TABLE t(id TEXT PRIMARY KEY, n TEXT CHECK (n < CURRENT_DATE)) STRICT",
        "CREATE TABLE t(id TEXT PRIMARY KEY, n INTEGER AS (random())) STRICT",
        "CREATE VIEW v AS SELECT 1",
        "CREATE TABLE t(id TEXT PRIMARY KEY) STRICT; CREATE TRIGGER g AFTER INSERT ON t BEGIN SELECT 1; END",
        "CREATE VIRTUAL TABLE v USING fts5(a)",
        "CREATE TEMP TABLE t(id TEXT PRIMARY KEY) STRICT",
        "PRAGMA journal_mode = OFF",
        "ATTACH 'other.db' AS other",
        "SELECT load_extension('other')",
        "BEGIN; CREATE TABLE t(id TEXT PRIMARY KEY) STRICT;",
        "CREATE TABLE t(id TEXT PRIMARY KEY) STRICT; COMMIT",
        "CREATE TABLE t(id TEXT PRIMARY KEY) STRICT; UPDATE sqlite_master SET sql = ''",
        f"CREATE TABLE t(id TEXT PRIMARY KEY) STRICT; INSERT INTO t {FOREVER} SELECT i FROM c",
        "nonsense",
        "CREATE TABLE t(id TEXT PRIMARY KEY) STRICT; \0",
    ],
    ids=lambda ddl: ddl[:60],
)
def test_tables_that_could_hide_code_or_chance_are_refused(ddl):
    with pytest.raises(TaskFault, match=r"^world\.ddl: ") as caught:
        shelf(give("SELECT 1"), ddl=ddl)
    assert caught.value.reason in ("ddl", "program")


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        (("a",), "values for 4 columns"),
        (("a", "many", 1.0, ""), "cannot store TEXT"),
        (("a", 2**64, 1.0, ""), "64 bits"),
        (("a", 1, float("nan"), ""), "NaN"),
        (("a", 1, 1.0, "\0"), "NUL"),
        (("a", 1, 1.0, "\ud800"), "surrogate"),
        ((None, 1, 1.0, ["x"]), "type 'list' is not supported"),
    ],
)
def test_a_row_that_does_not_fit_is_refused_with_its_place(row, complaint):
    with pytest.raises(TaskFault, match=r"^world\.rows\.shelf\.1: .*" + complaint):
        shelf(give("SELECT 1"), rows={"shelf": (("b", 1, 1.0, ""), row)})


def test_a_row_that_refers_to_nothing_is_refused():
    ddl = (
        "CREATE TABLE box(id TEXT PRIMARY KEY) STRICT;"
        "CREATE TABLE item(id TEXT PRIMARY KEY, box TEXT NOT NULL REFERENCES box) STRICT;"
    )
    with pytest.raises(TaskFault, match=r"world\.rows\.item: .*missing row of box"):
        shelf(give("SELECT 1"), ddl=ddl, rows={"item": (("i", "nowhere"),)})


def test_a_large_world_is_built_and_read_whatever_its_size():
    rows = tuple((f"k{number}", number, 1.0, "x") for number in range(30_000))
    world = shelf(run("DELETE FROM shelf WHERE id = 'k0'"), give("SELECT 1"), rows={"shelf": rows})
    with world.open() as live:
        assert live.call("act", '{"id": "", "n": 0}').ok
        assert len(live.final().changes(world)) == 1


@pytest.mark.parametrize(
    "query",
    [
        f"{FOREVER} SELECT max(i) FROM c",
        f"{FOREVER} SELECT i FROM c",
        "SELECT count(*) FROM ("
        + FOREVER
        + "SELECT i FROM c LIMIT 3000) a, ("
        + FOREVER
        + "SELECT i FROM c LIMIT 3000) b",
        f"{FOREVER} SELECT {LONG} AS s FROM c LIMIT 4000",
        f"SELECT length({LONG} || {LONG} || {LONG} || {LONG} || {LONG})",
        f"{FOREVER} SELECT group_concat({LONG}) FROM (SELECT i FROM c LIMIT 50)",
        "SELECT 'aaaa' LIKE '" + "%a" * 150 + "'",
        f"SELECT n LIKE {LONG} FROM shelf ORDER BY id",
    ],
    ids=["endless", "endless rows", "cross join", "huge rows", "huge text", "huge group", "long LIKE", "huge LIKE"],
)
def test_a_query_that_takes_too_much_is_stopped_and_named(query):
    world = shelf(give(query))
    with world.open() as live:
        result = live.call("act", '{"id": "", "n": 0}')
        assert (result.ok, result.error) == (False, "limit")
        assert live.call("put", '{"id": "still alive"}').ok


def test_the_verdict_on_a_greedy_call_depends_on_what_it_asks_for_and_not_on_the_clock():
    spin = f"{FOREVER} SELECT count(*) FROM (SELECT i FROM c LIMIT :n)"
    world = shelf(give(spin, "value"))
    with world.open() as live:
        verdicts = [live.call("act", text_of({"id": "", "n": n})).error for n in (10, 10_000, 1_000_000) * 3]
    assert verdicts == [None, None, "limit"] * 3


def test_more_rows_than_a_result_may_hold_are_a_limit_but_a_precondition_needs_only_one():
    rows = {"shelf": tuple((f"k{number}", 1, 1.0, "") for number in range(6_000))}
    world = shelf(give("SELECT id FROM shelf ORDER BY id"), rows=rows)
    asking = shelf(require("SELECT 1 FROM shelf", "no"), give("SELECT 1", "value"), rows=rows)
    with world.open() as one, asking.open() as other:
        assert one.call("act", '{"id": "", "n": 0}').error == "limit"
        assert other.call("act", '{"id": "", "n": 0}').response == "1"


def test_a_statement_that_takes_too_long_is_nobodys_verdict():
    guard = Guard(patience=0.0)
    with pytest.raises(Stalled, match="more than 0 s"):
        guard.execute(Mode.READ, f"{FOREVER} SELECT max(i) FROM c")
    guard.close()
    assert not issubclass(Stalled, EpisodeFailure | BudgetExceeded)


def test_an_interrupted_write_takes_the_transaction_with_it_and_is_known_to_have():
    guard = Guard()
    guard.script(SHELF)
    guard.save("start")
    assert not guard.lost
    with pytest.raises(BudgetExceeded):
        guard.execute(Mode.WRITE, f"INSERT INTO shelf(id) {FOREVER} SELECT i FROM c")
    assert guard.lost
    guard.close()


def test_a_refusal_names_what_was_refused_and_leaves_the_connection_usable():
    guard = Guard()
    guard.script(SHELF)
    with pytest.raises(Denied, match=r"not allowed: SQLITE_PRAGMA user_version"):
        guard.execute(Mode.WRITE, "PRAGMA user_version")
    with pytest.raises(Denied, match=r"not allowed: function random\(\)"):
        guard.execute(Mode.READ, "SELECT random()")
    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        guard.execute(Mode.READ, "SELECT * FROM gone")
    assert guard.fetch(guard.execute(Mode.READ, "SELECT 1 + 1"), 1) == [(2,)]
    guard.close()


def test_the_clock_of_a_world_stands_still():
    query = (
        "SELECT now() AS now, today() AS today, add_days('2031-05-30', 3) AS later, add_days(now(), -7) AS before,"
        " add_minutes(now(), 90) AS soon, days_between(today(), '2031-06-01') AS days, weekday(today()) AS day"
    )
    with shelf(give(query, "row")).open() as live:
        assert live.call("act", '{"id": "", "n": 0}').value == {
            "now": "2031-05-07T10:00:00",
            "today": "2031-05-07",
            "later": "2031-06-02",
            "before": "2031-04-30T10:00:00",
            "soon": "2031-05-07T11:30:00",
            "days": 25,
            "day": "Wednesday",
        }


@pytest.mark.parametrize("moment", ["'yesterday'", "NULL", "7", "'2031-02-30'"])
def test_date_functions_give_null_for_what_is_no_date(moment):
    query = (
        f"SELECT add_days({moment}, 1), add_minutes({moment}, 1), days_between({moment}, today()), weekday({moment})"
    )
    with shelf(give(query, "row")).open() as live:
        assert set(live.call("act", '{"id": "", "n": 0}').value.values()) == {None}


def test_dates_do_not_overflow():
    query = "SELECT add_days(today(), :n) AS a, add_minutes(now(), :n) AS b"
    with shelf(give(query, "row"), takes={"n": WHOLE}).open() as live:
        assert live.call("act", text_of({"n": 2**62})).value == {"a": None, "b": None}


def test_an_array_argument_can_be_taken_apart():
    query = "SELECT value FROM json_each(:items) ORDER BY value"
    with shelf(give(query, "column"), takes={"items": {"type": "array"}}).open() as live:
        assert live.call("act", '{"items": ["y", "x"]}').value == ["x", "y"]
