"""Executable worlds: one call and its answer, typed both ways; identities, digests and differences of states."""

import gc
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import orjson
import pytest

from synthagent.errors import Blame, EpisodeFailure, TaskFault
from synthagent.simulation.compiling import compile_world
from synthagent.simulation.episode import prepare
from synthagent.simulation.guarded_sql import BudgetExceeded, Denied
from synthagent.simulation.states import RowChange, digest_of
from synthagent.simulation.world import Blueprint
from tests.builders import (
    DATE,
    NOW,
    SHELF,
    SPIN,
    TEXT,
    TRUTH,
    WHOLE,
    World,
    give,
    library,
    require,
    rows_of,
    run,
    shelf,
    text_of,
    tool,
)


@pytest.fixture(scope="module")
def books() -> Blueprint:
    return prepare(library()).blueprint


# ---- errors an agent can make


def test_a_call_answers_with_the_rows_as_json_and_booleans_come_back(books):
    with books.open() as world:
        result = world.call("list_loans", '{"member_id": "M-1"}')
    assert (result.ok, result.error, result.changed) == (True, None, False)
    assert orjson.loads(result.response) == result.value
    assert result.value[1] == {"loan_id": "L-2", "title": "Night Ferry", "due": "2031-05-12", "reserved": True}


@pytest.mark.parametrize(
    ("name", "raw", "error", "message"),
    [
        ("renew", "{}", "unknown_tool", "there is no tool 'renew'; the tools are: find_member, list_loans, renew_loan"),
        ("renew_loan", '{"loan_id": "L-1"', "malformed", "the arguments are not JSON"),
        ("renew_loan", "[]", "malformed", "the arguments are not a JSON object"),
        ("renew_loan", '{"loan_id": "L-1"}', "bad_arguments", '"new_due" is a required property'),
        ("renew_loan", '{"loan_id": 1, "new_due": "2031-06-01"}', "bad_arguments", "loan_id: 1 is not of type"),
        ("renew_loan", '{"loan_id": "L-1", "new_due": "soon"}', "bad_arguments", 'new_due: "soon" is not a "date"'),
        ("find_member", '{"name": "x", "age": 3}', "bad_arguments", "Additional properties are not allowed"),
        ("find_member", '{"name": "\\u0000"}', "bad_arguments", "name: NUL in text"),
        ("renew_loan", '{"loan_id": "L-9", "new_due": "2031-06-01"}', "precondition", "no such loan"),
        ("renew_loan", '{"loan_id": "L-1", "new_due": "2030-01-01"}', "precondition", "the new date lies in the past"),
        (
            "place_hold",
            '{"member_id": "M-2", "title": "Night Ferry"}',
            "precondition",
            "conflicts with what is already",
        ),
        (
            "place_hold",
            '{"member_id": "M-9", "title": "Night Ferry"}',
            "precondition",
            "conflicts with what is already",
        ),
        ("find_member", '{"name": "' + "x" * 10_000_000 + '"}', "limit", "the arguments are longer than"),
    ],
    ids=lambda value: value[:30],
)
def test_every_mistake_is_answered_by_its_type_and_a_message_and_changes_nothing(books, name, raw, error, message):
    with books.open() as world:
        result = world.call(name, raw)
        answer = orjson.loads(result.response)["error"]
        assert (result.ok, result.value, result.error, answer["type"]) == (False, None, error, error)
        assert message in answer["message"]
        assert len(result.response) < 1000
        assert digest_of(world.rows()) == books.digest
        assert not result.changed


def test_arguments_that_could_be_read_stay_on_record_when_they_are_wrong(books):
    with books.open() as world:
        assert world.call("find_member", '{"name": 5}').arguments == {"name": 5}
        assert world.call("find_member", "{").arguments is None


def test_a_precondition_that_fails_after_a_write_takes_the_write_back(books):
    with books.open() as world:
        assert world.call("renew_loan", text_of({"loan_id": "L-1", "new_due": "2031-06-01"})).changed
        before = world.digest
        assert world.call("renew_loan", text_of({"loan_id": "L-1", "new_due": "2030-01-01"})).error == "precondition"
        assert world.digest == digest_of(world.rows()) == before != books.digest


def test_a_write_that_finds_no_row_is_a_failed_precondition():
    with shelf(run("UPDATE shelf SET n = :n WHERE id = :id"), give("SELECT 1")).open() as world:
        assert "nothing was changed" in world.call("act", '{"id": "z", "n": 1}').response


@pytest.mark.parametrize(
    "greedy",
    [
        f"UPDATE shelf SET s = ({SPIN.replace(':turns', '10000000')})",
        "INSERT INTO shelf(id) WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c) SELECT 'k' || i FROM c",
        "INSERT OR ROLLBACK INTO shelf(id) VALUES ('a')",
    ],
    ids=["interrupted update", "interrupted insert", "or rollback"],
)
def test_a_call_that_breaks_the_whole_transaction_breaks_only_itself(greedy):
    blueprint = shelf(run(greedy), give("SELECT 1"))
    for _ in range(3):
        with blueprint.open() as world:
            assert world.call("put", '{"id": "x", "n": 1}').ok
            assert world.call("put", '{"id": "y"}').ok
            before = world.rows()
            assert world.call("act", '{"id": "", "n": 0}').error in ("limit", "precondition")
            assert world.rows() == before
            assert world.call("put", '{"id": "z"}').ok
            assert [row[0] for row in world.rows()["shelf"]] == ["a", "b", "x", "y", "z"]
        with blueprint.open() as world:
            assert digest_of(world.rows()) == blueprint.digest


def test_a_call_that_takes_too_long_fails_without_a_verdict_and_changes_nothing():
    blueprint = shelf(run(f"UPDATE shelf SET n = ({SPIN})"), give("SELECT 1"), takes={"turns": WHOLE})
    blueprint.patience = 0.0
    with blueprint.open() as world:
        assert world.call("put", '{"id": "x"}').ok
        before = world.rows()
        with pytest.raises(EpisodeFailure, match="act, step 1: more than 0 s") as caught:
            world.call("act", '{"turns": 5000}')
        assert (caught.value.blame, caught.value.reason) == (Blame.INFRASTRUCTURE, "stalled")
        assert world.rows() == before
        final = world.final()
    with pytest.raises(EpisodeFailure, match="a check took too long"):
        blueprint.query(final, [(SPIN, {"turns": 5000})])
    assert blueprint.query(final, [("SELECT count(*) FROM shelf", {})]) == [[(3,)]]


# ---- the task's own mistakes


@pytest.mark.parametrize(
    ("step", "outputs", "reason"),
    [
        (give("SELECT 'one' AS n"), rows_of(n=WHOLE), "outputs"),
        (give("SELECT CAST(s AS BLOB) AS s FROM shelf ORDER BY id"), None, "program"),
        (give("SELECT CAST(s AS BLOB) AS s FROM shelf ORDER BY id"), rows_of(s=TEXT), "program"),
        (give("SELECT 'no json' AS tags"), rows_of(tags={"type": "array"}), "program"),
        (give("SELECT json_extract('\"\\ud800\"', '$') AS s"), None, "program"),
        (give("SELECT json('no json')"), None, "program"),
        (give("SELECT abs(-9223372036854775807 - 1)"), None, "program"),
    ],
    ids=["outputs", "blob", "blob and outputs", "no json", "surrogate", "bad json", "overflow"],
)
def test_a_program_that_fails_by_itself_is_the_tasks_fault(step, outputs, reason):
    blueprint = shelf(step, outputs=outputs)
    with blueprint.open() as world, pytest.raises(TaskFault, match=r"^act") as caught:
        world.call("act", '{"id": "", "n": 0}')
    assert caught.value.reason == reason
    with blueprint.open() as world:
        assert world.call("put", '{"id": "c"}').ok


def test_a_faulty_write_is_taken_back():
    blueprint = shelf(run("UPDATE shelf SET n = 9"), give("SELECT 'one' AS n"), outputs=rows_of(n=WHOLE))
    with blueprint.open() as world:
        with pytest.raises(TaskFault):
            world.call("act", '{"id": "", "n": 0}')
        assert digest_of(world.rows()) == blueprint.digest


def test_text_that_nobody_can_read_back_is_the_tasks_fault_and_gone_after_the_reset():
    blueprint = shelf(run("UPDATE shelf SET s = json_extract(:id, '$')"), give("SELECT 1"))
    with blueprint.open() as world:
        assert world.call("act", text_of({"id": '"\\ud800"', "n": 0})).ok
        with pytest.raises(TaskFault, match="stored what cannot be read"):
            world.final()
    with blueprint.open() as world:
        assert digest_of(world.rows()) == blueprint.digest


def test_a_result_of_more_than_a_megabyte_is_a_limit():
    rows = {"shelf": tuple((f"k{number}", 1, 1.0, '"' * 300) for number in range(3_000))}
    with shelf(give("SELECT s FROM shelf ORDER BY id"), rows=rows).open() as world:
        assert world.call("act", '{"id": "", "n": 0}').error == "limit"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"programs": {}}, r"world\.programs: 'look' has neither a program nor a grounding"),
        ({"ends_episode": ("leave",)}, "'leave' is not a tool of the brief"),
        ({"programs": {"look": (give("SELECT 1"),), "leave": (give("SELECT 1"),)}}, "'leave' is not a tool of the"),
        ({"programs": {"look": ()}}, r"world\.programs\.look: a program ends in its one `return`"),
        ({"programs": {"look": (give("SELECT 1"), require("SELECT 1", "no"))}}, "a program ends in its one `return`"),
        ({"programs": {"look": (give("SELECT 1"), give("SELECT 2"))}}, "a program ends in its one `return`"),
        ({"programs": {"look": (give("SELECT :unheard"),)}}, r"look\.0: binds \['unheard'\]"),
        ({"rows": {"nowhere": ()}}, r"world\.rows\.nowhere: there is no such table"),
    ],
)
def test_a_world_that_does_not_fit_its_tools_is_refused_with_the_field(changes, message):
    world = World(now=NOW, ddl=SHELF, rows={}, programs={"look": (give("SELECT 1"),)}).model_copy(update=changes)
    with pytest.raises(TaskFault, match=message):
        compile_world((tool("look"),), world, "w")


def test_two_tools_of_one_name_are_refused():
    world = World(now=NOW, ddl=SHELF, rows={}, programs={"look": (give("SELECT 1"),)})
    with pytest.raises(TaskFault, match="two tools have one name"):
        compile_world((tool("look"), tool("look")), world, "w")


def test_a_parameter_schema_that_is_no_object_or_no_schema_is_refused():
    world = World(now=NOW, ddl=SHELF, rows={}, programs={"look": (give("SELECT 1"),)})
    for parameters in ({"type": "array"}, {"type": "nonsense"}, {}):
        one = tool("look").model_copy(
            update={"function": tool("look").function.model_copy(update={"parameters": parameters})}
        )
        with pytest.raises(TaskFault, match=r"^brief\.tools\.look: "):
            compile_world((one,), world, "w")


def test_a_world_without_tables_is_a_world():
    blueprint = shelf(give("SELECT now()", "value"), ddl="")
    with blueprint.open() as world:
        assert world.call("act", '{"id": "", "n": 0}').value == NOW
        assert world.final().changes(blueprint) == []


# ---- types


TYPES = {
    "truth": TRUTH,
    "tags": {"type": "array"},
    "size": {"type": "object"},
    "whole": WHOLE,
    "note": TEXT,
    "on": DATE,
}


def test_booleans_lists_and_objects_survive_the_way_through_sql():
    ddl = (
        "CREATE TABLE kept(id INTEGER PRIMARY KEY, truth INTEGER, tags TEXT, size TEXT, whole INTEGER, note TEXT,"
        " at TEXT) STRICT;"
    )
    blueprint = shelf(
        run("INSERT INTO kept VALUES (1, :truth, :tags, :size, :whole, :note, :on)"),
        give("SELECT truth, tags, size, whole, note, at FROM kept", "row"),
        ddl=ddl,
        takes=TYPES,
        outputs={"type": "object", "properties": {**TYPES, "note": {"type": ["string", "null"]}}},
    )
    arguments = {"truth": True, "tags": ["é", 1.0, None], "size": {"w": 2, "h": {"cm": 3}}, "whole": 4.0,
                 "on": "2031-05-09", "note": ""}  # fmt: skip
    with blueprint.open() as world:
        value = world.call("act", text_of(arguments)).value
        assert value["truth"] is True
        assert (value["tags"], value["size"]) == (["é", 1, None], {"h": {"cm": 3}, "w": 2})
        assert (value["whole"], type(value["whole"])) == (4, int)
        assert world.rows() == {
            "kept": [(1, 1, '["é",1,null]', '{"h":{"cm":3},"w":2}', 4, "", "2031-05-09")],
        }


@pytest.mark.parametrize(("shape", "value"), [("value", True), ("column", [True, False, None])])
def test_a_bare_boolean_comes_back_as_one(shape, value):
    items = {"type": ["boolean", "null"]}
    outputs = {"type": "array", "items": items} if shape == "column" else items
    query = "SELECT column1 FROM (VALUES (1), (0), (NULL))"
    with shelf(give(query, shape), outputs=outputs).open() as world:
        assert world.call("act", '{"id": "", "n": 0}').value == value


@pytest.mark.parametrize(("shape", "value"), [("rows", []), ("row", None), ("value", None), ("column", [])])
def test_no_row_is_an_empty_list_or_null(shape, value):
    with shelf(give("SELECT id FROM shelf WHERE 0", shape)).open() as world:
        result = world.call("act", '{"id": "", "n": 0}')
    assert (result.ok, result.value) == (True, value)


def test_an_argument_left_out_is_null_and_is_compared_with_is():
    look = give("SELECT id FROM shelf WHERE s IS :s ORDER BY id", "column")
    with shelf(look, takes={"s": TEXT}).open() as world:
        assert world.call("act", "{}").value == ["b"]
        assert world.call("act", '{"s": "one"}').value == ["a"]
        assert world.call("act", '{"s": ""}').value == []


@pytest.mark.parametrize("number", [2**53, 2**53 + 1, 2**63 - 1, -(2**63)])
def test_whole_numbers_of_64_bits_keep_every_bit(number):
    blueprint = shelf(
        run("INSERT INTO shelf(id, n, s) VALUES (new_id('N'), :n, :list)"),
        give("SELECT n, s FROM shelf WHERE id = new_id('N')", "row"),
        takes={"n": WHOLE, "list": {"type": "array"}},
    )
    with blueprint.open() as world:
        value = world.call("act", f'{{"n": {number}, "list": [{number}]}}').value
    assert value == {"n": number, "s": f"[{number}]"}


# ---- generated ids


NEW = (run("INSERT INTO shelf(id, n) VALUES (new_id('S'), :n)"), give("SELECT new_id('S')", "value"))


def made(blueprint: Blueprint, *calls: str, name: str = "act") -> list[str]:
    with blueprint.open() as world:
        return [world.call(name, raw).value for raw in calls]


def test_an_id_is_one_within_a_call_and_another_in_the_next_like_it():
    blueprint = shelf(*NEW)
    with blueprint.open() as world:
        first, second = (world.call("act", '{"id": "i", "n": 1}').value for _ in range(2))
        assert first.startswith("S-")
        assert {row[0] for row in world.rows()["shelf"]} == {"a", "b", first, second}
        assert first != second


def test_an_id_depends_on_tool_arguments_and_number_of_the_call_but_not_on_their_order_or_form():
    one = '{"id": "i", "n": 1}'
    assert made(shelf(*NEW), one, one) == made(shelf(*NEW), '{ "n" : 1.0,\n"id":"i"}', '{"n":1,"id":"i"}')
    assert len({*made(shelf(*NEW), one, '{"id": "i", "n": 2}', '{"id": "j", "n": 1}')}) == 3


def test_an_id_does_not_depend_on_how_many_rows_there_are_nor_on_what_else_was_called():
    one = '{"id": "i", "n": 1}'
    plain = made(shelf(*NEW), one)
    assert made(shelf(*NEW, rows={}), one) == plain
    with shelf(*NEW).open() as world:
        world.call("put", '{"id": "x"}')
        world.call("act", '{"id": "i", "n": 2}')
        world.call("act", '{"id": "i"')
        assert [world.call("act", one).value] == plain


def test_a_failed_call_uses_up_no_id():
    steps = (NEW[0], require("SELECT 1 WHERE (SELECT count(*) FROM shelf) > 3", "not yet"), NEW[1])
    blueprint = shelf(*steps)
    one = '{"id": "i", "n": 1}'
    with blueprint.open() as world:
        assert world.call("act", one).error == "precondition"
        world.call("put", '{"id": "x"}')
        first = world.call("act", one).value
    with blueprint.open() as world:
        world.call("put", '{"id": "x"}')
        assert world.call("act", one).value == first


def test_another_world_and_another_prefix_give_other_ids(books):
    task = library()
    other = prepare(task.model_copy(update={"world_id": "0" * 16})).blueprint
    raw = '{"member_id": "M-1", "title": "Night Ferry"}'
    assert made(books, raw, name="place_hold") != made(other, raw, name="place_hold")
    pair = shelf(run("UPDATE shelf SET n = 1"), give("SELECT new_id('A') AS a, new_id('B') AS b", "row"))
    with pair.open() as world:
        value = world.call("act", '{"id": "", "n": 0}').value
    assert value["a"].removeprefix("A-") != value["b"].removeprefix("B-")


# ---- states


def state(**values: object) -> str:
    kinds = {"n": "INTEGER", "x": "REAL", "s": "TEXT"}
    ddl = f"CREATE TABLE t(k TEXT PRIMARY KEY, {', '.join(f'{name} {kinds[name]}' for name in values)}) STRICT;"
    return shelf(give("SELECT 1"), ddl=ddl, rows={"t": (("a", *values.values()),)}).digest


def test_a_digest_keeps_a_number_its_text_its_fraction_and_nothing_apart():
    assert len({state(n=1), state(s="1"), state(x=1), state(n=None), state(s="null"), state(s="1.0"), state(s="")}) == 7
    assert state(n=None) == state(s=None)


def test_equal_rows_have_one_digest_whatever_their_history():
    blueprint = shelf(run("DELETE FROM shelf WHERE id = :id"), give("SELECT 1"))
    with blueprint.open() as world:
        for name, key in [("put", "x"), ("put", "y"), ("act", "y"), ("act", "x")]:
            assert world.call(name, text_of({"id": key, "n": 1})).ok
            assert world.digest == digest_of(world.rows())
        assert world.digest == blueprint.digest
        assert world.final().changes(blueprint) == []
    reordered = shelf(give("SELECT 1"), rows={"shelf": (("b", 2, None, None), ("a", 1, 1.5, "one"))})
    assert reordered.digest == blueprint.digest


def test_a_difference_names_every_row_that_came_went_or_changed():
    blueprint = shelf(
        run("INSERT INTO shelf VALUES ('c', 3, NULL, 'new')"),
        run("UPDATE shelf SET n = 7, s = NULL WHERE id = 'a'"),
        run("DELETE FROM shelf WHERE id = 'b'"),
        give("SELECT 1"),
    )
    with blueprint.open() as world:
        assert world.final().changes(blueprint) == []
        world.call("act", '{"id": "", "n": 0}')
        changed, gone, new = world.final().changes(blueprint)
    assert changed == RowChange(
        "shelf", ("a",), {"id": "a", "n": 1, "x": 1.5, "s": "one"}, {"id": "a", "n": 7, "x": 1.5, "s": None}
    )
    assert (changed.columns, gone.key, gone.after, new.before) == (("n", "s"), ("b",), None, None)
    assert new.columns == ("id", "n", "x", "s")


def test_a_final_state_outlives_its_world_and_is_what_checks_see():
    blueprint = shelf(run("UPDATE shelf SET n = n + 10 WHERE id = :id"), give("SELECT 1"))
    finals = []
    for key in ("a", "b"):
        with blueprint.open() as world:
            world.call("act", text_of({"id": key, "n": 0}))
            finals.append(world.final())
    sql = "SELECT now.id, now.n - old.n FROM shelf now JOIN base.shelf old USING (id) WHERE now.n <> old.n"
    assert [blueprint.query(final, [(sql, {})]) for final in finals] == [[[("a", 10)]], [[("b", 10)]]]


def test_a_check_that_takes_too_much_leaves_the_next_one_unharmed():
    blueprint = shelf(run("UPDATE shelf SET n = 5"), give("SELECT 1"))
    with blueprint.open() as world:
        world.call("act", '{"id": "", "n": 0}')
        final = world.final()
    count = ("SELECT sum(n) FROM shelf", {})
    with pytest.raises(BudgetExceeded):
        blueprint.query(final, [(SPIN, {"turns": 10**9})])
    with pytest.raises(Denied):
        blueprint.query(final, [("DELETE FROM base.shelf", {})])
    assert blueprint.query(final, [count, ("SELECT sum(n) FROM base.shelf", {})]) == [[(10,)], [(3,)]]


def test_rows_without_an_order_come_back_to_front_when_told_to():
    loose, fixed = (
        shelf(give("SELECT id FROM shelf", "column")),
        shelf(give("SELECT id FROM shelf ORDER BY id", "column")),
    )
    answers = {}
    for name, blueprint in (("loose", loose), ("fixed", fixed)):
        for reverse in (False, True, False):
            with blueprint.open(reverse=reverse) as world:
                answers.setdefault(name, []).append(world.call("act", '{"id": "", "n": 0}').value)
    assert answers == {"loose": [["a", "b"], ["b", "a"], ["a", "b"]], "fixed": [["a", "b"]] * 3}


# ---- one connection, many worlds


def test_worlds_open_at_one_time_know_nothing_of_each_other(books):
    with books.open() as one, books.open() as two:
        one.call("renew_loan", '{"loan_id": "L-1", "new_due": "2031-06-01"}')
        assert two.call("list_loans", '{"member_id": "M-1"}').value[0]["due"] == "2031-05-10"
        assert one.digest != two.digest


def test_closing_twice_gives_the_connection_back_once(books):
    world = books.open()
    world.call("place_hold", '{"member_id": "M-1", "title": "Night Ferry"}')
    world.close()
    world.close()
    with books.open() as one, books.open() as two:
        one.call("place_hold", '{"member_id": "M-1", "title": "Night Ferry"}')
        assert two.digest == digest_of(two.rows()) == books.digest


def test_the_same_sql_over_many_schemas_is_never_mixed_up():
    kinds = {"INTEGER": 7, "TEXT": "seven", "REAL": 7.5}
    columns = [("v", "w"), ("w", "v"), ("a", "v", "b"), ("v",)]
    blueprints = []
    for kind, value in kinds.items():
        for names in columns:
            ddl = f"CREATE TABLE t(k TEXT PRIMARY KEY, {', '.join(f'{name} {kind}' for name in names)}) STRICT;"
            steps = (
                run("UPDATE t SET v = (SELECT value FROM json_each(:list)) WHERE k = 'a'"),
                give("SELECT v FROM t WHERE k = 'a'", "value"),
            )
            rows = {"t": (("a", *[None] * len(names)),)}
            blueprints.append((shelf(*steps, ddl=ddl, rows=rows, takes={"list": {"type": "array"}}), value))
    for number in range(20):
        for blueprint, value in blueprints[number % 3 :: 2]:
            with blueprint.open() as world:
                assert world.call("act", text_of({"list": [value]})).value == value
                wrong = "no number" if value != "seven" else 3
                verdict = world.call("act", text_of({"list": [wrong]}))
                assert verdict.ok == (value == "seven")


def test_a_thousand_resets_leave_neither_memory_nor_connections_behind(books):
    def once() -> None:
        with books.open() as world:
            world.call("place_hold", '{"member_id": "M-1", "title": "Night Ferry"}')
            world.call("renew_loan", '{"loan_id": "L-1", "new_due": "2031-06-01"}')
            world.call("list_loans", '{"member_id": "M-1"}')
            world.call("list_loans", "{")
            world.digest  # noqa: B018 - a digest is what every episode asks for

    for _ in range(200):
        once()
    before = (_connections(), _descriptors(), _resident())
    for _ in range(1000):
        once()
    after = (_connections(), _descriptors(), _resident())
    assert after[:2] == before[:2]
    assert after[2] - before[2] < 2 << 20


def _connections() -> int:
    gc.collect()
    return sum(isinstance(one, sqlite3.Connection) for one in gc.get_objects())


def _descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir())) if Path("/proc/self/fd").exists() else 0


def _resident() -> int:
    statm = Path("/proc/self/statm")
    return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") if statm.exists() else 0


SCRIPT = """
from synthagent.simulation.episode import prepare
from synthagent.simulation.guarded_sql import BudgetExceeded, Denied
from tests.builders import library
with prepare(library()).blueprint.open() as world:
    for _ in range(2):
        print(world.call("place_hold", '{"title": "Night Ferry", "member_id": "M-1", "note": "é"}').response)
    print(world.call("list_loans", '{"member_id": "M-1"}').response)
    print(world.digest)
"""


def test_another_process_with_another_hash_seed_gives_the_same_bytes():
    root = Path(__file__).parents[2]
    outputs = {
        subprocess.run(
            [sys.executable, "-c", SCRIPT],
            capture_output=True,
            check=True,
            cwd=root,
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(root)},
        ).stdout
        for seed in ("1", "2")
    }
    (output,) = outputs
    assert output.startswith(b'"H-')
