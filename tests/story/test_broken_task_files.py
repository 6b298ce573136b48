"""Task files from strangers: what is broken is named with its place, and never takes the good tasks with it."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import orjson
import pytest

from synthagent.errors import TaskFault
from synthagent.schema.record import dump
from synthagent.schema.tasks import SCHEMA, CallStep, Task
from synthagent.simulation.reference_agent import resolve

Edit = Callable[[dict[str, Any]], None]


def written(path: Path, tasks: Sequence[Task], edit: Edit) -> Path:
    """The tasks, the first of them edited; its ids are left out, to be taken from the content."""
    first, *rest = ({"schema": SCHEMA, **dump(task)} for task in tasks)
    edit(first)
    first["id"] = first["world_id"] = ""
    path.write_bytes(b"".join(orjson.dumps(task) + b"\n" for task in (first, *rest)))
    return path


def rolled(cli, path: Path, run: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The reference's line in the report, and its scores."""
    done = cli("rollout", path, "--agent", "scripted:reference", "--out", run, "--json")
    assert done.code == 0, done.err
    scores = [orjson.loads(line)["score"] for line in (run / "scores.jsonl").read_bytes().splitlines()]
    return done.json[0], scores


@pytest.mark.parametrize(
    ("break_it", "complaint"),
    [
        (lambda raw: raw[: len(raw) // 2], "tasks.jsonl:3: not JSON"),
        (lambda raw: raw.replace(b"synthagent.task/1", b"synthagent.task/9"), "schema: unknown version"),
        (lambda raw: raw.replace(b'"subgoals":[', b'"subgoals":7,"goals":['), "tasks.jsonl:3: rubric.subgoals"),
        (lambda raw: b"[" * 100_000, "tasks.jsonl:3: not JSON"),
        (lambda raw: b"\xff\xfe" + raw, "tasks.jsonl:3: not UTF-8"),
    ],
)
def test_a_broken_line_is_wrong_input_and_named_before_anything_is_played(
    cli, file: Path, tmp_path: Path, break_it, complaint: str
):
    lines = file.read_bytes().splitlines()
    lines[2] = break_it(lines[2])
    path, run = tmp_path / "tasks.jsonl", tmp_path / "run"
    path.write_bytes(b"\n".join(lines) + b"\n")
    for words in (("rollout", path, "--agent", "scripted:done", "--out", run), ("check", path)):
        done = cli(*words)
        assert done.code == 2
        assert complaint in done.err
        assert "tasks.jsonl:3" in done.err
        assert len(done.err) < 2_000
    assert not (run / "manifest.json").exists()


def drop_a_table(task: dict[str, Any]) -> None:
    steps = next(s for s in task["world"]["programs"].values() if any("run" in step for step in s))
    steps.insert(0, {"run": "DROP TABLE members"})


def attach_a_file(task: dict[str, Any]) -> None:
    steps = next(s for s in task["world"]["programs"].values() if any("run" in step for step in s))
    steps.insert(0, {"run": "ATTACH DATABASE '/tmp/elsewhere.db' AS elsewhere"})


@pytest.mark.parametrize(("edit", "action"), [(drop_a_table, "DROP TABLE"), (attach_a_file, "ATTACH")])
def test_a_program_that_does_what_it_may_not_is_the_tasks_fault_named_by_tool_and_step(
    cli, tasks, tmp_path: Path, edit: Edit, action: str
):
    path = written(tmp_path / "tasks.jsonl", tasks[:4], edit)
    tool = next(n for n, s in orjson.loads(path.read_bytes().splitlines()[0])["world"]["programs"].items()
                if any(action in step.get("run", "") for step in s))  # fmt: skip
    line, scores = rolled(cli, path, tmp_path / "run")
    assert (line["episodes"], line["unscored"], line["blame"], line["reward_mean"]) == (4, 1, {"task": 1}, 1.0)
    (unscored,) = [score for score in scores if score["kind"] == "unscored"]
    assert f"world.programs.{tool}.0: not allowed" in unscored["detail"]

    checked = cli("check", path, "--json")
    assert checked.code == 1
    found = [found for found in checked.json["objections"] if found["screen"] == "world"]
    assert [one["task"] for one in found] == [unscored["task_id"]]
    assert f"world.programs.{tool}.0: not allowed" in found[0]["text"]


def point_the_reference(to: Callable[[int, int], int], **more: Any) -> Edit:
    """Lets the last call of the reference take an argument from the step numbered `to(its own, how many)`."""

    def edit(task: dict[str, Any]) -> None:
        steps = task["reference"]
        number, step = [(number, step) for number, step in enumerate(steps) if step.get("args")][-1]
        name = next(iter(step["args"]))
        step["args"][name] = {"$from": f"{to(number, len(steps))}.member_id", **more}

    return edit


@pytest.mark.parametrize(
    "edit",
    [
        pytest.param(point_the_reference(lambda own, _: own), id="to itself"),
        pytest.param(point_the_reference(lambda own, _: own + 1), id="to a later step"),
        pytest.param(point_the_reference(lambda _, count: count + 7), id="to no step"),
        pytest.param(point_the_reference(lambda own, _: -1), id="to nonsense"),
        pytest.param(point_the_reference(lambda own, _: own, where={"name": "Emma"}), id="to a row of itself"),
    ],
)
def test_a_reference_that_leans_on_what_is_not_there_yet_is_the_tasks_fault(cli, tasks, tmp_path: Path, edit: Edit):
    path = written(tmp_path / "tasks.jsonl", tasks[:3], edit)
    line, scores = rolled(cli, path, tmp_path / "run")
    assert (line["unscored"], line["blame"]) == (1, {"task": 1})
    assert "$from" in next(score["detail"] for score in scores if score["kind"] == "unscored")
    checked = cli("check", path, "--json")
    assert checked.code == 1, checked.err
    assert {found["screen"] for found in checked.json["objections"]} >= {"reference"}


@pytest.mark.parametrize("result", [{"error": {"type": "limit"}}, ["L-1", "L-2"], None, 7])
def test_choosing_a_row_where_there_are_no_rows_is_the_tasks_fault(result: Any):
    """A call that failed answers with an object: no screen and no rollout may fall over it."""
    with pytest.raises(TaskFault, match="no list of rows"):
        resolve({"$from": "0", "where": {"name": "Emma"}, "take": "id"}, {}, {0: result})


def test_a_reference_with_an_argument_of_ten_megabytes_is_worth_nothing_and_breaks_nothing(cli, tasks, tmp_path: Path):
    def edit(task: dict[str, Any]) -> None:
        step = next(step for step in task["reference"] if step.get("args"))
        step["args"][next(iter(step["args"]))] = "x" * 10_000_000

    root = next(task for task in tasks if any(isinstance(step, CallStep) and step.args for step in task.reference))
    path = written(tmp_path / "tasks.jsonl", [root, tasks[-1]], edit)
    line, scores = rolled(cli, path, tmp_path / "run")
    assert line["episodes"] == 2
    assert {score["task_id"] for score in scores if score.get("reward") == 1.0} == {tasks[-1].id}
    checked = cli("check", path, "--json")
    assert checked.code == 1
    assert all(len(found["text"]) < 2_000 for found in checked.json["objections"])
