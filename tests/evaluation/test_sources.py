"""Where data comes from, and that it stays the same data."""

from pathlib import Path

import orjson
import pytest

from synthagent.errors import InputError
from synthagent.evaluation.datasets.source import LOCK, at_hand, load
from synthagent.evaluation.items import SuiteFailed
from synthagent.evaluation.suites import OURS, Source
from synthagent.storage.digests import sha256
from tests.evaluation.hub import hub

PLACE = "/datasets/who/what/resolve/main/data/test.jsonl"


def lines(count: int = 30) -> bytes:
    rows = [{"id": str(n), "problem": f"What is ${n}+1$?", "answer": str(n + 1)} for n in range(count)]
    return b"".join(orjson.dumps(row) + b"\n" for row in rows)


def suite(sha256: str = ""):
    source = Source(repo="who/what", revision="main", path="data/test.jsonl", sha256=sha256)
    return OURS["aime25"].model_copy(update={"source": source})


@pytest.fixture
def served(monkeypatch):
    """Files that a hub serves, to be changed, and what it was asked for."""
    files, seen = {PLACE: lines()}, []
    with hub(files, seen) as url:
        monkeypatch.setenv("HF_ENDPOINT", url)
        yield files, seen


def test_a_file_is_fetched_once_and_its_hash_is_kept_and_told(served, tmp_path: Path):
    _, seen = served
    heard: list[str] = []
    assert at_hand(suite(), tmp_path) is None
    first, second = (load(suite(), tmp_path, tell=heard.append) for _ in range(2))
    assert first == second
    assert len(first.problems) == 30
    assert first.versions["data"] == "who/what@main/data/test.jsonl"
    assert seen == [PLACE]
    path = at_hand(suite(), tmp_path)
    assert sha256(path) == first.versions["data_sha256"]
    [told] = heard
    assert first.versions["data_sha256"] in told
    assert first.versions["data_sha256"] in (tmp_path / LOCK).read_text()


def test_data_that_has_changed_since_fails_the_suite(served, tmp_path: Path):
    load(suite(), tmp_path)
    at_hand(suite(), tmp_path).write_bytes(lines() + b"\n")
    with pytest.raises(SuiteFailed, match=r"other data: .* is pinned to"):
        load(suite(), tmp_path)


def test_data_that_is_not_what_we_pin_fails_the_suite(served, tmp_path: Path):
    with pytest.raises(SuiteFailed, match=f"aime25 is pinned to {'0' * 64}"):
        load(suite("0" * 64), tmp_path)


def test_a_file_of_ones_own_needs_no_hub_and_may_be_pinned(tmp_path: Path):
    file = tmp_path / "mine.jsonl"
    file.write_bytes(lines())
    found = load(suite(), tmp_path / "cache", file=file, pinned=sha256(file))
    assert found.versions == {"data": "file", "data_sha256": sha256(file)}
    assert not (tmp_path / "cache").exists()
    with pytest.raises(SuiteFailed, match="other data"):
        load(suite(), tmp_path, file=file, pinned="1" * 64)


def test_a_part_of_the_data_is_not_the_suite(tmp_path: Path):
    file = tmp_path / "mine.jsonl"
    file.write_bytes(lines(29))
    with pytest.raises(SuiteFailed, match="holds 29 problems, and AIME 2025 has 30"):
        load(suite(), tmp_path, file=file)


def test_what_cannot_be_fetched_names_the_option_that_helps(served, tmp_path: Path):
    files, _ = served
    files.clear()
    with pytest.raises(InputError, match=r"HTTP 404 .*--data-file aime25=FILE"):
        load(suite(), tmp_path)


def test_a_broken_lock_is_told(served, tmp_path: Path):
    (tmp_path / "datasets").mkdir()
    (tmp_path / LOCK).write_text("[]")
    with pytest.raises(InputError, match=r"lock.json: .*mend or remove it"):
        load(suite(), tmp_path)
