"""synth and check: tasks come out, the same ones for the same seed, and what is broken later is found."""

from importlib import resources
from pathlib import Path

import orjson
import pytest


def lines(path: Path) -> list[dict]:
    return [orjson.loads(line) for line in path.read_bytes().splitlines()]


def edited(tasks: Path, path: Path, edit) -> dict:
    """The first family of the file, its root edited; gives the root."""
    root, *rest = lines(tasks)
    edit(root)
    family = [root, *(task for task in rest if task["family"] == root["family"])]
    path.write_bytes(b"".join(orjson.dumps(task) + b"\n" for task in family))
    return root


def test_synth_says_how_many_tasks_it_made_and_how_many_families_it_rejected(cli, tmp_path: Path):
    out = tmp_path / "deep" / "tasks.jsonl"
    out.parent.mkdir()
    done = cli("synth", "--out", out, "-n", 7, "--domains", "library", "--difficulty", "easy", "--json")
    assert done.code == 0
    assert list(done.json)[:3] == ["tasks", "rejected", "seconds"]
    assert sum(done.json["rejected_by_reason"].values()) == done.json["rejected"]
    assert done.json["tasks"] == len(lines(out)) == 7
    assert done.json["rejected"] == len(lines(out.with_name("tasks.jsonl.d") / "rejected.jsonl"))


def test_the_same_seed_gives_the_same_bytes_and_another_seed_gives_other_tasks(cli, tmp_path: Path):
    for name, seed in (("one", 1), ("again", 1), ("two", 2)):
        assert cli("synth", "--out", tmp_path / name, "-n", 10, "--seed", seed, "--no-verify").code == 0
    assert (tmp_path / "one").read_bytes() == (tmp_path / "again").read_bytes()
    one, two = ({task["id"] for task in lines(tmp_path / name)} for name in ("one", "two"))
    assert not one & two


def test_a_longer_file_begins_with_the_shorter_one(cli, tmp_path: Path):
    for n in (4, 8):
        cli("synth", "--out", tmp_path / str(n), "-n", n, "--domains", "library", "--no-verify")
    assert (tmp_path / "8").read_bytes().startswith((tmp_path / "4").read_bytes())


def test_personas_and_knobs_are_taken_as_given(cli, tmp_path: Path):
    (tmp_path / "personas.jsonl").write_text('{"persona": "a lighthouse keeper who reads at night"}\n')
    words = ("--personas", tmp_path / "personas.jsonl", "--goals", "2", "--domains", "library", "--no-verify")
    assert cli("synth", "--out", tmp_path / "tasks.jsonl", "-n", 6, *words).code == 0
    made = [task["provenance"] for task in lines(tmp_path / "tasks.jsonl")]
    assert {note["persona"] for note in made} == {"a lighthouse keeper who reads at night"}
    assert {note["difficulty"]["goals"] for note in made} == {2}


def test_a_persona_file_without_personas_is_named_with_its_line(cli, tmp_path: Path):
    (tmp_path / "personas.jsonl").write_text('{"persona": "a baker"}\n{"name": "Bo"}\n')
    done = cli("synth", "--out", tmp_path / "tasks.jsonl", "--personas", tmp_path / "personas.jsonl")
    assert done.code == 2
    assert 'personas.jsonl:2: expected {"persona": "..."}' in done.err


@pytest.fixture
def own_domain(tmp_path: Path) -> Path:
    """A domain of one's own: the library, moved into a van."""
    shipped = resources.files("synthagent.synthesis.procedural").joinpath("domains", "library.yaml").read_text("utf-8")
    path = tmp_path / "van.yaml"
    path.write_text(shipped.replace("name: library", "name: book_van", 1), encoding="utf-8")
    return path


def test_a_domain_file_of_ones_own_is_used_alone_or_beside_shipped_ones(cli, tmp_path: Path, own_domain: Path):
    alone, beside = tmp_path / "alone.jsonl", tmp_path / "beside.jsonl"
    assert cli("synth", "--out", alone, "-n", 4, "--domain-file", own_domain).code == 0
    words = ("--domain-file", own_domain, "--domains", "library", "--no-verify")
    assert cli("synth", "--out", beside, "-n", 8, *words).code == 0
    assert {task["provenance"]["domain"] for task in lines(alone)} == {"book_van"}
    assert {task["provenance"]["domain"] for task in lines(beside)} == {"book_van", "library"}


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("me: members", "me: readers", "van.yaml: me: there is no table 'readers'"),
        ("name: library", "nom: library", "van.yaml: name: Field required"),
        ("tables:", "tables: [", "van.yaml: not YAML"),
    ],
)
def test_a_mistake_in_a_domain_file_is_named_with_its_field(
    cli, tmp_path: Path, own_domain: Path, old: str, new: str, complaint: str
):
    own_domain.write_text(own_domain.read_text().replace("name: book_van", "name: library").replace(old, new, 1))
    done = cli("synth", "--out", tmp_path / "tasks.jsonl", "--domain-file", own_domain)
    assert done.code == 2
    assert complaint in done.err


def test_check_finds_nothing_in_what_synth_made(cli, tasks: Path):
    done = cli("check", tasks, "--json")
    assert (done.code, done.json) == (0, {"tasks": 8, "objections": []})


def leak_a_fact(task: dict) -> None:
    task["brief"]["instruction"] += f" It is about {task['hidden']['facts'][0]['value']}."


def let_nothing_count(task: dict) -> None:
    task["rubric"]["subgoals"][0]["check"] = {"not_called": {"tool": "transfer_to_human"}}


def break_the_reference(task: dict) -> None:
    task["reference"] = [step for step in task["reference"] if "ask" not in step]


@pytest.mark.parametrize(
    ("edit", "screen"), [(leak_a_fact, "leak"), (let_nothing_count, "nothing"), (break_the_reference, "reference")]
)
def test_check_names_the_task_and_the_screen_after_one_edit(cli, tasks: Path, tmp_path: Path, edit, screen: str):
    path = tmp_path / "edited.jsonl"
    before = edited(tasks, path, edit)["id"]
    done = cli("check", path, "--fix-ids", "--json")
    assert done.code == 1
    assert list(done.json) == ["tasks", "objections"]
    assert list(done.json["objections"][0]) == ["task", "family", "screen", "text"]
    task = lines(path)[0]
    assert task["id"] != before
    assert (task["id"], screen) in {(found["task"], found["screen"]) for found in done.json["objections"]}
    assert all(found["family"] == task["family"] for found in done.json["objections"])
    assert f"{task['id']}" in (told := cli("check", path).err)
    assert screen in told


def test_an_edited_task_is_refused_until_its_ids_are_accepted(cli, tasks: Path, tmp_path: Path):
    path = tmp_path / "edited.jsonl"
    edited(tasks, path, lambda task: task["workflow"].append("Say goodbye."))
    done = cli("check", path)
    assert done.code == 2
    assert "edited.jsonl:1: id:" in done.err
    assert "synthagent check --fix-ids" in done.err
    assert cli("check", path, "--fix-ids").code in (0, 1)
    assert cli("check", path).code != 2
