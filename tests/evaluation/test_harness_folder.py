"""What a harness's run leaves behind, and what is never mixed."""

from dataclasses import replace
from pathlib import Path

import pytest

from synthagent.errors import InputError
from synthagent.evaluation.harness_folder import append_lines, chosen, pin_folder, read_lines, write_lines
from synthagent.evaluation.items import Endpoint, HarnessOrder

KNOWN = {"mode": ("fc", "prompt")}


def test_options_have_a_default_and_no_other_values():
    assert chosen({}, KNOWN) == {"mode": "fc"}
    assert chosen({"mode": "prompt"}, KNOWN) == {"mode": "prompt"}
    with pytest.raises(InputError, match=r"'xml' is no mode \(one of: fc, prompt\)"):
        chosen({"mode": "xml"}, KNOWN)
    with pytest.raises(InputError, match=r"no option is called 'mod' \(known: mode\)"):
        chosen({"mod": "fc"}, KNOWN)


def test_a_folder_is_of_one_run_whatever_its_size_and_address(tmp_path: Path):
    order = HarnessOrder(tmp_path / "out", Endpoint("m", "http://one/v1"), trials=1, limit=3)
    pin_folder(order, {"harness": "x 1"})
    pin_folder(replace(order, agent=Endpoint("m", "http://two/v1"), trials=4, limit=None), {"harness": "x 1"})
    with pytest.raises(InputError, match="another run: agent 'm', now 'n' "):
        pin_folder(replace(order, agent=Endpoint("n", "http://one/v1")), {"harness": "x 1"})
    with pytest.raises(InputError, match="another run: harness 'x 1', now 'x 2' "):
        pin_folder(order, {"harness": "x 2"})
    with pytest.raises(InputError, match=r"another run: temperature 0\.0, now 1\.0 "):
        pin_folder(replace(order, temperature=1.0), {"harness": "x 1"})


def test_a_torn_line_is_a_result_that_is_missing(tmp_path: Path):
    write_lines(tmp_path / "some" / "lines.jsonl", [{"id": 1}, {"id": 2}])
    with (tmp_path / "some" / "lines.jsonl").open("ab") as stream:
        stream.write(b'[1]\n{"id": 3, "res')
    assert list(read_lines(tmp_path / "some" / "lines.jsonl")) == [{"id": 1}, {"id": 2}]
    assert list(read_lines(tmp_path / "none.jsonl")) == []


def test_lines_are_added_after_what_a_killed_process_left(tmp_path):
    path = tmp_path / "some" / "lines.jsonl"
    append_lines(path, [{"id": 1}])
    with path.open("ab") as file:
        file.write(b'{"id": 2, "res')
    append_lines(path, [{"id": 3}, {"id": 4}])
    assert list(read_lines(path)) == [{"id": 1}, {"id": 3}, {"id": 4}]
