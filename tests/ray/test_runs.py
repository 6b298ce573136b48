"""The same commands on a cluster: the same episodes, rewards, tasks and maps, whatever is killed meanwhile."""

import asyncio
import os
import sqlite3
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import orjson
import pytest

from synthagent.storage.task_file import write_tasks
from tests.commands import synthagent
from tests.endpoints import endpoint
from tests.maps import hybrid
from tests.ray.running import actors, command, done, gcs_address, journaled, kill, played, rewards, until
from tests.teachers import answer, wanted

RAY = ("--engine", "ray", "--workers", 2, "--in-flight", 4)
SLOW = 0.15
"""Seconds that the agent's model takes for a turn."""


async def agent(body: dict[str, Any]) -> str:
    """Says what depends on the conversation alone, in its own time."""
    await asyncio.sleep(SLOW)
    asked = [m for m in body["messages"] if m["role"] == "assistant"]
    return "Your request is done. Goodbye." if len(asked) >= 4 else f"May I ask you for detail number {len(asked)}?"


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tasks") / "tasks.jsonl"
    assert synthagent("synth", "--out", path, "-n", 6, "--seed", 5, "--domains", "library").code == 0
    return path


@pytest.fixture(scope="module")
def model():
    with endpoint(agent) as (url, _):
        yield f"openai:stub@{url}"


@pytest.fixture(scope="module")
def undisturbed(tasks: Path, model: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same run in one process."""
    run = tmp_path_factory.mktemp("runs") / "here"
    assert synthagent("rollout", tasks, "--agent", model, "-n", 3, "--out", run, "--turns", 8).code == 0
    return run


def test_two_workers_of_which_one_is_killed_play_what_one_process_plays(
    tasks: Path, model: str, undisturbed: Path, tmp_path: Path
):
    run = tmp_path / "there"
    process = command("rollout", tasks, "--agent", model, "-n", 3, "--out", run, "--turns", 8, *RAY)
    until(lambda: journaled(run) >= 3, "some episodes are kept")
    first = until(lambda: actors("Worker"), "there are workers")
    assert len(first) == 2
    kill(first[0])
    done(process)
    assert played(run) == played(undisturbed)
    assert rewards(run) == rewards(undisturbed)
    assert len(played(run)) == 18


def test_a_driver_that_is_killed_goes_on_where_it_stopped(tasks: Path, model: str, undisturbed: Path, tmp_path: Path):
    run = tmp_path / "there"
    words = ("rollout", tasks, "--agent", model, "-n", 3, "--out", run, "--turns", 8, *RAY)
    process = command(*words)
    until(lambda: journaled(run) >= 3, "some episodes are kept")
    process.kill()
    process.communicate()
    kept = journaled(run)
    assert 3 <= kept < 18
    done(command(*words, "--resume"))
    assert played(run) == played(undisturbed)
    assert rewards(run) == rewards(undisturbed)


def test_a_node_that_is_lost_costs_nothing(tasks: Path, model: str, undisturbed: Path, tmp_path: Path):
    from ray.cluster_utils import Cluster

    run = tmp_path / "there"
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    try:
        other = cluster.add_node(num_cpus=1)
        words = ("rollout", tasks, "--agent", model, "-n", 3, "--out", run, "--turns", 8, "--engine",
                 f"ray:{cluster.address}", "--workers", 2, "--in-flight", 4)  # fmt: skip
        process = command(*words)
        until(lambda: journaled(run) >= 3, "some episodes are kept")
        cluster.remove_node(other, allow_graceful=False)
        done(process)
    finally:
        cluster.shutdown()
    assert played(run) == played(undisturbed)


def test_one_owner_answers_for_the_tools_of_all_workers_and_may_be_killed(tmp_path: Path):
    tasks, run = tmp_path / "hybrid.jsonl", tmp_path / "run"
    write_tasks(tasks, [hybrid("list_loans", "find_member")])
    # Random answers: whoever is not told what another was told would give another.
    words = ("rollout", tasks, "--agent", "scripted:spam", "--tools", "scripted:random", "-n", 24, *RAY)
    process = command(*words, "--out", run)
    until(lambda: journaled(run) >= 1, "an episode is kept")
    for owner in actors("MapKeeper"):
        kill(owner)
    done(process)
    again = tmp_path / "again"
    done(command(*words, "--out", again))  # another cluster reads the same file
    told: dict[str, set[str]] = defaultdict(set)
    for folder in (run, again):
        for events, _, _, failure in played(folder).values():
            assert failure is None
            for event in events:
                if event.get("entry_id"):
                    told[f"{event['entry_id']}"].add(event["response"])
    assert told
    assert all(len(answers) == 1 for answers in told.values())
    with sqlite3.connect(f"file:{tasks}.d/map.sqlite?mode=ro", uri=True) as db:
        entries = {orjson.loads(row[0])[1] for row in db.execute("SELECT body FROM entries")}
    assert set(told) <= entries


def test_nobody_else_joins_the_cluster_of_a_command(tasks: Path, model: str, tmp_path: Path):
    process = command("rollout", tasks, "--agent", model, "-n", 60, "--out", tmp_path / "run", "--turns", 8, *RAY)
    until(lambda: journaled(tmp_path / "run") >= 1, "an episode is kept")
    stranger = "import ray, sys; ray.init(sys.argv[1], log_to_driver=False)"
    bare = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    for token in ({}, {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0" * 64}):
        words = [sys.executable, "-c", stranger, gcs_address()]
        tried = subprocess.run(words, env={**bare, **token}, capture_output=True, text=True, check=False, timeout=60)
        assert tried.returncode != 0
        assert "Failed to connect" in tried.stderr
    process.terminate()
    process.communicate()


def test_a_map_in_memory_is_refused(tmp_path: Path):
    tasks = tmp_path / "hybrid.jsonl"
    write_tasks(tasks, [hybrid("list_loans")])
    process = command("rollout", tasks, "--agent", "scripted:spam", "--tools", "scripted:random", "--map-store",
                      "memory", "--out", tmp_path / "run", *RAY)  # fmt: skip
    out, _ = process.communicate()
    assert process.returncode == 2
    assert "--map-store memory" in out


def test_what_no_worker_can_be_opened_with_is_told_as_in_one_process(tasks: Path, tmp_path: Path):
    words = ("rollout", tasks, "--agent", "gguf:nowhere.gguf", "--out", tmp_path / "run", *RAY)
    process = command(*words)
    out, _ = process.communicate()
    assert process.returncode == 2, out
    assert "nowhere.gguf" in out


def test_stored_episodes_are_scored_alike(undisturbed: Path, tmp_path: Path):
    here, there = tmp_path / "here", tmp_path / "there"
    synthagent("score", undisturbed, "--reward", "strict", "--out", here)
    done(command("score", undisturbed, "--reward", "strict", "--out", there, "--engine", "ray", "--workers", 2))
    assert rewards(there) == rewards(here)


def test_demonstrations_and_evaluations_take_workers_too(tasks: Path, tmp_path: Path):
    run, out = tmp_path / "demos", tmp_path / "evals"
    done(command("demos", tasks, "--agent", "scripted:reference", "-k", 1, "--out", run, "--engine", "ray"))
    assert set(rewards(run).values()) == {1.0}
    words = ("eval", "run", "--suite", "synthagent:heldout", "--limit", 6, "--agent", "scripted:reference")
    done(command(*words, "--out", out, "--engine", "ray", "--workers", 2))
    report = orjson.loads((out / "report.json").read_bytes())["synthagent:heldout"]
    assert (report["status"], report["n"], report["mean"]) == ("ok", 6, 1.0)


def test_a_harness_is_not_taken_apart(tmp_path: Path):
    words = ("eval", "run", "--suite", "bfcl_base", "--agent", "scripted:oracle", "--out", tmp_path / "evals")
    done_ = synthagent(*words, "--engine", "ray")
    assert done_.code == 2
    assert "its own harness" in done_.err


def test_the_procedural_teacher_writes_the_same_bytes(tmp_path: Path):
    here, there = tmp_path / "here.jsonl", tmp_path / "there.jsonl"
    assert synthagent("synth", "--out", here, "-n", 25, "--seed", 9).code == 0
    done(command("synth", "--out", there, "-n", 25, "--seed", 9, "--engine", "ray", "--workers", 2))
    assert there.read_bytes() == here.read_bytes()
    assert Path(f"{there}.d/rejected.jsonl").read_bytes() == Path(f"{here}.d/rejected.jsonl").read_bytes()


PERSONAS = [f"Keeper number {number} of the seed library of a small town" for number in range(5)]
PROBED = '{"answer": ["zebra-47", "zebra-47"]}'


def teacher(body: dict[str, Any]) -> str:
    """Good, but at a loss with the third persona."""
    text = "\n".join(str(message["content"]) for message in body["messages"])
    if body["messages"][-1]["content"].startswith("Say good"):
        return PROBED
    return "I am only a language model." if "Keeper number 3" in text else answer(wanted(body["messages"]))


def test_a_teacher_is_paid_once_whoever_asks_and_whatever_is_killed(tmp_path: Path):
    people = tmp_path / "personas.jsonl"
    people.write_bytes(b"".join(orjson.dumps({"persona": text}) + b"\n" for text in PERSONAS))
    asked: list[bytes] = []

    async def slow(body: dict[str, Any]) -> str:
        await asyncio.sleep(0.1)
        asked.append(orjson.dumps(body["messages"]))
        return teacher(body)

    with endpoint(slow) as (url, _):
        common = ("synth", "--teacher", f"openai:stub@{url}", "--personas", people, "-n", 5, "--similar", 1,
                  "--in-flight", 2)  # fmt: skip
        assert synthagent(*common, "--out", tmp_path / "here.jsonl").code == 0
        alone = set(asked)
        words = (*common, "--out", tmp_path / "there.jsonl", "--record", "--engine", "ray", "--workers", 2)
        asked.clear()
        process = command(*words)
        until(lambda: len(asked) >= 8, "the teacher is asked")
        process.kill()
        process.communicate()
        lines = (tmp_path / "there.jsonl.d" / "exchanges.jsonl").read_bytes().splitlines()
        answered = {orjson.dumps(orjson.loads(line)["messages"]) for line in lines}
        asked.clear()
        done(command(*words, "--resume"))
    assert (tmp_path / "there.jsonl").read_bytes() == (tmp_path / "here.jsonl").read_bytes()
    # An answer that was on its way to the file when it was killed is one for each of the two workers at most.
    assert len(answered) >= 5
    assert len(answered & set(asked)) <= 2
    with sqlite3.connect(tmp_path / "there.jsonl.d" / "calls.sqlite") as db:
        assert db.execute("SELECT count(*) FROM replies").fetchone()[0] == len(alone)
