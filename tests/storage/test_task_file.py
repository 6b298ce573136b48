"""Task files come from models, hands and strangers: what is wrong is said with file, line and field."""

import copy
import os
import threading
from pathlib import Path

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthagent.errors import InputError, RunFolderError
from synthagent.schema.tasks import SCHEMA, Task
from synthagent.storage.task_file import parse_task, read_tasks, write_tasks


@pytest.fixture
def data(tmp_path, make):
    """A valid task as data, without ids."""
    write_tasks(tmp_path / "valid.jsonl", [make.task()])
    found = orjson.loads((tmp_path / "valid.jsonl").read_bytes())
    return {name: value for name, value in found.items() if name not in ("id", "world_id")}


def refusal(tmp_path: Path, *rows: object) -> str:
    """What `read_tasks` says about a file with these lines (bytes, or data to be written as JSON)."""
    path = tmp_path / "tasks.jsonl"
    path.write_bytes(b"\n".join(row if isinstance(row, bytes) else orjson.dumps(row) for row in rows) + b"\n")
    with pytest.raises(InputError) as caught:
        list(read_tasks(path))
    text = str(caught.value)
    assert text.startswith(f"{path}:")
    assert "pydantic" not in text
    return text.removeprefix(f"{path}:")


def test_tasks_come_back_as_they_were_written_schema_first(tmp_path, make):
    tasks = [make.task("book"), make.task("film")]
    assert write_tasks(tmp_path / "t.jsonl", iter(tasks)) == 2
    assert list(read_tasks(tmp_path / "t.jsonl")) == tasks
    for row in (tmp_path / "t.jsonl").read_bytes().splitlines():
        assert list(orjson.loads(row))[:4] == ["schema", "id", "world_id", "family"]
        assert orjson.loads(row)["schema"] == SCHEMA
    first = (tmp_path / "t.jsonl").read_bytes()
    write_tasks(tmp_path / "t.jsonl", read_tasks(tmp_path / "t.jsonl"))
    assert (tmp_path / "t.jsonl").read_bytes() == first


@pytest.mark.parametrize("empty", [None, "", "absent"])
def test_empty_ids_are_filled_in(tmp_path, make, data, empty):
    if empty != "absent":
        data |= {"id": empty, "world_id": empty}
    (tmp_path / "t.jsonl").write_bytes(b"\xef\xbb\xbf" + orjson.dumps(data) + b"\r\n\n  \n")
    assert list(read_tasks(tmp_path / "t.jsonl")) == [make.task()]


def test_tasks_without_ids_are_written_with_them(tmp_path, make):
    write_tasks(tmp_path / "t.jsonl", [make.task().model_copy(update={"id": "", "world_id": ""})])
    assert list(read_tasks(tmp_path / "t.jsonl")) == [make.task()]


@pytest.mark.parametrize("name", ["id", "world_id"])
def test_content_changed_by_hand_is_refused_unless_the_ids_are_to_be_fixed(tmp_path, make, data, name):
    text = refusal(tmp_path, data | {name: "feedfeedfeedfeed"})
    assert text.startswith(f"1: {name}: 'feedfeedfeedfeed' does not match the content")
    assert "synthagent check --fix-ids" in text
    assert list(read_tasks(tmp_path / "tasks.jsonl", fix_ids=True)) == [make.task()]


def test_an_id_that_repeats_names_both_lines(tmp_path, data):
    assert refusal(tmp_path, data, data).startswith("2: id: ")
    assert "id of line 1" in refusal(tmp_path, data, data)


def broken(data, place, value):
    """A deep copy with one value replaced; the last part of the place may be a new key."""
    found = copy.deepcopy(data)
    here = found
    *way, last = place
    for part in way:
        here = here[part]
    here[last] = value
    return found


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        (("rubric", "subgoals", 0, "check"), {"caled": {}}, "rubric.subgoals.0.check: unknown check operator 'caled'"),
        (
            ("rubric", "subgoals", 0, "check"),
            {"all": [{"asked": "f"}, {"not": {"before": [{"state": "x"}, {"zap": 1}]}}]},
            "rubric.subgoals.0.check.all.1.not.before.1: unknown check operator 'zap'; known: state, unchanged",
        ),
        (
            ("rubric", "subgoals", 0, "check"),
            {"not": {"not": {"called": {"tol": 1}}}},
            "rubric.subgoals.0.check.not.not.called.tool: missing; "
            "rubric.subgoals.0.check.not.not.called.tol: unknown field",
        ),
        (("rubric", "subgoals", 0, "check"), {"said": {"valu": 1}}, "rubric.subgoals.0.check.said.valu: unknown field"),
        (("rubric", "subgoals", 0, "check"), {"said": []}, "rubric.subgoals.0.check.said: fits none of SaidSpec, str"),
        (("rubric", "subgoals", 0, "check"), {"all": []}, "rubric.subgoals.0.check.all: "),
        (("rubric", "subgoals", 0, "chek"), 1, "rubric.subgoals.0.chek: unknown field"),
        (("hidden", "facts", 0, "value"), [], "hidden.facts.0.value: fits none of str, int, float, bool"),
        (("reference", 0), {"call": 5}, "reference.0.call: input should be a valid string, not 5"),
        (("reference", 0), {"call": "find", "arg": {}}, "reference.0.arg: unknown field"),
        (
            ("reference", 0),
            {"cal": "find"},
            "reference.0: fits none of AskStep, CallStep, SayStep (call: missing or say: missing)",
        ),
        (("world", "programs", "find", 0), {"require": "q"}, "world.programs.find.0.else: missing"),
        (("world", "rows", "books", 1), 7, "world.rows.books.1: input should be a valid"),
        (("brief", "tools", 0, "effect"), "rad", "brief.tools.0.effect: input should be 'read' or 'write', not 'rad'"),
        (("brief", "tools", 0, "function", "name"), "1", "brief.tools.0.function.name: string should match pattern"),
        (("world", "rows", "books", 0, 1), 2**53, "world.rows.books.0.1: integers go up to 2**53 - 1"),
        (("hidden",), None, "hidden: input should be"),
    ],
)  # fmt: skip
def test_what_is_wrong_in_a_task_is_said_with_its_place(tmp_path, make, data, place, value, said):
    other = orjson.dumps(make.task("film").model_dump(mode="json", exclude={"id", "world_id"}))
    text = refusal(tmp_path, other, broken(data, place, value))
    assert text.startswith(f"2: {said}")


def test_only_the_first_few_faults_are_listed(tmp_path, data):
    data["world"]["rows"] = {"books": list(range(100))}
    text = refusal(tmp_path, data)
    assert text.count("world.rows.books") == 3
    assert text.endswith("; and 97 more")


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (b'{"schema": ', "1: not JSON: "),
        (b'{"family": "\xff"}', "1: not UTF-8 (byte 12 of the line)"),
        (b'{"family": "\\ud800"}', "1: not JSON: "),
        (b'{"family": NaN}', "1: not JSON: "),
        (b"[]", "1: a task is a JSON object, not an array"),
        (b"null", "1: a task is a JSON object, not null"),
        (b"true", "1: a task is a JSON object, not a boolean"),
        (b"7", "1: a task is a JSON object, not a number"),
        (
            b'{"schema": "synthagent.task/9"}',
            "1: schema: unknown version 'synthagent.task/9'; known: synthagent.task/1",
        ),
        (b'{"schema": {"a": 1}}', "1: schema: unknown version {'a': 1}"),
        (b"[" * 100_000, "1: not JSON: "),
        (b'{"x":' + b"[" * 500 + b"]" * 500 + b"}", "1: x.0.0.0.0.0.0.0"),
        (b'{"x":[' + b"5," * 1_000_000 + b"5]}", "1: more than 1,000,000 values"),
        (b'{"x":"' + b"a" * (64 << 20) + b'"}', "1: line longer than 64 MB"),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_what_is_not_a_task_at_all_is_said(tmp_path, row, said):
    assert refusal(tmp_path, row).startswith(said)


@pytest.mark.parametrize("depth", [10, 50, 70, 400])
def test_checks_nested_too_deep_are_an_error_and_not_a_crash(tmp_path, data, depth):
    check: object = {"asked": "f"}
    for _ in range(depth):
        check = {"not": check}
    row = orjson.dumps(broken(data, ("rubric", "subgoals", 0, "check"), "HERE")).replace(
        b'"HERE"', b'{"not":' * depth + b'{"asked":"f"}' + b"}" * depth
    )
    if depth > 64:
        assert "nested more than 64 levels deep" in refusal(tmp_path, row)
        assert len(refusal(tmp_path, row)) < 500
    else:
        assert parse_task(row, "here:1").rubric.subgoals[0].check


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(InputError, match=r"none\.jsonl: cannot be read \(No such file"):
        list(read_tasks(tmp_path / "none.jsonl"))
    with pytest.raises(InputError, match="cannot be read"):
        list(read_tasks(tmp_path))


WORDS = st.sampled_from(["call", "not", "all", "called", "state", "id", "schema", "$from", "x"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=6,
)


def places(value, way=()):
    yield way
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        yield from places(child, (*way, key))


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_any_value_anywhere_gives_a_task_or_a_refusal_that_names_the_line(make, data):
    whole = make.task().model_dump(mode="json", exclude={"id", "world_id"})
    way = data.draw(st.sampled_from([way for way in places(whole) if way]))
    try:
        row = orjson.dumps(broken(whole, way, data.draw(JSON)))
    except TypeError:  # not JSON in the first place
        return
    try:
        assert isinstance(parse_task(row, "t.jsonl:3"), Task)
    except InputError as error:
        assert str(error).startswith("t.jsonl:3: ")


def test_a_float_that_an_integer_field_would_make_too_large_is_refused(tmp_path, data):
    data["hidden"]["parts"] = float(2**53)
    assert "JSON cannot carry" in refusal(tmp_path, data)


@settings(max_examples=200, deadline=None)
@given(
    st.binary(max_size=40) | st.text(max_size=40).map(lambda text: f'{{"family": {text}}}'.encode("utf-8", "replace"))
)
def test_any_bytes_are_refused_cleanly(row):
    with pytest.raises(InputError):
        parse_task(row, "t.jsonl:1")


def test_older_versions_are_migrated_step_by_step_and_get_the_ids_of_their_new_content(tmp_path, make, data):
    oldest = {"schema": "synthagent.task/-1", "id": "old", "line": {key: data[key] for key in data if key != "schema"}}
    migrations = {
        "synthagent.task/-1": lambda old: {**old["line"], "schema": "synthagent.task/0", "id": old["id"]},
        "synthagent.task/0": lambda old: {**old, "schema": SCHEMA},
    }
    path = tmp_path / "tasks.jsonl"
    path.write_bytes(orjson.dumps(oldest))
    assert list(read_tasks(path, migrations=migrations)) == [make.task()]
    path.write_bytes(orjson.dumps({"schema": "synthagent.task/-1"}))
    with pytest.raises(
        InputError, match=r"tasks\.jsonl:1: not a task of schema 'synthagent.task/-1': KeyError\('line'\)"
    ):
        list(read_tasks(path, migrations=migrations))
    path.write_bytes(orjson.dumps({"schema": "synthagent.task/7"}))
    with pytest.raises(InputError, match=r"known: synthagent.task/-1, synthagent.task/0, synthagent.task/1 \(upgrade"):
        list(read_tasks(path, migrations=migrations))
    path.write_bytes(orjson.dumps({"schema": "loop"}))
    with pytest.raises(InputError, match="unknown version 'loop'"):
        list(read_tasks(path, migrations={"loop": lambda old: old}))


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, make):
    path = tmp_path / "t.jsonl"
    write_tasks(path, [make.task()])

    def torn():
        yield make.task("film")
        raise RuntimeError("the teacher went home")

    with pytest.raises(RuntimeError):
        write_tasks(path, torn())
    spoiled = make.task("film").model_copy(update={"family": "\ud800"})
    with pytest.raises(InputError, match="task 2 cannot be written as JSON"):
        write_tasks(path, [make.task("film"), spoiled])
    assert list(read_tasks(path)) == [make.task()]
    assert [entry.name for entry in tmp_path.iterdir()] == ["t.jsonl"]


def test_a_link_stays_a_link_and_a_device_stays_a_device(tmp_path, make):
    (tmp_path / "link.jsonl").symlink_to(tmp_path / "t.jsonl")
    write_tasks(tmp_path / "link.jsonl", [make.task()])
    assert (tmp_path / "link.jsonl").is_symlink()
    assert list(read_tasks(tmp_path / "t.jsonl")) == [make.task()]
    with pytest.raises(RunFolderError, match=r"/dev/full: could not be written \(No space left"):
        write_tasks(Path("/dev/full"), [make.task()])
    assert Path("/dev/full").is_char_device()
    with pytest.raises(RunFolderError, match="No such file"):
        write_tasks(tmp_path / "nowhere" / "t.jsonl", [])


def test_tasks_pass_through_a_pipe(tmp_path, make):
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=write_tasks, args=(tmp_path / "pipe", [make.task()]))
    writer.start()
    assert list(read_tasks(tmp_path / "pipe")) == [make.task()]
    writer.join()
