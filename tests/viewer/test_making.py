"""How tasks came about: what was rejected and why, what each stage gave, what the teacher was asked."""

from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import orjson
import pytest

from synthagent.llm.stub import StubServer
from synthagent.storage.task_file import read_tasks
from synthagent.viewer.making import NOT_WRITTEN
from tests.commands import synthagent
from tests.teachers import answer, wanted
from tests.viewer.made_runs import REJECTED, added, rejected

PROBED = '{"answer": ["zebra-47", "zebra-47"]}'
MARK = "<script>window.hacked = 1</script>"


def teacher(body):
    """Good, but at a loss in the fourth scenario; three of its personas end in one and the same task."""
    text = "\n".join(str(message["content"]) for message in body["messages"])
    if body["messages"][-1]["content"].startswith("Say good"):
        return PROBED
    if "Keeper number 3" in text:
        return f"I am only a language model. {MARK}"
    return answer(wanted(body["messages"]))


@pytest.fixture(scope="module")
async def taught(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Path]:
    """A task file of a course over four personas, its exchanges recorded."""
    home = tmp_path_factory.mktemp("taught")
    people = [orjson.dumps({"persona": f"Keeper number {n} of the seed library of a small town"}) for n in range(4)]
    (home / "personas.jsonl").write_bytes(b"\n".join(people) + b"\n")
    async with StubServer(teacher, remember=False) as url:
        words = ("synth", "--teacher", f"openai:stub@{url}", "--personas", home / "personas.jsonl", "--record",
                 "--out", home / "taught.jsonl", "--in-flight", 1, "-n", 9)  # fmt: skip
        done = await anyio.to_thread.run_sync(lambda: synthagent(*words))
    assert done.code == 0, done.err
    yield home / "taught.jsonl"


async def test_what_a_course_rejected_is_listed_with_its_reasons(viewing, taught: Path):
    async with viewing(taught) as ask:
        tasks = await ask.get("/api/tasks/taught.jsonl")
        page = await ask.get("/api/rejected/taught.jsonl")
        some = await ask.get("/api/rejected/taught.jsonl", reason="not understood")
        found = await ask.get("/api/rejected/taught.jsonl", q="keeper 3")
        nothing = await ask.get("/api/rejected/taught.jsonl", stage="world")
        whole = await ask.get(f"/api/rejected/taught.jsonl/{some['rows'][0]['place']}")
        missing = await ask.get("/api/rejected/taught.jsonl/77", 400)
    assert (tasks["kept"], tasks["rejected"], tasks["total"]) == (1, 3, 1)
    assert page["facets"]["reason"] == {"not written": 2, "not understood": 1}
    assert page["facets"]["stage"] == {"file": 2, "scenario": 1}
    assert {row["detail"] for row in page["rows"] if row["stage"] == "file"} == {NOT_WRITTEN}
    assert some["total"] == found["total"] == 1
    assert nothing["total"] == 0
    assert "Keeper number 3" in whole["what"]
    assert MARK in whole["record"]["raw"]
    assert whole["made"]["stages"] == []
    assert "under the number 77" in missing["error"]


async def test_a_rejection_and_a_task_tell_what_the_teacher_was_asked(viewing, taught: Path):
    task = next(iter(read_tasks(taught)))
    async with viewing(taught) as ask:
        page = await ask.get("/api/rejected/taught.jsonl", stage="scenario")
        lost = (await ask.get(f"/api/rejected/taught.jsonl/{page['rows'][0]['place']}"))["made"]
        made = (await ask.get(f"/api/tasks/taught.jsonl/{task.id}"))["made"]
    assert [one["stage"] for one in lost["exchanges"]] == ["scenario", "scenario"]
    assert all("Keeper number 3" in text_of(one) for one in lost["exchanges"][:1])
    assert all(one["content"].endswith(MARK) for one in lost["exchanges"])
    assert {"scenario", "toolset", "world"} <= {one["stage"] for one in made["stages"]}
    assert made["index"] == 0
    assert {one["stage"] for one in made["exchanges"]} >= {"scenario", "toolset"}
    assert {one["about"] for one in made["exchanges"]} == {"0"}
    assert "Keeper number 0" in text_of(made["exchanges"][0])


def text_of(exchange) -> str:
    return "\n".join(message["content"] for message in exchange["messages"])


async def test_families_that_did_not_hold_are_rejections_with_the_screen_as_the_reason(
    viewing, tasks: Path, tmp_path: Path
):
    copy = rejected(tasks, tmp_path)
    async with viewing(copy) as ask:
        page = await ask.get("/api/rejected/copy.jsonl")
        one = await ask.get("/api/rejected/copy.jsonl/0")
        added(tmp_path / "copy.jsonl.d" / "rejected.jsonl", {"index": 8, "reasons": "none"})
        broken = await ask.get("/api/rejected/copy.jsonl", 400)
        still = await ask.get("/api/tasks/copy.jsonl")
    assert [(row["stage"], row["reason"], row["what"]) for row in page["rows"]] == [
        ("screening", "leak", "family 4"),
        ("composition", "does not compose", "family 7"),
        ("screening", "reference", "library/9"),
    ]
    assert one["record"]["reasons"] == REJECTED[0]["reasons"]
    assert one["made"] is None
    assert "rejected.jsonl:4" in broken["error"]
    assert still["total"] == 6
    assert "rejected.jsonl:4" in still["rejected_error"]


async def test_tasks_without_a_journal_have_nothing_rejected(viewing, run: Path):
    async with viewing(run) as ask:
        page = await ask.get("/api/tasks/played")
        task = await ask.get(f"/api/tasks/played/{page['rows'][0]['id']}")
    assert (page["rejected"], page["rejected_error"]) == (0, None)
    assert (task["made"], task["made_error"]) == (None, None)
