"""An evaluation folder: what was asked, what came of it, and what keeps two evaluations apart."""

from pathlib import Path

import orjson
import pytest

from synthagent.errors import InputError, RunFolderError
from synthagent.evaluation.items import Item
from synthagent.evaluation.metrics import figures
from synthagent.evaluation.results import Asked, Evaluation, failure_of, result_of

ITEMS = [Item(id=f"e{n}", trial=0, score=n % 2) for n in range(4)]


def begun(path: Path, **changes) -> Evaluation:
    folder = Evaluation(path)
    folder.begin(Asked(agent="scripted:nothing", **changes), resume=True)
    return folder


def test_what_is_kept_is_read_back_and_has_the_figures_that_are_promised(tmp_path: Path):
    folder = begun(tmp_path / "x")
    folder.keep("own:one", result_of(figures(ITEMS), {"data": "file"}, 0.25), ITEMS)
    folder.keep("two", failure_of("the endpoint is gone", 4, {}, None))
    written = orjson.loads((tmp_path / "x" / "report.json").read_bytes())
    assert list(written) == ["own:one", "two"]
    promised = ("n", "trials", "mean", "low", "high", "null_baseline", "status", "versions")
    assert list(written["own:one"])[: len(promised)] == list(promised)
    one, two = folder.results().values()
    assert (one.n, one.trials, one.mean, one.null_baseline, one.status) == (4, 1, 0.5, 0.25, "ok")
    assert (two.n, two.mean, two.low, two.status, two.reason) == (None, None, None, "failed", "the endpoint is gone")
    assert folder.items("own:one") == ITEMS
    assert folder.items_file("own:one").name == "own-one.jsonl"


def test_a_suite_that_is_run_again_replaces_its_result_and_no_other(tmp_path: Path):
    folder = begun(tmp_path / "x")
    folder.keep("one", failure_of("gone", 1, {}, None))
    folder.keep("two", failure_of("gone", 1, {}, None))
    folder.keep("one", result_of(figures(ITEMS), {}, None), ITEMS)
    assert [(name, found.status) for name, found in folder.results().items()] == [("one", "ok"), ("two", "failed")]


def test_an_evaluation_is_not_begun_over_another(tmp_path: Path):
    folder = begun(tmp_path / "x")
    with pytest.raises(RunFolderError, match="continue it with --resume"):
        folder.begin(Asked(agent="scripted:nothing"), resume=False)
    (tmp_path / "y").mkdir()
    (tmp_path / "y" / "letter").touch()
    with pytest.raises(RunFolderError, match="holds other files already"):
        begun(tmp_path / "y")


def test_a_resumed_evaluation_must_ask_for_the_same(tmp_path: Path):
    folder = begun(tmp_path / "x", trials=2)
    folder.begin(Asked(agent="scripted:nothing", trials=2, version="9", command="other"), resume=True)
    with pytest.raises(RunFolderError, match="trials was 2, now 3"):
        folder.begin(Asked(agent="scripted:nothing", trials=3), resume=True)


@pytest.mark.parametrize("text", ["[]", "{", '{"one": {"n": "many"}}'])
def test_a_broken_report_is_told_with_its_name(text: str, tmp_path: Path):
    folder = begun(tmp_path / "x")
    (tmp_path / "x" / "report.json").write_text(text)
    with pytest.raises(InputError, match=r"report\.json"):
        folder.results()


def test_what_is_no_evaluation_is_told(tmp_path: Path):
    with pytest.raises(RunFolderError, match="not an evaluation"):
        Evaluation(tmp_path).asked()
