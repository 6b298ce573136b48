"""Runs that are killed, starved of disk or of their endpoint: what was finished stays, and the rest follows."""

import os
import shutil
import signal
import time
from collections import Counter
from pathlib import Path

import anyio.to_thread
import orjson
import pytest

from synthagent.llm.stub import Misbehave, StubServer
from synthagent.storage.run_folder import RunFolder

REFERENCE = ("--agent", "scripted:reference", "-n", 8)
DONE = "Done, everything has been completed."


@pytest.fixture(scope="session")
def undisturbed(cli, file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same run, left alone; not to be changed."""
    run = tmp_path_factory.mktemp("runs") / "undisturbed"
    assert cli("rollout", file, *REFERENCE, "--out", run).code == 0
    return run


def wait_for_lines(path: Path, count: int) -> None:
    until = time.monotonic() + 30
    while time.monotonic() < until:
        if path.exists() and path.read_bytes().count(b"\n") >= count:
            return
        time.sleep(0.002)
    raise AssertionError(f"{path} never got {count} lines")


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_run_that_was_stopped_in_the_middle_ends_like_one_that_was_not(
    start, cli, file: Path, tmp_path: Path, undisturbed: Path, journals, how: signal.Signals
):
    run = tmp_path / "run"
    with start("rollout", file, *REFERENCE, "--out", run) as process:
        wait_for_lines(run / "scores.jsonl", 5)
        process.send_signal(how)
        _, err = process.communicate(timeout=30)
    assert process.returncode == (-9 if how == signal.SIGKILL else 130)
    assert "Traceback" not in err
    kept = (run / "episodes.jsonl").read_bytes().splitlines()[:-1]
    assert 4 <= len(kept) < 96, "it was not stopped in the middle"

    assert cli("rollout", file, *REFERENCE, "--out", run, "--resume").code == 0
    assert journals(run) == journals(undisturbed)
    assert (run / "episodes.jsonl").read_bytes().splitlines()[: len(kept)] == kept


def test_an_episode_that_a_power_cut_took_is_played_again_although_its_score_is_left(
    cli, file: Path, tmp_path: Path, undisturbed: Path, journals
):
    run = shutil.copytree(undisturbed, tmp_path / "run")
    whole = (run / "episodes.jsonl").read_bytes()
    (run / "episodes.jsonl").write_bytes(whole[:-100])
    done = cli("rollout", file, *REFERENCE, "--out", run, "--resume")
    assert done.code == 0, done.err
    assert "a torn last line" in done.err
    (episodes, scores), (before, scores_before) = journals(run), journals(undisturbed)
    assert (episodes, set(scores)) == (before, set(scores_before))


def test_a_second_process_on_the_same_folder_is_sent_away_and_told_by_whom(
    start, cli, file: Path, undisturbed: Path, journals
):
    before = journals(undisturbed)
    with RunFolder.open(undisturbed, write=True):
        with start("rollout", file, *REFERENCE, "--out", undisturbed, "--resume") as second:
            _, err = second.communicate(timeout=30)
        assert second.returncode == 3
        assert f"process {os.getpid()} is writing to this run folder" in err
        assert cli("score", undisturbed).code == 3
        assert cli("report", undisturbed, "--json").json[0]["episodes"] == 96, "readers are let in"
    assert journals(undisturbed) == before


def test_a_full_disk_stops_the_run_and_loses_nothing_that_was_finished(
    start, cli, file: Path, tmp_path: Path, undisturbed: Path, journals
):
    run = tmp_path / "run"
    room = file.stat().st_size + 20_000
    assert (undisturbed / "episodes.jsonl").stat().st_size > room
    with start("rollout", file, *REFERENCE, "--out", run, largest_file=room) as process:
        _, err = process.communicate(timeout=30)
    assert process.returncode == 3
    assert str(run) in err
    assert "Traceback" not in err
    for name in ("episodes.jsonl", "scores.jsonl"):
        assert all(orjson.loads(line) for line in (run / name).read_bytes().splitlines())
    kept = (run / "episodes.jsonl").read_bytes()
    assert kept.count(b"\n") > 4

    assert cli("rollout", file, *REFERENCE, "--out", run, "--resume").code == 0
    assert journals(run) == journals(undisturbed)
    assert (run / "episodes.jsonl").read_bytes().startswith(kept)


# ---- endpoints


class Endpoint:
    """A model that says that all is done; behind a gateway that loses it after so many answers."""

    def __init__(self, answers: float = float("inf")):
        self.left = answers
        self.asked: Counter[str] = Counter()

    def __call__(self, body):
        if self.left <= 0:
            return Misbehave(503, {"Retry-After": "0"}, {"error": {"message": "no model behind this gateway"}})
        self.left -= 1
        self.asked[f"{body['seed']}"] += 1
        return DONE


async def meanwhile(cli, *words: object):
    """A command, beside the endpoint that this test serves."""
    return await anyio.to_thread.run_sync(lambda: cli(*words))


async def test_an_endpoint_that_dies_and_comes_back(cli, file: Path, tmp_path: Path):
    run = tmp_path / "run"
    endpoint = Endpoint(answers=20)
    async with StubServer(endpoint) as url:
        words = ("rollout", file, "--agent", f"openai:small@{url}", "-n", 4, "--out", run, "--in-flight", 3)
        done = await meanwhile(cli, *words)
        assert done.code == 3
        for part in ("16 episodes in a row failed", "no model behind this gateway", str(run), "--resume"):
            assert part in done.err
        scores = [orjson.loads(line)["score"] for line in (run / "scores.jsonl").read_bytes().splitlines()]
        kept = {(s["task_id"], s["sample"]) for s in scores if s["kind"] == "scored"}
        assert len(kept) >= 10 - 3
        assert {s["blame"] for s in scores if s["kind"] == "unscored"} == {"infrastructure"}

        (told,) = cli("report", run, "--json").json
        assert (told["episodes"] - told["unscored"], told["blame"]["infrastructure"]) == (len(kept), told["unscored"])

        endpoint.left = float("inf")
        done = await meanwhile(cli, *words, "--resume", "--json")
        assert done.code == 0, done.err
    (line,) = done.json
    assert (line["episodes"], line["unscored"]) == (48, 0)
    with RunFolder.open(run) as folder:
        asked = {(task.id, sample) for task in folder.tasks() for sample in range(4)}
        assert {(key.task_id, key.sample) for key in folder.done()} == asked
    lines = [orjson.loads(line)["score"] for line in (run / "scores.jsonl").read_bytes().splitlines()]
    times = Counter((s["task_id"], s["sample"]) for s in lines)
    assert all(times[key] == 1 for key in kept), "what had been finished was played again"


async def test_a_busy_or_stumbling_endpoint_costs_time_and_nothing_else(cli, file: Path, tmp_path: Path):
    trouble = [
        Misbehave(429, {"Retry-After": "0.3"}, {"error": {"message": "slow down"}}),
        Misbehave(500, body="internal error"),
        Misbehave(502, {"Retry-After": "0"}, "<html>bad gateway</html>"),
        Misbehave(drop="inside", body={"half": "an answer"}),
    ]
    arrived: list[tuple[float, int]] = []

    def stumbling(body):
        arrived.append((time.monotonic(), body["seed"]))
        return trouble.pop(0) if trouble else DONE

    async with StubServer(stumbling) as url:
        words = ("--agent", f"openai:small@{url}", "--limit", 4, "--in-flight", 1, "--json")
        done = await meanwhile(cli, "rollout", file, *words, "--out", tmp_path / "run")
    assert done.code == 0, done.err
    (line,) = done.json
    assert (line["episodes"], line["unscored"]) == (4, 0)
    first = [when for when, seed in arrived if seed == arrived[0][1]]
    assert len(first) == 5
    assert first[1] - first[0] >= 0.3, "it came back sooner than the server asked"


async def test_a_wrong_key_is_not_tried_again_and_again(cli, file: Path, tmp_path: Path):
    refused = Misbehave(401, body={"error": {"message": "no such key"}})
    async with (server := StubServer(lambda _: refused)) as url:
        words = ("--agent", f"openai:small@{url}", "-n", 4, "--in-flight", 1, "--out", tmp_path / "run")
        done = await meanwhile(cli, "rollout", file, *words)
    assert done.code == 3
    assert "HTTP 401" in done.err
    assert "no such key" in done.err
    assert len(server.seen) == 16
