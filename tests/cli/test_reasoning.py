"""Reasoning tasks on the command line: played, refused in time, made out of problems, and resumed."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from synthagent.llm.model import ChatReply
from synthagent.llm.scripted import calling
from synthagent.llm.stub import Misbehave, Served
from synthagent.reasoning.problems import Problem
from synthagent.reasoning.tasks import as_task
from synthagent.storage.task_file import read_tasks, write_tasks
from tests.endpoints import endpoint

QUESTIONS = [
    {"question": "A shop has 4 boxes of 12 pens and sells 6 pens. How many are left?", "answer": "42", "id": "pens"},
    {"question": "How much is 30 plus 5?", "answer": "35", "id": "sum"},
    {"question": "How much is 9 times 9?", "id": "square"},
]


def lines(path: Path) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in path.read_bytes().splitlines()]


@pytest.fixture
def sums(tmp_path: Path) -> Path:
    """Two tasks, of which one offers Python."""
    path = tmp_path / "sums.jsonl"
    problems = [Problem(id=str(n), question=f"How much is {n} plus 1?", gold=str(n + 1)) for n in (1, 41)]
    write_tasks(path, [as_task(problems[0]), as_task(problems[1].model_copy(update={"tools": ("python",)}))])
    return path


# ---- rollout


def test_the_reference_earns_everything_and_an_agent_that_refuses_nothing(cli, sums: Path, tmp_path: Path):
    agents = ("--agent", "scripted:reference", "--agent", "scripted:refuse")
    done = cli("rollout", sums, *agents, "--out", tmp_path / "run", "--json")
    assert [(row["reward_mean"], row["unscored"]) for row in done.json] == [(1.0, 0), (0.0, 0)]
    manifest = orjson.loads((tmp_path / "run" / "manifest.json").read_bytes())
    assert (manifest["python"], manifest["search"], manifest["protocol"]) == ("monty", None, "text")
    assert "simulation/opening_reasoning" in manifest["prompts"]
    again = cli("score", tmp_path / "run", "--json")
    assert (again.json["changed"], again.json["unscored"]) == (0, 0)


def test_a_model_plays_with_python_and_its_answers_are_compared_as_mathematics(cli, sums: Path, tmp_path: Path):
    def handler(body: dict[str, Any]) -> Served:
        if body["messages"][-1]["role"] == "tool":
            return f"So it is \\boxed{{{2 * int(body['messages'][-1]['content'])}/2}}."
        if body.get("tools"):
            return calling(("run_python", {"code": "41 + 1"}))
        return "It is \\boxed{1 + 1}."

    with endpoint(handler) as (url, _):
        words = ("--agent", f"openai:m@{url}", "--out", tmp_path / "run", "--json")
        done = cli("rollout", sums, *words)
    assert [(row["reward_mean"], row["unscored"]) for row in done.json] == [(1.0, 0)], done.err


def test_a_task_is_checked_by_its_reference(cli, sums: Path, tmp_path: Path):
    assert cli("check", sums, "--json").code == 0
    wrong = sums.read_bytes().replace(b"boxed{42}", b"boxed{43}")
    sums.write_bytes(wrong)
    done = cli("check", sums, "--fix-ids", "--out", tmp_path / "kept.jsonl")
    assert (done.code, "reference: protocol text: scores 0.000" in done.err + done.out) == (1, True), done.err


def test_tasks_that_search_are_refused_before_there_is_a_folder(cli, tmp_path: Path):
    tasks, run = tmp_path / "t.jsonl", tmp_path / "run"
    write_tasks(tasks, [as_task(Problem(id="q", question="Who?", gold="Ada", answer="text", tools=("search",)))])
    words = ("rollout", tasks, "--agent", "scripted:reference", "--out", run)
    refused = cli(*words)
    assert (refused.code, run.exists()) == (2, False)
    assert "there are tasks that search, and nothing to search in (give --search: corpus:FILE.sqlite" in refused.err
    absent = cli(*words, "--search", f"corpus:{tmp_path / 'no.sqlite'}")
    assert (absent.code, run.exists()) == (2, False)
    for python, more in (("docker", ()), ("monty", ("--unsafe-local",))):
        assert cli(*words, "--python", python, *more).code == 2


def test_a_run_goes_on_with_the_services_it_began_with(cli, tmp_path: Path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "d.jsonl").write_text(
        '{"title": "Ada", "url": "http://e.org", "text": "Ada wrote the note."}\n'
    )
    for name in ("one", "two"):
        assert cli("corpus", "build", tmp_path / "docs", "--out", tmp_path / f"{name}.sqlite").code == 0
    tasks = tmp_path / "t.jsonl"
    write_tasks(tasks, [as_task(Problem(id="q", question="Who?", gold="Ada", answer="text", tools=("search",)))])
    words = ("rollout", tasks, "--agent", "scripted:reference", "--out", tmp_path / "run", "--json")
    assert cli(*words, "--search", f"corpus:{tmp_path / 'one.sqlite'}").json[0]["reward_mean"] == 1.0
    assert cli(*words, "--resume", "--search", f"corpus:{tmp_path / 'one.sqlite'}").code == 0
    other = cli(*words, "--resume", "--search", f"corpus:{tmp_path / 'two.sqlite'}")
    assert (other.code, "search was" in other.err) == (3, True)


# ---- synth-reasoning


def teacher(solves: Callable[[str, int], str]) -> Callable[[dict[str, Any]], Served]:
    """Rewrites a problem by naming the persona; `solves`: (question, which try) -> the last word."""
    tries: dict[str, int] = {}

    def handler(body: dict[str, Any]) -> Served:
        if "You set a problem in somebody's life" in str(body["messages"]):
            told = next(m["content"] for m in body["messages"] if "The problem:" in m["content"])
            question = re.search(r"The problem:\n(.*)\n", told)[1]
            persona = re.search(r"The person: (.*)", told)[1]
            return orjson.dumps({"question": f"As {persona}, I wonder: {question}"}).decode()
        if body["messages"][0]["role"] == "system" and "the answer to a question" in body["messages"][0]["content"]:
            if body["messages"][-1]["role"] == "tool":
                question = body["messages"][1]["content"]
                tries[question] = tries.get(question, 0) + 1
                return solves(question, tries[question] - 1)
            return calling(("run_python", {"code": "6 * 7"}))
        return "Good morning."

    return handler


def right(question: str, _: int) -> str:
    return "\\boxed{" + ("42" if "pens" in question else "35" if "plus" in question else "81") + "}"


@pytest.fixture
def problems(tmp_path: Path) -> Path:
    path = tmp_path / "problems.jsonl"
    path.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in QUESTIONS))
    return path


@pytest.fixture
def making(cli, problems: Path, tmp_path: Path) -> Callable[..., Any]:
    (tmp_path / "personas.jsonl").write_text('{"persona": "a baker"}\n{"persona": "a diver"}\n')

    def make(url: str, *more: object) -> Any:
        words = ("--problems", problems, "--personas", tmp_path / "personas.jsonl", "--teacher", f"openai:m@{url}")
        return cli("synth-reasoning", *words, "--out", tmp_path / "t.jsonl", "--json", *more)

    return make


def test_problems_become_tasks_that_are_known_or_agreed_on(cli, making, tmp_path: Path):
    with endpoint(teacher(right)) as (url, _):
        done = making(url)
    assert done.code == 0, done.err
    assert (done.json["kept"], done.json["rejected"]) == (3, 0)
    tasks = list(read_tasks(tmp_path / "t.jsonl"))
    golds = [task.rubric.subgoals[0].check.answer.gold for task in tasks]
    assert golds == ["42", "35", "81"]
    assert [task.provenance.screening["gold"] for task in tasks] == ["known", "known", "agreed"]
    assert all(re.match(r"As a (baker|diver), I wonder: ", task.brief.instruction) for task in tasks)
    assert {task.provenance.parents for task in tasks} == {(f"problems#{row['id']}",) for row in QUESTIONS}
    assert {task.family for task in tasks} == {f"problems/{row['id']}" for row in QUESTIONS}
    played = cli("rollout", tmp_path / "t.jsonl", "--agent", "scripted:reference", "--out", tmp_path / "r", "--json")
    assert played.json[0]["reward_mean"] == 1.0


def test_what_is_not_agreed_on_is_rejected_with_the_reason(making, tmp_path: Path):
    def solves(question: str, number: int) -> str:
        if "pens" in question:
            return "\\boxed{43}"  # all agree, and all are wrong
        if "plus" in question:
            return "\\boxed{35}" if number else "I give up."
        return f"\\boxed{{{80 + number}}}"

    with endpoint(teacher(solves)) as (url, _):
        done = making(url)
    assert done.code == 1
    assert done.json["rejected_by_reason"] == {
        "agreement: not the known answer": 1, "agreement: the tries disagree": 1, "solving: no answer": 1,
    }  # fmt: skip
    outcomes = lines(tmp_path / "t.jsonl.d" / "outcomes.jsonl")
    assert sorted(outcome["index"] for outcome in outcomes) == [0, 1, 2]
    assert any("3 of 3: 43" in outcome["details"][0] for outcome in outcomes)


def test_a_rewriting_that_loses_a_number_is_sent_back_once_and_then_rejected(making, tmp_path: Path):
    asked: list[str] = []

    def handler(body: dict[str, Any]) -> Served:
        if "You set a problem in somebody's life" in str(body["messages"]):
            asked.append(body["messages"][-1]["content"])
            return '{"question": "Some pens are sold. How many are left?"}'
        return "Good morning."

    with endpoint(handler) as (url, _):
        done = making(url, "--limit", 1)
    assert (done.code, done.json["rejected_by_reason"]) == (1, {"rewrite: not understood": 1})
    assert len(asked) == 2
    assert "these numbers of the problem are missing: 12, 4, 6" in asked[1]


def test_a_resumed_run_repeats_no_paid_call_and_takes_up_what_broke_off(making, tmp_path: Path):
    down = [True]
    good = teacher(right)

    def failing(body: dict[str, Any]) -> Served:
        if down[0] and "9 times 9" in str(body["messages"]):
            return Misbehave(400)
        return good(body)

    with endpoint(failing) as (url, stub):
        first = making(url, "--in-flight", 1)
        assert (first.json["kept"], first.json["rejected"]) == (2, 1)
        down[0], before = False, len(stub.seen)
        second = making(url, "--in-flight", 1, "--resume")
        assert second.json["kept"] == 3
        assert all(
            "9 times 9" in str(seen.body) for seen in stub.seen[before:] if "Good" not in str(seen.body["messages"])
        )
        after = len(stub.seen)
        third = making(url, "--resume")
        assert (third.json["kept"], len(stub.seen)) == (3, after)
        other = making(url, "--resume", "--solve", 4)
    assert (other.code, "solve was 3, now 4" in other.err) == (3, True)
    assert len(list(read_tasks(tmp_path / "t.jsonl"))) == 3


def test_variants_of_a_problem_are_one_family_with_different_personas(making, tmp_path: Path):
    with endpoint(teacher(right)) as (url, _):
        done = making(url, "--variants", 2, "--limit", 1)
    assert done.json["kept"] == 2
    one, two = read_tasks(tmp_path / "t.jsonl")
    assert (one.family == two.family, one.id == two.id) == (True, False)
    assert {one.provenance.persona, two.provenance.persona} == {"a baker", "a diver"}


def test_free_answers_in_other_words_take_a_judge(cli, tmp_path: Path):
    (tmp_path / "p.jsonl").write_text(
        '{"question": "What is the capital of Peru?", "answer": "Lima", "kind": "text"}\n'
    )

    def handler(body: dict[str, Any]) -> Served:
        text = str(body["messages"])
        if "You set a problem in somebody's life" in text:
            return '{"question": "I fly to Peru for my bakery. What is its capital?"}'
        if "You check what an assistant did" in text:
            return '{"s1": {"seen": "it says Lima", "verdict": "met", "events": [1], "sure": true}}'
        return ChatReply(content="Answer: the city of Lima") if "the answer to a question" in text else "Good morning."

    with endpoint(handler) as (url, _):
        model = f"openai:m@{url}"
        words = ("synth-reasoning", "--problems", tmp_path / "p.jsonl", "--teacher", model, "--offer", "none", "--json")
        alone = cli(*words, "--out", tmp_path / "alone.jsonl")
        assert (alone.code, alone.json["rejected_by_reason"]) == (1, {"agreement: not comparable (no_judge)": 1})
        judged = cli(*words, "--out", tmp_path / "judged.jsonl", "--judge", model)
    assert (judged.code, judged.json["kept"]) == (0, 1), judged.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--kind", "essay"), "--kind: 'essay' is not one of math, text"),
        (("--offer", "bash"), "--offer: 'bash' is not one of python, search, none"),
        (("--teacher", "scripted:nothing"), "scripted agents do not teach"),
        (("--problems", "nowhere.jsonl"), "nowhere.jsonl: there is no such file"),
        (("--offer", "search"), "there are tasks that search, and nothing to search in"),
    ],
)
def test_wrong_words_are_exit_code_2_before_there_is_a_folder(making, tmp_path: Path, words, said: str):
    done = making("http://127.0.0.1:1/v1", *words)
    assert (done.code, said in done.err) == (2, True), done.err
    assert not (tmp_path / "t.jsonl.d").exists()
