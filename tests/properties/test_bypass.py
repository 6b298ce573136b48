"""Invariant 8: what the authorizer refuses, it refuses wherever it stands in a statement and however it is written."""

import itertools
import sqlite3
from pathlib import Path

import pytest

from synthagent.errors import TaskFault
from synthagent.simulation.guarded_sql import Denied, Guard, Mode
from tests.builders import SHELF, give, shelf

FORBIDDEN = {
    "chance": "random()",
    "bytes": "randomblob(4)",
    "memory": "zeroblob(9)",
    "clock": "CURRENT_TIMESTAMP",
    "date": "date('now')",
    "julian": "julianday('now')",
    "library": "load_extension('/tmp/x.so')",
    "file": "readfile('/etc/passwd')",
    "writing": "writefile('/tmp/stolen', 'x')",
    "version": "sqlite_version()",
    "rowid": "last_insert_rowid()",
    "format": "printf('%999999d', 1)",
    "hex": "hex(s)",
    "pointer": "fts3_tokenizer('simple')",
    "schema": "(SELECT max(sql) FROM sqlite_master)",
    "schema too": "(SELECT max(sql) FROM SQLITE_SCHEMA)",
    "quoted schema": '(SELECT max(sql) FROM "sqlite_master")',
    "named schema": "(SELECT max(sql) FROM main.sqlite_master)",
    "temporary": "(SELECT max(sql) FROM sqlite_temp_master)",
    "pragma": "(SELECT max(file) FROM pragma_database_list)",
    "options": "(SELECT max(compile_options) FROM pragma_compile_options)",
    "statistics": "(SELECT max(name) FROM dbstat)",
}
"""Name -> an expression that no task may use."""

READING = (
    "SELECT {}",
    "SELECT id FROM shelf WHERE {} IS NOT NULL",
    "SELECT id FROM shelf ORDER BY {}",
    "SELECT count(*) FROM shelf GROUP BY {}",
    "SELECT count(*) FROM shelf GROUP BY id HAVING {} > 0",
    "SELECT CASE WHEN 0 THEN {} END",
    "SELECT coalesce(1, {})",
    "SELECT iif(1, 1, {})",
    "SELECT 1 FROM shelf LIMIT {}",
    "SELECT (SELECT (SELECT {}))",
    "SELECT 1 WHERE EXISTS (SELECT {})",
    "SELECT 1 WHERE 1 IN (SELECT {})",
    "SELECT value FROM json_each(json_array({}))",
    "SELECT row_number() OVER (ORDER BY {}) FROM shelf",
    "SELECT sum(n) FILTER (WHERE {}) FROM shelf",
    "WITH c AS (SELECT {} AS v) SELECT v FROM c",
    "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT {} FROM c LIMIT 2) SELECT i FROM c",
    "SELECT 1 UNION ALL SELECT {}",
    "SELECT a.id FROM shelf a JOIN shelf b ON {}",
    "VALUES ({})",
)
WRITING = (
    "UPDATE shelf SET n = {}",
    "UPDATE shelf SET n = 1 WHERE {}",
    "UPDATE shelf SET n = (SELECT {})",
    "UPDATE shelf SET n = 1 FROM (SELECT {} AS v)",
    "INSERT INTO shelf(id, n) SELECT 'z', {}",
    "INSERT INTO shelf(id, n) VALUES ('z', {})",
    "INSERT INTO shelf(id) VALUES ('z') ON CONFLICT(id) DO UPDATE SET n = {}",
    "INSERT INTO shelf(id) VALUES ('z') ON CONFLICT(id) DO UPDATE SET n = 1 WHERE {}",
    "REPLACE INTO shelf(id, n) VALUES ('z', {})",
    "DELETE FROM shelf WHERE {}",
    "WITH c AS (SELECT {} AS v) DELETE FROM shelf WHERE n IN (SELECT v FROM c)",
)
STATEMENTS = (
    "ATTACH ':memory:' AS other", "ATTACH '{file}' AS other", "DETACH main", "VACUUM INTO '{file}'", "VACUUM",
    "PRAGMA writable_schema = ON", "PRAGMA trusted_schema = ON", "PRAGMA main.journal_mode", "PRAGMA foreign_keys(0)",
    "PRAGMA temp_store_directory = '/tmp'", "CREATE TABLE evil(a)", "CREATE TEMP TABLE evil(a)",
    "CREATE VIEW v AS SELECT 1",
    "CREATE TRIGGER g AFTER INSERT ON shelf BEGIN SELECT 1; END", "CREATE VIRTUAL TABLE v USING fts5(a)",
    "CREATE INDEX i ON shelf(n)", "DROP TABLE shelf", "ALTER TABLE shelf RENAME TO gone", "ALTER TABLE shelf ADD y",
    "BEGIN", "COMMIT", "END", "ROLLBACK", "SAVEPOINT s", "RELEASE start", "ROLLBACK TO start", "ANALYZE", "REINDEX",
    "UPDATE sqlite_master SET sql = ''", "DELETE FROM sqlite_schema", "INSERT INTO sqlite_sequence VALUES (1, 1)",
)  # fmt: skip
"""What no program may do, whatever stands around it."""


def spellings(text):
    """The same to SQLite, and not to whoever looks for words."""
    name, bracket, rest = text.partition("(")
    yield text
    yield text.upper() if "'" not in text else text.replace(name, name.swapcase(), 1)
    yield text.replace("(", "/* ( */(", 1).replace(" ", "\n--\n")
    if bracket and name.isidentifier():
        yield f'"{name}"({rest}'
        yield f"[{name}] ({rest}"
        yield f"`{name}`\t({rest}"


@pytest.fixture(scope="module")
def guard():
    guard = Guard()
    guard.script(SHELF)
    guard.own("INSERT INTO shelf(id, n, x, s) VALUES ('a', 1, 1.0, 'x')")
    guard.declare()
    guard.save("start")
    yield guard
    guard.close()


def state(guard):
    """Everything that an attempt could have changed."""
    return (
        guard.own("SELECT * FROM shelf ORDER BY id"),
        guard.own("SELECT type, name, sql FROM sqlite_master"),
        guard.own("PRAGMA database_list"),
        guard.own("PRAGMA writable_schema"),
        guard.own("PRAGMA trusted_schema"),
        guard.own("PRAGMA foreign_keys"),
        guard.lost,
    )


def refused(guard, mode, sql):
    """Whether a statement is refused before a row of it is seen."""
    guard.refill()
    try:
        guard.fetch(guard.execute(mode, sql), 10)
    except (Denied, sqlite3.DatabaseError, sqlite3.ProgrammingError):
        return True
    return False


@pytest.mark.parametrize("name", FORBIDDEN)
def test_no_place_in_a_statement_and_no_spelling_lets_a_forbidden_expression_through(guard, name):
    before, tried = state(guard), 0
    for text in dict.fromkeys(spellings(FORBIDDEN[name])):
        cases = [(Mode.READ, carrier) for carrier in READING]
        cases += [(Mode.WRITE, carrier) for carrier in (*READING, *WRITING)]
        for mode, carrier in cases:
            sql = carrier.format(text)
            assert refused(guard, mode, sql), sql
            tried += 1
    assert state(guard) == before
    assert tried >= 50


@pytest.mark.parametrize("statement", STATEMENTS)
def test_no_wrapping_lets_a_forbidden_statement_through(guard, statement, tmp_path: Path):
    text = statement.format(file=tmp_path / "stolen.db")
    before = state(guard)
    wrapped = itertools.chain(
        spellings(text),
        (f"/* SELECT 1 */ {text}", f"-- SELECT\n{text}", f"SELECT 1; {text}", f"{text}; SELECT 1", f";{text}",
         f"\ufeff{text}", f"WITH c AS (SELECT 1) {text}", f"({text})",
         f"SELECT 1 UNION {text}"),
    )  # fmt: skip
    for sql in wrapped:
        for mode in (Mode.READ, Mode.WRITE):
            assert refused(guard, mode, sql), sql
    assert state(guard) == before
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("statement", STATEMENTS)
@pytest.mark.parametrize("word", ["EXPLAIN", "explain query plan", "/**/ EXPLAIN"])
def test_nothing_is_explained_to_a_program(statement, word):
    with pytest.raises(TaskFault, match=r"^world\.programs\.act\.0: "):
        shelf(give(f"{word} {statement}"))


@pytest.mark.parametrize("name", FORBIDDEN)
def test_what_sqlite_throws_away_before_it_looks_at_it_gives_nothing(guard, name):
    """The parser makes a false of `0 AND ...`, and the authorizer is never asked: there is nothing to ask about."""
    guard.refill()
    assert guard.fetch(guard.execute(Mode.READ, f"SELECT 1 WHERE 0 AND {FORBIDDEN[name]}"), 10) == []


def test_what_is_allowed_still_is(guard):
    """Else the tests above would pass with a guard that refuses everything."""
    for carrier in READING:
        assert not refused(guard, Mode.READ, carrier.format("length('ab')")), carrier
    for carrier in WRITING:
        guard.save("one")
        assert not refused(guard, Mode.WRITE, carrier.format("length('ab')")), carrier
        guard.undo("one")
        guard.keep("one")
