"""BFCL itself: from an endpoint to a score and back to a run that was cut short."""

import json
from pathlib import Path

import pytest

from synthagent.evaluation.items import Endpoint, SuiteFailed
from synthagent.evaluation.oracle import Endpoints, oracle
from synthagent.llm.stub import Misbehave
from tests.harnesses import Play, dying, endpoint, harness, order

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("mode", ["fc", "prompt"])
def test_who_knows_every_answer_gets_the_full_score(play: Play, mode: str):
    items = play("bfcl", "oracle", limit=5, options={"mode": mode})
    assert [(item.score, item.overflow) for item in items] == [(1.0, False)] * 20
    assert len({item.id for item in items}) == 20


def test_who_does_nothing_gets_nothing(play: Play):
    items = play("bfcl", "idle", limit=5)
    assert [item.score for item in items] == [0.0] * 20


def test_a_lost_endpoint_fails_the_run_which_goes_on_where_it_was(tmp_path: Path):
    with oracle("bfcl_base") as ends:
        with dying(ends, after=40) as cut, pytest.raises(SuiteFailed, match=r"endpoint was lost|no answer from"):
            harness("bfcl_base").run(order(tmp_path / "out", cut, limit=10))
        kept = (tmp_path / "out" / "trial-0" / "multi_turn_base.jsonl").read_text().splitlines()
        assert 0 < len(kept) < 10
        items = harness("bfcl_base").run(order(tmp_path / "out", ends, limit=10))
    assert [item.score for item in items] == [1.0] * 10
    after = (tmp_path / "out" / "trial-0" / "multi_turn_base.jsonl").read_text().splitlines()
    assert {json.loads(line)["id"]: line for line in kept}.items() <= {
        json.loads(line)["id"]: line for line in after
    }.items()


def test_trials_are_runs_of_their_own_and_what_is_finished_asks_nobody(play: Play, tmp_path: Path):
    items = play("bfcl_miss_param", "oracle", limit=2, trials=2)
    assert [(item.trial, item.score) for item in items] == [(0, 1.0), (0, 1.0), (1, 1.0), (1, 1.0)]
    with oracle("bfcl_miss_param") as ends, dying(ends, after=0) as dead:
        again = harness("bfcl_miss_param").run(order(tmp_path / "out", dead, limit=2, trials=2))
    assert list(again) == items


def test_a_prompt_beyond_the_window_is_a_zero_of_its_own_kind(tmp_path: Path):
    full = Misbehave(400, body={"error": {"message": "the request exceeds the available context size"}})
    with endpoint(lambda _: full) as server:
        ends = Endpoints(Endpoint("small", server.url))
        items = harness("bfcl_base").run(order(tmp_path / "out", ends, limit=2))
    assert [(item.score, item.overflow) for item in items] == [(0.0, True)] * 2
