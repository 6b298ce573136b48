"""Evaluation on the command line: scores, suites that fail, resumption, and what is refused at once."""

import re
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import anyio.to_thread
import orjson
import pytest

from synthagent.cli.evaluating import FAILED
from synthagent.evaluation.heldout import PARTS
from synthagent.evaluation.results import SuiteResult
from synthagent.llm.stub import Misbehave, StubServer
from synthagent.storage.digests import sha256
from synthagent.storage.task_file import read_tasks, write_tasks
from tests.builders import library
from tests.commands import Done, synthagent
from tests.judges import asked_in, ruling, written

TOO_LONG = {"error": {"code": "context_length_exceeded", "message": "maximum context length is 8192 tokens"}}


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch):
    """Nothing that this machine has fetched or set."""
    monkeypatch.setenv("SYNTHAGENT_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("HF_ENDPOINT", raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "synthagent.toml").write_text("attempts = 1\n")


@pytest.fixture
def sums(tmp_path: Path) -> Path:
    """Thirty sums in the form of AIME."""
    file = tmp_path / "sums.jsonl"
    rows = [{"id": f"s{n}", "problem": f"What is ${n}+1$?", "answer": f"{n + 1:03}"} for n in range(30)]
    file.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    return file


@pytest.fixture
def facts(tmp_path: Path) -> Path:
    """As many questions as FRAMES has."""
    file = tmp_path / "facts.jsonl"
    rows = [{"Prompt": f"Who lives at number {n}?", "Answer": f"Keeper {n}"} for n in range(824)]
    file.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    return file


@pytest.fixture
def corpus(tmp_path: Path) -> str:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "street.txt").write_text("Nobody knows who lives there.")
    assert synthagent("corpus", "build", tmp_path / "notes", "-o", tmp_path / "corpus.sqlite").code == 0
    return f"corpus:{tmp_path / 'corpus.sqlite'}"


def evaluate(suite: str, agent: str, out: Path, *words: object) -> Done:
    return synthagent("eval", "run", "--suite", suite, "--agent", agent, "--out", out, *words, "--json")


async def served(url: str, suite: str, out: Path, *words: object) -> Done:
    """An evaluation of the model at that address, while this loop serves it."""
    return await anyio.to_thread.run_sync(partial(evaluate, suite, f"openai:stub@{url}", out, *words))


def results(out: Path) -> dict[str, SuiteResult]:
    found = orjson.loads((out / "report.json").read_bytes())
    return {name: SuiteResult.model_validate(result) for name, result in found.items()}


def asked(body: dict[str, Any]) -> int:
    """The number in the question."""
    return int(re.search(r"(\d+)(?:\+1|\?)", str(body["messages"][-1]["content"]))[1])


def right_up_to(most: int) -> Callable[[dict[str, Any]], str]:
    """Knows the sums up to a number."""
    return lambda body: f"\\boxed{{{asked(body) + 1 if asked(body) < most else -1}}}"


# ---- scores


def test_gold_answers_are_right_and_an_agent_that_does_nothing_earns_its_null_baseline(sums: Path, tmp_path: Path):
    gold = evaluate("aime24", "scripted:reference", tmp_path / "gold", "--data-file", f"aime24={sums}", "--trials", 1)
    assert gold.code == 0
    found = gold.json["aime24"]
    assert (found["n"], found["trials"], found["mean"], found["status"]) == (30, 1, 1.0, "ok")
    assert found["versions"] == {"data": "file", "data_sha256": sha256(sums)}
    idle = evaluate("aime24", "scripted:nothing", tmp_path / "idle", "--data-file", f"aime24={sums}", "--limit", 2)
    found = idle.json["aime24"]
    assert (found["n"], found["trials"], found["mean"]) == (2, 6, found["null_baseline"])
    shown = synthagent("show", tmp_path / "gold" / "aime24", "--json")
    assert len(shown.json) == 30


async def test_a_model_is_measured_and_two_models_are_compared(sums: Path, tmp_path: Path):
    words = ("--data-file", f"aime24={sums}", "--trials", 2, "--limit", 10, "--temperature", 0)
    for name, most in (("weak", 4), ("strong", 8)):
        async with StubServer(right_up_to(most)) as url:
            done = await served(url, "aime24", tmp_path / name, *words)
            assert done.code == 0
            assert done.json["aime24"]["mean"] == most / 10
            assert done.json["aime24"]["sampling"]["temperature"] == 0
    told = synthagent("eval", "report", tmp_path / "weak", tmp_path / "strong", "--json").json
    [difference] = told["differences"]
    assert (difference["n"], difference["difference"]) == (10, pytest.approx(0.4))
    text = synthagent("eval", "report", tmp_path / "weak", tmp_path / "strong").out
    assert "| SynthAgent-14B | 40.0 | 58.6 | 44.7 | 57.0 |" in text, "the paper's tables stand beside ours"
    assert "40.0 (first 10)" in text


async def test_a_prompt_beyond_the_window_is_the_agents_failure_and_counted_apart(sums: Path, tmp_path: Path):
    def handler(body: dict[str, Any]) -> str | Misbehave:
        return Misbehave(400, body=TOO_LONG) if asked(body) == 1 else right_up_to(30)(body)

    async with StubServer(handler) as url:
        words = ("--data-file", f"aime24={sums}", "--trials", 1, "--limit", 4)
        done = await served(url, "aime24", tmp_path / "x", *words)
    found = done.json["aime24"]
    assert (done.code, found["status"], found["mean"], found["overflow"]) == (0, "ok", 0.75, 1)


# ---- suites that fail


async def test_a_suite_whose_endpoint_dies_has_no_score_and_resumes_with_what_is_missing(sums: Path, tmp_path: Path):
    words = ("--data-file", f"aime24={sums}", "--trials", 1, "--in-flight", 1)
    answered = iter(range(1000))

    def dying(body: dict[str, Any]) -> str | Misbehave:
        return right_up_to(15)(body) if next(answered) < 10 else Misbehave(500)

    port = 0
    stub = StubServer(dying)
    async with stub as url:
        port = int(url.split(":")[2].split("/")[0])
        done = await served(url, "aime24", tmp_path / "x", *words)
    found = results(tmp_path / "x")["aime24"]
    assert done.code == FAILED
    assert (found.status, found.n, found.mean, found.low) == ("failed", None, None, None)
    assert "http_500" in found.reason
    assert not (tmp_path / "x" / "items" / "aime24.jsonl").exists()

    again = StubServer(right_up_to(15), port=port)
    async with again as url:
        done = await served(url, "aime24", tmp_path / "x", *words, "--resume")
    assert (done.code, done.json["aime24"]["mean"], done.json["aime24"]["n"]) == (0, 0.5, 30)
    assert len(again.seen) == 20


async def test_what_a_judge_cannot_decide_fails_the_suite_until_it_can(facts: Path, corpus: str, tmp_path: Path):
    verdict = {"text": "no verdict at all"}

    def handler(body: dict[str, Any]) -> str:
        if body["model"] != "judge":
            return "Answer: somebody else"
        if verdict["text"] or len(body["messages"]) < 2:  # before it judges, it is found out what it can do
            return verdict["text"] or "Good morning."
        return written(dict.fromkeys(asked_in(body["messages"]).statements, ruling("not_met")))

    async with StubServer(handler) as url:
        words = ("--data-file", f"frames={facts}", "--limit", 2, "--search", corpus, "--judge", f"openai:judge@{url}")
        done = await served(url, "frames", tmp_path / "x", *words)
        found = results(tmp_path / "x")["frames"]
        assert (done.code, found.status, found.mean) == (FAILED, "failed", None)
        assert "2 of 2 episodes say nothing of the agent: the judge" in found.reason
        verdict["text"] = ""
        done = await served(url, "frames", tmp_path / "x", *words, "--resume")
    assert (done.code, done.json["frames"]["mean"]) == (0, 0.0)
    assert done.json["frames"]["search"] == corpus


def test_other_data_fails_its_suite_and_the_next_one_is_run(sums: Path, tmp_path: Path):
    words = ("--data-file", f"aime24={sums}", "--data-file", f"aime25={sums}", "--data-sha256", f"aime24={'0' * 64}")
    done = evaluate("aime24,aime25", "scripted:reference", tmp_path / "x", *words, "--trials", 1)
    found = results(tmp_path / "x")
    assert done.code == FAILED
    assert [(name, one.status, one.mean) for name, one in found.items()] == [
        ("aime24", "failed", None), ("aime25", "ok", 1.0),
    ]  # fmt: skip
    assert "other data" in found["aime24"].reason
    assert "## Failed: no score" in synthagent("eval", "report", tmp_path / "x").out


def test_a_finished_suite_is_left_alone_and_others_may_be_added(sums: Path, tmp_path: Path):
    words = ("--data-file", f"aime24={sums}", "--trials", 1)
    evaluate("aime24", "scripted:reference", tmp_path / "x", *words)
    before = (tmp_path / "x" / "aime24" / "episodes.jsonl").read_bytes()
    more = ("--data-file", f"aime25={sums}", "--resume")
    done = evaluate("aime24,aime25", "scripted:reference", tmp_path / "x", *words, *more)
    assert "aime24: done before" in done.err
    assert list(done.json) == ["aime24", "aime25"]
    assert (tmp_path / "x" / "aime24" / "episodes.jsonl").read_bytes() == before


def test_data_that_changes_between_start_and_resumption_fails_the_suite(sums: Path, tmp_path: Path):
    words = ("--data-file", f"aime24={sums}", "--trials", 1)
    evaluate("aime24", "scripted:reference", tmp_path / "x", *words)
    sums.write_bytes(sums.read_bytes().replace(b"+1$", b"+2$"))
    done = evaluate("aime24", "scripted:reference", tmp_path / "x", *words, "--resume")
    assert done.code == FAILED
    assert "other versions than before" in done.json["aime24"]["reason"]


# ---- what is refused at once


@pytest.mark.parametrize(
    ("suite", "agent", "words", "told"),
    [
        ("aime23", "scripted:nothing", (), "no suite 'aime23'"),
        ("bfcl", "scripted:nothing", (), "synthagent eval setup bfcl"),
        ("tau2", "scripted:nothing", (), "synthagent eval setup tau2"),
        ("bfcl", "scripted:reference", (), "scripted:oracle, scripted:nothing"),
        ("tau2_airline", "openai:m@http://localhost:1/v1", (), "give --user MODEL"),
        ("aime24", "scripted:oracle", (), "use scripted:reference"),
        ("frames", "scripted:nothing", (), "give --judge MODEL"),
        ("frames", "scripted:reference", ("--data-file", "frames=FACTS"), "give --search"),
        ("aime24", "scripted:nothing", ("--data-file", "aime24"), "is not SUITE=VALUE"),
        ("aime24", "scripted:nothing", ("--data-file", "aime25=SUMS"), "aime25 is not among the suites"),
        ("aime24", "scripted:nothing", ("--data-file", "aime24=none.jsonl"), "none.jsonl: cannot be read"),
        ("synthagent:heldout", "scripted:nothing", ("--data-file", "synthagent:heldout=SUMS"), "are fixed"),
    ],
)
def test_wrong_input_is_told_before_there_is_a_folder(
    suite: str, agent: str, words: tuple[str, ...], told: str, sums: Path, facts: Path, tmp_path: Path
):
    known = {"SUMS": str(sums), "FACTS": str(facts)}
    given = [re.sub("SUMS|FACTS", lambda name: known[name[0]], word) for word in words]
    done = evaluate(suite, agent, tmp_path / "x", *given)
    assert (done.code, told in done.err) == (2, True), done.err
    assert not (tmp_path / "x").exists()


def test_an_evaluation_is_not_begun_twice(sums: Path, tmp_path: Path):
    words = ("--data-file", f"aime24={sums}", "--trials", 1, "--limit", 1)
    evaluate("aime24", "scripted:reference", tmp_path / "x", *words)
    assert evaluate("aime24", "scripted:reference", tmp_path / "x", *words).code == 3
    done = evaluate("aime24", "scripted:nothing", tmp_path / "x", *words, "--resume")
    assert (done.code, "agent was 'scripted:reference', now 'scripted:nothing'" in done.err) == (3, True)


def test_training_refuses_the_held_out_set(tmp_path: Path):
    task = library().model_copy(update={"family": f"vet-{next(iter(PARTS))}-000001"})
    write_tasks(tmp_path / "tasks.jsonl", [task])
    recipe = Path(__file__).parents[2] / "recipes" / "tiny.toml"
    words = ("--policy", tmp_path, "--config", recipe, "--out", tmp_path / "run")
    done = synthagent("train", tmp_path / "tasks.jsonl", *words)
    assert (done.code, "belongs to the suite synthagent:heldout" in done.err) == (2, True), done.err


# ---- suites of strangers

PLUGIN = """
from pathlib import Path
from synthagent.evaluation.items import Item, SuiteFailed
from synthagent.evaluation.suites import Benchmark, Suite
from synthagent.reasoning.problems import Problem

def suite(name, kind):
    return Suite(name=name, title="Mine", kind=kind, sizes=(2,), licence="MIT", metric="accuracy", trials=2)

def sums():
    problems = [Problem(id=str(n), question=f"What is {n}+1?", gold=str(n + 1)) for n in range(2)]
    return Benchmark(suite("mine_sums", "math"), problems=lambda: problems)

class Driver:
    def versions(self):
        return {"harness": "mine 1"}

    def run(self, order):
        if not Path("mended").exists():
            raise SuiteFailed(f"1 of 4 entries is missing at {order.agent.url}")
        most = 1 if Path("short").exists() else 2
        return [Item(id=f"e{n}", trial=trial, score=n) for n in range(most) for trial in range(order.trials)]

def driven():
    return Benchmark(suite("mine_driven", "harness"), harness=Driver())
"""


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch) -> Iterator[None]:
    """A package that is installed as far as Python can tell."""
    site = tmp_path / "site"
    about = site / "my_suites-1.0.dist-info"
    about.mkdir(parents=True)
    (site / "my_suites.py").write_text(PLUGIN)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: my-suites\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(
        "[synthagent.benchmarks]\nmine_sums = my_suites:sums\nmine_driven = my_suites:driven\n"
    )
    monkeypatch.syspath_prepend(str(site))
    yield
    sys.modules.pop("my_suites", None)


def test_a_package_can_bring_problems(plugin, tmp_path: Path):
    done = evaluate("mine_sums", "scripted:reference", tmp_path / "x")
    assert (done.code, done.json["mine_sums"]["mean"], done.json["mine_sums"]["trials"]) == (0, 1.0, 2)
    assert {"mine_sums", "mine_driven"} <= {row["suite"] for row in synthagent("eval", "list", "--json").json}


async def test_a_package_can_bring_a_harness_which_may_fail_and_be_resumed(plugin, tmp_path: Path):
    async with StubServer() as url:
        done = await served(url, "mine_driven", tmp_path / "x")
        found = results(tmp_path / "x")["mine_driven"]
        assert (done.code, found.status, found.reason) == (FAILED, "failed", f"1 of 4 entries is missing at {url}")
        assert found.endpoint == url
        (tmp_path / "mended").touch()
        done = await served(url, "mine_driven", tmp_path / "x", "--resume")
    found = results(tmp_path / "x")["mine_driven"]
    assert (done.code, found.status, found.n, found.mean, found.versions) == (0, "ok", 2, 0.5, {"harness": "mine 1"})


async def test_a_harness_that_hands_in_less_than_its_suite_has_no_score(plugin, tmp_path: Path):
    (tmp_path / "mended").touch()
    (tmp_path / "short").touch()
    async with StubServer() as url:
        done = await served(url, "mine_driven", tmp_path / "x")
        found = results(tmp_path / "x")["mine_driven"]
        assert (done.code, found.status, found.mean) == (FAILED, "failed", None)
        assert found.reason == "mine_driven: 1 entries have a score, and it has 2"
        (tmp_path / "short").unlink()
        done = await served(url, "mine_driven", tmp_path / "x", "--resume")
    assert (done.code, done.json["mine_driven"]["n"]) == (0, 2)


async def test_a_harness_run_is_told_with_the_sampling_and_the_options_that_held_in_it(plugin, tmp_path: Path):
    (tmp_path / "mended").touch()
    words = ("--harness-option", "mode=prompt")
    async with StubServer() as url:
        plain = (await served(url, "mine_driven", tmp_path / "x")).json["mine_driven"]
        warm = (await served(url, "mine_driven", tmp_path / "y", "--temperature", 0.5, *words)).json["mine_driven"]
    # Its own address: nobody tells that endpoint how long an answer may be.
    assert (plain["sampling"]["temperature"], plain["sampling"]["max_tokens"]) == (0.0, None)
    assert (warm["sampling"]["temperature"], warm["versions"]["mode"]) == (0.5, "prompt")
    [difference] = synthagent("eval", "report", tmp_path / "x", tmp_path / "y", "--json").json["differences"]
    assert difference["note"] == "other versions: not comparable"


def test_the_tasks_that_were_played_are_kept_as_a_task_file(sums: Path, tmp_path: Path):
    evaluate("aime24", "scripted:nothing", tmp_path / "x", "--data-file", f"aime24={sums}", "--limit", 3, "--trials", 1)
    tasks = list(read_tasks(tmp_path / "x" / "tasks" / "aime24.jsonl"))
    assert [task.family for task in tasks] == ["aime24/s0", "aime24/s1", "aime24/s2"]
