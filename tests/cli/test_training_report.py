"""report, of a training folder: figures on stdout, a page and pictures in the folder."""

import sys
from pathlib import Path

import orjson
import pytest

from synthagent.training.report import Evaluation, Gain, TrainingReport, Trend
from tests.trainings import folder, held_out, learning, step


@pytest.fixture
def small(tmp_path: Path) -> Path:
    evaluated = [held_out(at, task, 0.25 + at / 4) for at in (0, 2) for task in ("a1", "b1", "c1")]
    return folder(tmp_path / "train", [step(1), step(2)], evaluated)


def test_a_training_folder_gets_a_table_a_page_and_pictures(cli, tmp_path: Path):
    run = learning(tmp_path / "train", 8)
    done = cli("report", run)
    assert done.code == 0, done.err
    for word in ("unseen-tasks", "detectable", "refusals_legal", "generated_per_second"):
        assert word in done.out
    assert f"wrote {run / 'report.html'}" in done.err
    assert (run / "report.html").read_text().startswith("<!doctype html>")
    names = sorted(path.name for path in (run / "pictures").iterdir())
    assert names == [
        "blame.png", "components.png", "exploits.png", "gains.png", "health.png", "heldout.png", "learning.png",
        "lengths.png", "throughput.png",
    ]  # fmt: skip


def test_figures_come_as_json_too(cli, small: Path):
    told = cli("report", small, "--json", "--no-pictures").json
    assert list(told) == list(TrainingReport.model_fields)
    assert (told["steps"], told["step"], told["curves"]["reward"]) == (2, [1, 2], [0.5, 0.5])
    (gain,) = told["gains"]
    assert (gain["before"], gain["after"], gain["difference"], gain["families"]) == (0.25, 0.75, 0.5, 3)
    assert [list(told[name][0]) for name in ("gains", "evaluations", "trends")] == [
        list(kind.model_fields) for kind in (Gain, Evaluation, Trend)
    ]
    assert sorted(path.name for path in small.iterdir()) == ["heldout.jsonl", "metrics.jsonl", "train.json"]


def test_without_matplotlib_the_figures_are_there_and_the_way_out_is_said(cli, small: Path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    done = cli("report", small, "--json")
    assert done.code == 2
    assert done.json["steps"] == 2
    assert "pip install 'synthagent[report]'" in done.err and "--no-pictures" in done.err
    assert not (small / "report.html").exists()
    table, rest = cli("report", small, "--no-pictures"), cli("report", small, "--no-pictures", "--json")
    assert (table.code, rest.code) == (0, 0)
    assert rest.out == done.out


def test_a_run_that_has_only_begun_is_reported(cli, tmp_path: Path):
    done = cli("report", folder(tmp_path / "train"))
    assert done.code == 0, done.err
    assert "0 steps" in done.err
    assert (tmp_path / "train" / "report.html").exists()


def test_a_torn_last_line_is_passed_over(cli, small: Path):
    with (small / "metrics.jsonl").open("ab") as journal:
        journal.write(b'{"step": 3, "pla')
    assert cli("report", small, "--json", "--no-pictures").json["steps"] == 2


@pytest.mark.parametrize("words", [("--compare", "other"), ("--blame",)])
def test_what_means_nothing_to_a_training_run_is_refused(cli, small: Path, words):
    done = cli("report", small, *words)
    assert done.code == 2
    assert f"{words[0]} means nothing to a training run" in done.err


def test_a_damaged_folder_is_named(cli, small: Path):
    manifest = orjson.loads((small / "train.json").read_bytes())
    del manifest["recipe"]
    (small / "train.json").write_bytes(orjson.dumps(manifest))
    done = cli("report", small)
    assert done.code == 2
    assert "train.json: recipe: missing" in done.err
