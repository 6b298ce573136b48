"""Invariant 8: whatever a model writes as SQL, it is refused, stopped or answered, and the process goes on."""

import sqlite3
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from synthagent.errors import TaskFault
from synthagent.simulation.states import digest_of
from tests.builders import SHELF, give, require, run, shelf, text_of

WORDS = """
SELECT FROM WHERE shelf id n x s * 1 'a' :id :n ( ) , = || AND OR NOT NULL UPDATE SET DELETE INSERT INTO VALUES REPLACE
WITH RECURSIVE c AS UNION ALL JOIN ORDER BY GROUP LIMIT 9999999 DROP TABLE CREATE VIEW TRIGGER BEGIN COMMIT ROLLBACK END
SAVEPOINT RELEASE PRAGMA ATTACH 'other.db' VACUUM RETURNING EXPLAIN sqlite_master pragma_table_info base. random() now()
new_id('Z') date('now') load_extension('x') CURRENT_TIMESTAMP json_each('[1,2]') replace(s,'a',s) zeroblob(9) x'ff' CAST
AS BLOB TEXT ; -- /* */ LIKE '%a%' GLOB ON CONFLICT DO NOTHING OR FAIL EXISTS DISTINCT count(*) max(n) CASE WHEN THEN
""".split()
WHOLE_STATEMENTS = (
    "SELECT id FROM shelf",
    "UPDATE shelf SET n = n + 1 WHERE id = :id",
    "INSERT OR ROLLBACK INTO shelf(id) VALUES ('a')",
    "INSERT OR REPLACE INTO shelf(id) VALUES (:id)",
    "INSERT INTO shelf(id) VALUES (new_id('Z'))",
    "UPDATE shelf SET s = CAST(x'ff' AS TEXT)",
    "UPDATE shelf SET n = (WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c) SELECT max(i) FROM c)",
    "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c) SELECT i FROM c",
    "DELETE FROM shelf",
    "UPDATE shelf SET x = 9e999",
    "UPDATE shelf SET id = id || id",
)
SQL = st.one_of(
    st.sampled_from(WHOLE_STATEMENTS),
    st.lists(st.sampled_from(WORDS), max_size=8).map(" ".join),
    st.tuples(st.sampled_from(WHOLE_STATEMENTS), st.sampled_from(WORDS), st.sampled_from(WORDS)).map(" ".join),
    st.text(max_size=20),
)
STEPS = st.one_of(SQL.map(run), SQL.map(lambda sql: require(sql, "no")))


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(STEPS, max_size=2), st.one_of(st.just("SELECT 1"), SQL))
def test_a_program_is_refused_fails_or_answers_and_leaves_no_trace(steps, query):
    here = sorted(Path().iterdir())
    try:
        blueprint = shelf(*steps, give(query), effect="write")
    except TaskFault as fault:
        assert str(fault).startswith("world.programs.act")
        return
    for _ in range(2):
        with blueprint.open() as world:
            assert world.call("put", '{"id": "kept"}').ok
            before = world.rows()
            try:
                result = world.call("act", text_of({"id": "a", "n": 1}))
            except TaskFault:
                assert world.rows() == before
            else:
                assert result.ok or world.rows() == before
        with blueprint.open() as world:
            assert digest_of(world.rows()) == blueprint.digest
    assert sorted(Path().iterdir()) == here


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(st.sampled_from([*WORDS, "CREATE TABLE t(k TEXT PRIMARY KEY) STRICT;", SHELF]), max_size=8).map(" ".join)
)
def test_a_schema_is_refused_or_holds_only_tables_that_can_be_told_apart(ddl):
    try:
        blueprint = shelf(give("SELECT 1"), ddl=f"{ddl} ")
    except TaskFault as fault:
        assert str(fault).startswith("world.")
        return
    assert all(table.key and table.columns for table in blueprint.tables)
    assert {table.name for table in blueprint.tables} == blueprint.initial.keys()
    with blueprint.open() as world:
        assert digest_of(world.rows()) == blueprint.digest


def test_no_statement_reaches_the_file_system(tmp_path: Path):
    target = tmp_path / "stolen.db"
    sqlite3.connect(target).close()
    size = target.stat().st_size if target.exists() else None
    for sql in (f"ATTACH '{target}' AS other", f"VACUUM INTO '{target}'", f"SELECT writefile('{target}', 'x')",
                f"SELECT readfile('{target}')", f"SELECT load_extension('{target}')"):  # fmt: skip
        with pytest.raises(TaskFault):
            shelf(give(sql))
        with pytest.raises(TaskFault):
            shelf(give("SELECT 1"), ddl=f"{SHELF} {sql};", rows={})
    assert (target.stat().st_size if target.exists() else None) == size
