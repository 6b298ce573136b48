"""What a task set shares with an evaluation set is found wherever it stands, and what it does not share is not."""

import asyncio
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthagent import prompts
from synthagent.audit.decontamination import FAILING, Index, N, hits, overlaps, texts
from synthagent.errors import InputError
from synthagent.schema.tasks import Task, identified
from synthagent.synthesis.overlap import words
from tests.synthesis.test_teaching import taught, teacher

RUN = "the quick brown fox jumps over the lazy dog and then sleeps under a tree all day"


@pytest.fixture(scope="module")
def task() -> Task:
    return asyncio.run(taught(teacher())).tasks[0]


def changed(task: Task, **brief) -> Task:
    return identified(task.model_copy(update={"brief": task.brief.model_copy(update=brief)}))


def found(task: Task, *files: tuple[str, str], allowed=()) -> list:
    index = Index()
    for name, text in files:
        index.add(text, name)
    return list(overlaps([task], index, allowed))


def test_a_set_that_shares_nothing_has_no_findings(task):
    assert (
        found(task, ("eval.jsonl", '{"question": "How many legs has a spider in the cupboard of the old house?"}'))
        == []
    )


def test_a_run_of_thirteen_words_is_found_and_one_of_twelve_is_not(task):
    long, short = " ".join(words(RUN)[:N]), " ".join(words(RUN)[: N - 1])
    assert [o.kind for o in found(changed(task, instruction=long), ("e", RUN))] == ["text"]
    assert found(changed(task, instruction=short), ("e", RUN)) == []


@given(st.lists(st.text("abcdefgh", min_size=1, max_size=5), min_size=N, max_size=40), st.data())
def test_any_run_is_found_whatever_stands_around_it(said, data):
    start = data.draw(st.integers(0, len(said) - N))
    run = said[start : start + N]
    index = Index()
    index.add(" ".join(["one", *run, "two"]).upper() + "!", "eval")
    from synthagent.audit.decontamination import _in_text

    assert list(_in_text("t", "f", ", ".join(said), index, []))


def test_a_run_over_the_ends_of_lines_and_inside_json_is_found(task):
    broken = RUN.replace("over", "over\n", 1)
    assert found(changed(task, instruction=RUN), ("e.md", broken))
    assert found(changed(task, instruction=RUN), ("e.json", orjson.dumps([{"x": f"First:\n{RUN}"}]).decode()))


@pytest.mark.parametrize(
    "identifier", ["#W1234567", "HAT123", "mia_li_3668", "jo@example.org", "8823412345", "CK-8812"]
)
def test_identifiers_are_found_with_the_place_on_both_sides(task, identifier):
    [overlap] = found(changed(task, instruction=f"It is {identifier}, please."), ("users.py", f"a\nx = '{identifier}'"))
    assert (overlap.kind, overlap.field, overlap.text, overlap.seen) == (
        "identifier", "brief.instruction", identifier, "users.py:2",
    )  # fmt: skip


def test_a_whole_tool_schema_fails_and_a_tools_name_alone_is_only_told(task):
    tool = task.brief.tools[1].function
    whole = {"tools": [{"name": tool.name, "parameters": tool.parameters}]}
    kinds = [o.kind for o in found(task, ("tools.json", orjson.dumps(whole).decode()))]
    assert kinds == ["schema"]
    named = [o.kind for o in found(task, ("tools.py", f"def {tool.name}(something_else):\n    pass"))]
    assert named == ["tool"]
    assert "tool" not in FAILING


def test_our_own_prompts_are_looked_at_too(task):
    line = max(prompts.source("synthesis/scenario").splitlines(), key=lambda text: len(text.split()))
    assert ("synthesis/scenario", "prompt") in [(o.task, o.field) for o in found(task, ("eval.md", line))]


def test_everything_a_task_says_is_looked_at(task):
    said = dict(texts(task))
    assert {"brief.instruction", "brief.rules.0", "hidden.goal", "hidden.facts.until", "world.rows.loans", "workflow.0",
            "reference.0"} <= set(said)  # fmt: skip


def test_what_is_allowed_is_passed_over(task):
    assert found(changed(task, instruction=RUN), ("e", RUN), allowed=[RUN]) == []
    name = task.brief.tools[1].name
    assert found(task, ("e", f"def {name}():"), allowed=[name]) == []


def test_folders_are_read_whole_binaries_passed_over_and_hidden_files_left_alone(task, tmp_path: Path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "eval.txt").write_text(RUN)
    (tmp_path / "weights.bin").write_bytes(b"\0" * 99)
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "x").write_text("something")
    index = Index()
    index.read(tmp_path)
    assert index.files == 1
    assert index.skipped == [str(tmp_path / "weights.bin")]
    [overlap] = overlaps([changed(task, instruction=RUN)], index)
    assert overlap.seen == f"{tmp_path / 'deep' / 'eval.txt'}:1"
    assert hits([overlap]) == {"text": 1}


def test_what_is_not_there_is_told(tmp_path: Path):
    with pytest.raises(InputError, match="no such file"):
        Index().read(tmp_path / "nowhere")
