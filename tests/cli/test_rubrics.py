"""rubrics on the command line: what is derived, dropped and failed, and that no answer is paid for twice."""

import asyncio
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio.to_thread
import orjson
import pytest

from synthagent.llm.stub import Misbehave, StubServer
from synthagent.schema.tasks import play_id_of
from synthagent.scoring.transcript import transcript
from synthagent.simulation.episode import prepare
from synthagent.storage.run_folder import RunFolder
from synthagent.storage.task_file import read_tasks
from synthagent.synthesis.demonstrations import Source, demonstrated
from synthagent.synthesis.procedural.aligning import ProceduralAligner
from synthagent.synthesis.procedural.domain import shipped
from tests.commands import Done, synthagent

FIGURES = ["tasks", "kept", "items", "compiled", "compiled_share", "dropped", "failed", "open", "best"]
DEAD = Misbehave(401, body={"error": {"message": "your key has expired"}})


def rows(path: Path) -> list[Any]:
    return [orjson.loads(line) for line in path.read_bytes().splitlines()]


@pytest.fixture(scope="module")
def demos(tasks: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two demonstrations of every task by an agent that knows how."""
    run = tmp_path_factory.mktemp("runs") / "demos"
    assert synthagent("demos", tasks, "--agent", "scripted:reference", "-k", 2, "--out", run).code == 0
    return run


@pytest.fixture(scope="module")
def asking(tasks: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Demonstrations that reach next to nothing."""
    run = tmp_path_factory.mktemp("runs") / "asking"
    assert synthagent("demos", tasks, "--agent", "scripted:ask-all", "-k", 1, "--out", run).code == 0
    return run


class Teacher:
    """An endpoint that knows these tasks. `fails`: the number of the call, from 1 -> what is answered instead.

    Its address stays the same, so that it is the same teacher in the next command.
    """

    def __init__(self, answers: dict[tuple[str, str], str]):
        self._answers, self._port = answers, 0
        self.fails: Callable[[int], Any] = lambda _: None
        self.asked: list[tuple[str, str]] = []

    def __call__(self, body: dict[str, Any]) -> Any:
        prompt = next(message["content"] for message in body["messages"] if message["role"] == "user")
        if prompt.startswith("Say good"):
            return '{"answer": ["zebra-47", "zebra-47"]}'
        what = "align" if prompt.startswith("Below are the sub-goals") else "restrict"
        asked = next(key for key in self._answers if key[0] == what and key[1] in prompt)
        self.asked.append(asked)
        failed = self.fails(len(self.asked))
        return self._answers[asked] if failed is None else failed

    async def during(self, cli: Callable[..., Done], *words: object) -> Done:
        """A command, with this teacher at work."""
        async with StubServer(self, port=self._port) as url:
            self._port = int(url.rsplit(":", 1)[1].split("/")[0])
            said = [*words, "--teacher", f"openai:stub@{url}", "--json"]
            return await anyio.to_thread.run_sync(lambda: cli(*said))


@pytest.fixture(scope="module")
def answers(tasks: Path, demos: Path) -> dict[tuple[str, str], str]:
    """(what is asked, the record) -> what the procedural teacher says to it, as JSON."""
    knows, found = ProceduralAligner(shipped()), {}
    with RunFolder.open(demos) as folder:
        episodes = list(folder.episodes())
    for task in read_tasks(tasks):
        stage = prepare(task)
        for episode in episodes:
            if episode.task_id == task.id:
                one = demonstrated(stage, episode)
                source = Source(task.workflow, task.brief.rules, (one,))
                for what in ("align", "restrict"):
                    told = asyncio.run(getattr(knows, what)(source, one))
                    found[what, transcript(one.episode).text] = told.model_dump_json()
    return found


@pytest.fixture
def teacher(answers: dict[tuple[str, str], str]) -> Teacher:
    return Teacher(answers)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """One call at a time, and no second try: what fails is known."""
    path = tmp_path / "synthagent.toml"
    path.write_text("in_flight = 1\nattempts = 1\n")
    return path


def test_rubrics_says_what_became_a_check_and_names_the_best_demonstration(cli, tasks: Path, demos: Path, tmp_path):
    out = tmp_path / "derived.jsonl"
    told = cli("rubrics", tasks, "--demos", demos, "--out", out, "--json").json
    assert list(told) == FIGURES
    assert (told["tasks"], told["kept"], told["dropped"], told["failed"]) == (8, 8, [], [])
    assert told["compiled"] == told["items"] - sum(told["open"].values())
    assert told["compiled_share"] == told["compiled"] / told["items"]
    made, originals = list(read_tasks(out)), list(read_tasks(tasks))
    assert [play_id_of(task) for task in made] == [play_id_of(task) for task in originals]
    assert [task.provenance.parents[-1] for task in made] == [task.id for task in originals]
    assert told["best"] == {task.id: "--agent scripted:reference --sample 0" for task in originals}
    text = cli("rubrics", tasks, "--demos", demos, "--out", tmp_path / "again.jsonl")
    assert "8 of 8 tasks" in text.err
    assert (tmp_path / "again.jsonl").read_bytes() == out.read_bytes()


def test_a_limit_takes_the_first_tasks_only(cli, tasks: Path, demos: Path, tmp_path: Path):
    out = tmp_path / "derived.jsonl"
    assert cli("rubrics", tasks, "--demos", demos, "--out", out, "--limit", 3, "--json").json["tasks"] == 3
    more = cli("rubrics", tasks, "--demos", demos, "--out", out, "--limit", 5, "--resume", "--json")
    assert (more.json["kept"], len(rows(out)), len(rows(Path(f"{out}.d", "rubrics.jsonl")))) == (5, 5, 5)


def test_tasks_that_are_mostly_undone_are_dropped_with_the_share(cli, tasks: Path, asking: Path, tmp_path: Path):
    out = tmp_path / "derived.jsonl"
    words = ("rubrics", tasks, "--demos", asking)
    told = cli(*words, "--out", out, "--json").json
    assert (told["kept"], told["compiled_share"], out.read_bytes()) == (0, None, b"")
    assert [list(line) for line in told["dropped"]] == [["task", "reason", "undone"]] * 8
    undone = [line for line in told["dropped"] if line["undone"] > 0.4]
    assert undone
    for line in undone:
        assert line["reason"] == f"{line['undone']:.0%} of the workflow is left undone"
    assert "of the workflow is left undone" in " ".join(cli(*words, "--out", tmp_path / "text.jsonl").out.split())
    lenient = cli(*words, "--out", tmp_path / "lenient.jsonl", "--undone", 1, "--json").json
    assert not any("undone" in line["reason"] for line in lenient["dropped"])
    other = cli(*words, "--out", out, "--undone", 1, "--resume")
    assert (other.code, "undone was 0.4, now 1" in other.err, "--out" in other.err) == (2, True, True)


def test_what_is_there_is_neither_overwritten_nor_mixed(cli, tasks: Path, demos: Path, tmp_path: Path):
    own = Path(shutil.copy(tasks, tmp_path / "tasks.jsonl"))
    before = own.read_bytes()
    onto = cli("rubrics", own, "--demos", demos, "--out", own)
    assert (onto.code, "use another --out" in onto.err, own.read_bytes()) == (2, True, before)
    out = tmp_path / "derived.jsonl"
    assert cli("rubrics", tasks, "--demos", demos, "--out", out, "--limit", 1).code == 0
    again = cli("rubrics", tasks, "--demos", demos, "--out", out)
    assert (again.code, "--resume" in again.err) == (2, True)


def test_demonstrations_of_other_tasks_are_refused_with_a_way_out(cli, demos: Path, tmp_path: Path):
    other = tmp_path / "other.jsonl"
    assert cli("synth", "--out", other, "-n", 2, "--seed", 9, "--domains", "clinic").code == 0
    done = cli("rubrics", other, "--demos", demos, "--out", tmp_path / "derived.jsonl")
    assert done.code == 2
    assert "synthagent demos" in done.err
    assert not (tmp_path / "derived.jsonl").exists()
    assert not (tmp_path / "derived.jsonl.d").exists()


def test_a_derived_file_and_its_original_share_their_demonstrations(cli, tasks: Path, demos: Path, tmp_path: Path):
    out, both = tmp_path / "derived.jsonl", tmp_path / "both.jsonl"
    cli("rubrics", tasks, "--demos", demos, "--out", out, "--limit", 2)
    both.write_bytes(b"".join(tasks.read_bytes().splitlines(keepends=True)[:2]) + out.read_bytes())
    told = cli("rubrics", both, "--demos", demos, "--out", tmp_path / "again.jsonl", "--json").json
    assert (told["tasks"], told["kept"]) == (4, 4)


def test_an_altered_demonstration_is_none_and_the_others_count(cli, tasks: Path, demos: Path, tmp_path: Path):
    own = Path(shutil.copytree(demos, tmp_path / "own"))
    journal = own / "episodes.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    first = orjson.loads(lines[0])["task_id"]
    lines[0] = lines[0].replace(b'"response":"', b'"response":" ', 1)
    journal.write_bytes(b"".join(lines))
    (own / "index.sqlite").unlink()
    words = ("rubrics", tasks, "--demos", own, "--json")
    told = cli(*words, "--out", tmp_path / "derived.jsonl").json
    assert (told["kept"], told["best"][first]) == (8, "--agent scripted:reference --sample 1")
    for number, line in enumerate(lines):
        if orjson.loads(line)["task_id"] == first and number:
            lines[number] = line.replace(b'"response":"', b'"response":" ', 1)
    journal.write_bytes(b"".join(lines))
    (own / "index.sqlite").unlink()
    told = cli(*words, "--out", tmp_path / "none.jsonl").json
    assert (told["kept"], told["dropped"]) == (7, [])
    assert [line["task"] for line in told["failed"]] == [first]
    assert "answers differently now" in told["failed"][0]["reason"]


async def test_a_model_that_knows_the_tasks_derives_what_the_procedural_teacher_does(
    cli, tasks: Path, demos: Path, teacher: Teacher, config: Path, tmp_path: Path
):
    words = ("rubrics", tasks, "--demos", demos, "--config", config)
    done = await teacher.during(cli, *words, "--out", tmp_path / "model.jsonl")
    await anyio.to_thread.run_sync(lambda: cli(*words, "--out", tmp_path / "procedural.jsonl"))
    one, two = ([row["rubric"] for row in rows(tmp_path / name)] for name in ("model.jsonl", "procedural.jsonl"))
    assert (done.code, one) == (0, two)
    assert set(rows(tmp_path / "model.jsonl")[0]["provenance"]["prompts"]) >= {"synthesis/align", "synthesis/restrict"}


async def test_nothing_that_was_answered_is_asked_again(
    cli, tasks: Path, demos: Path, teacher: Teacher, config: Path, tmp_path: Path
):
    """The endpoint dies in the middle of a task: that is no dropped task, and its first answer is kept."""
    words = ("rubrics", tasks, "--demos", demos, "--config", config, "--out", tmp_path / "derived.jsonl")
    teacher.fails = lambda number: DEAD if number > 7 else None
    first = await teacher.during(cli, *words)
    assert first.code == 0
    assert (first.json["dropped"], first.json["kept"] + len(first.json["failed"])) == ([], 8)
    assert all(line["reason"].startswith("the teacher: ") for line in first.json["failed"])
    answered, teacher.asked, teacher.fails = teacher.asked[:7], [], lambda _: None
    second = await teacher.during(cli, *words, "--resume")
    assert (second.code, second.json["kept"], second.json["failed"]) == (0, 8, [])
    assert not set(answered) & set(teacher.asked)
    assert max(Counter(teacher.asked).values()) == 1
    teacher.asked = []
    third = await teacher.during(cli, *words, "--resume")
    assert (third.json, teacher.asked) == (second.json, [])


async def test_an_answer_that_cannot_be_used_is_a_failure_and_asked_for_again(
    cli, tasks: Path, demos: Path, teacher: Teacher, config: Path, tmp_path: Path
):
    words = ("rubrics", tasks, "--demos", demos, "--config", config, "--out", tmp_path / "derived.jsonl", "--limit", 2)
    teacher.fails = lambda number: "I would rather not." if number < 3 else None
    first = await teacher.during(cli, *words)
    assert (first.json["kept"], len(first.json["failed"]), first.json["dropped"]) == (1, 1, [])
    assert first.json["failed"][0]["reason"].startswith("the teacher: align: ")
    second = await teacher.during(cli, *words, "--resume")
    assert (second.json["kept"], second.json["failed"]) == (2, [])


def test_a_teacher_that_makes_everything_up_derives_nothing_that_is_not_proved(cli, tasks: Path, demos: Path, tmp_path):
    words = ("--teacher", "scripted:random", "--json")
    told = cli("rubrics", tasks, "--demos", demos, "--out", tmp_path / "derived.jsonl", *words)
    assert told.code == (0 if told.json["kept"] else 1)
    assert told.json["kept"] + len(told.json["dropped"]) + len(told.json["failed"]) == 8
