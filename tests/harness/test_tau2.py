"""TAU-2 itself: from two endpoints to a score, and back to a run that was cut short."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from synthagent.evaluation.harness_setup import harness_dir
from synthagent.evaluation.items import Endpoint, SuiteFailed
from synthagent.evaluation.oracle import Endpoints, answering, oracle
from synthagent.llm.model import ChatReply
from synthagent.llm.scripted import calling
from tests.harnesses import Play, dying, endpoint, harness, order

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("domain", ["airline", "retail", "telecom"])
def test_who_knows_every_answer_gets_the_full_score(play: Play, domain: str):
    items = play(f"tau2_{domain}", "oracle", limit=3, in_flight=3)
    assert [item.score for item in items] == [1.0] * 3


def test_who_does_nothing_gets_the_null_baseline_of_airline(play: Play):
    items = play("tau2_airline", "idle", in_flight=4)
    assert (len(items), sum(item.score for item in items) / len(items)) == (50, 0.38)


def test_a_lost_endpoint_fails_the_run_which_goes_on_where_it_was(tmp_path: Path):
    with oracle("tau2_retail") as ends:
        with dying(ends, after=40) as cut, pytest.raises(SuiteFailed, match=r"endpoint was lost|no answer from"):
            harness("tau2_retail").run(order(tmp_path / "out", cut, limit=4, trials=2))
        kept = (tmp_path / "out" / "retail.jsonl").read_text().splitlines()
        assert 0 < len(kept) < 8
        items = harness("tau2_retail").run(order(tmp_path / "out", ends, limit=4, trials=2))
    assert [(item.trial, item.score) for item in items] == [(0, 1.0)] * 4 + [(1, 1.0)] * 4
    assert (tmp_path / "out" / "retail.jsonl").read_text().splitlines()[: len(kept)] == kept


def test_a_run_that_was_killed_goes_on_where_it_was(tmp_path: Path):
    binary = Path(sys.executable).with_name("synthagent")
    words = ["--suite", "tau2_airline", "--agent", "scripted:nothing", "--limit", "8", "--trials", "1", "--out", "out"]
    command = [binary, "eval", "run", *words]
    kept = tmp_path / "out" / "tau2_airline" / "airline.jsonl"
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as run:
        while run.poll() is None and (not kept.is_file() or kept.read_bytes().count(b"\n") < 2):
            time.sleep(0.1)
        run.kill()
    before = kept.read_bytes().splitlines()
    assert 2 <= len(before) < 8
    subprocess.run([*command, "--resume"], cwd=tmp_path, check=True, capture_output=True)
    assert kept.read_bytes().splitlines()[: len(before)] == before
    report = json.loads((tmp_path / "out" / "report.json").read_text())["tau2_airline"]
    assert (report["status"], report["n"], report["trials"]) == ("ok", 8, 1)


def test_an_agent_that_writes_no_json_gets_a_zero_and_stops_nobody(tmp_path: Path):
    knows, _ = answering("tau2_airline", "oracle", harness_dir())

    def garbled(body: dict[str, object]) -> ChatReply:
        return knows(body) if body["model"] == "user" else calling(("get_user_details", '{"user_id": '))

    with endpoint(garbled) as server:
        ends = Endpoints(Endpoint("agent", server.url), Endpoint("user", server.url))
        items = harness("tau2_airline").run(order(tmp_path / "out", ends, limit=2))
    assert [(item.score, item.overflow) for item in items] == [(0.0, False)] * 2
