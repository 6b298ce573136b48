"""Reading what BFCL leaves: what counts as a result, and what a run that lacks one says."""

from pathlib import Path

import pytest

from synthagent.errors import InputError
from synthagent.evaluation.bfcl import SUITES, Bfcl, finished, overflowed, reason, scored
from synthagent.evaluation.items import Endpoint, HarnessOrder, SuiteFailed

DONE = {"id": "multi_turn_base_0", "result": [[["x"]]]}
DEAD = {"id": "multi_turn_base_1", "result": "Error during inference: Error code: 502 - no answer"}
LONG = {"id": "multi_turn_base_2", "result": "Error during inference: Error code: 400 - context_length_exceeded: 9 > 8"}
IDS = [f"multi_turn_base_{n}" for n in range(4)]


def test_only_answers_and_overflows_are_results():
    assert finished([DONE, DEAD, LONG, {"id": "other", "result": []}], IDS) == {DONE["id"]: DONE, LONG["id"]: LONG}


def test_a_later_answer_replaces_an_earlier_one_and_a_failure_replaces_nothing():
    again = {"id": DONE["id"], "result": [[["y"]]]}
    assert finished([DONE, again], IDS) == {DONE["id"]: again}
    assert finished([DONE, DEAD | {"id": DONE["id"]}], IDS) == {DONE["id"]: DONE}


def test_what_a_model_writes_is_no_overflow():
    assert overflowed(LONG)
    assert not overflowed(DEAD)
    assert not overflowed({"id": "a", "result": [["Error during inference: context_length_exceeded"]]})


def test_the_reason_counts_what_is_missing_and_quotes_an_error():
    lost = [DEAD["id"], IDS[3]]
    told = reason(lost, [DONE, DEAD], 4)
    assert told == "2 of 4 entries have no result, 1 of them with an error: " + DEAD["result"]
    assert reason([IDS[3]], [DONE], 4) == "1 of 4 entries have no result: multi_turn_base_3, ..."


def test_scores_are_those_of_the_entries_asked_for():
    head = {"accuracy": 0.75, "correct_count": 3, "total_count": 4}
    lines = [head, {"id": IDS[2], "valid": False}]
    assert scored(lines, IDS, "multi_turn_base") == {IDS[0]: 1.0, IDS[1]: 1.0, IDS[2]: 0.0, IDS[3]: 1.0}
    with pytest.raises(SuiteFailed, match="scored 4 entries of multi_turn_base, not 3"):
        scored(lines, IDS[:3], "multi_turn_base")
    with pytest.raises(SuiteFailed, match="scored None entries"):
        scored([], IDS, "multi_turn_base")
    with pytest.raises(SuiteFailed, match="does not add up"):
        scored([head], IDS, "multi_turn_base")


def test_every_category_is_a_suite_and_all_are_one():
    assert [part for name, parts in SUITES.items() if name != "bfcl" for part in parts] == list(SUITES["bfcl"])


def test_without_the_harness_nothing_begins(tmp_path: Path):
    order = HarnessOrder(tmp_path / "out", Endpoint("m", "http://nowhere/v1"))
    with pytest.raises(InputError, match="synthagent eval setup bfcl"):
        Bfcl(where=tmp_path).run(order)
    assert not order.out.exists()
