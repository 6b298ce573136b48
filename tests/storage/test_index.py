"""The index is what the journals say, whether it grew with them, caught up, or was built anew."""

import os
import sqlite3
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthagent.errors import Blame, InputError
from synthagent.storage.index import Index
from synthagent.storage.lock import Lock
from synthagent.storage.run_folder import RunFolder

KEYS = st.tuples(st.sampled_from(["small", "large"]), st.sampled_from(["t1", "t2"]), st.integers(0, 2))
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("play"), KEYS, st.sampled_from([None, 0.0, 0.5, 1.0, Blame.JUDGE])),
        st.tuples(st.just("score"), KEYS, st.sampled_from([0.0, 1.0, Blame.INFRASTRUCTURE]), st.sampled_from("rs")),
        st.tuples(st.just("flush")),
        st.tuples(st.just("reopen")),
        st.tuples(st.just("kill")),
        st.tuples(st.just("tear"), st.sampled_from(["episodes", "scores"]), st.binary(min_size=1, max_size=30)),
        st.tuples(st.just("cut"), st.sampled_from(["episodes", "scores"]), st.integers(1, 400)),
    ),
    max_size=25,
)


@settings(max_examples=60, deadline=None)
@given(steps=STEPS)
def test_whatever_happens_to_a_run_the_live_index_equals_one_built_from_the_journals(make, table_rows, steps):
    with tempfile.TemporaryDirectory() as place:
        path = Path(place, "run")
        folder = RunFolder.create(path, make.manifest(), [make.task("t1"), make.task("t2")])
        try:
            for step in steps:
                folder = _taken(folder, make, *step)
            live = table_rows(folder.index)
        finally:
            folder.close()
        with RunFolder.open(path) as reader:
            assert table_rows(reader.index) == live
        with Index.rebuild(path) as rebuilt:
            assert table_rows(rebuilt) == live


def _taken(folder, make, kind, *details):
    """One step in the life of a run; the folder, or the one that was opened after it."""
    if kind == "play":
        (agent, task_id, sample), outcome = details
        if not folder.index.has_reward((agent, task_id, sample)):
            folder.add(make.episode(task_id, sample, agent), _score(make, task_id, sample, outcome, "r"))
    elif kind == "score":
        (agent, task_id, sample), outcome, rubric = details
        folder.add_score(agent, _score(make, task_id, sample, outcome, rubric))
    elif kind == "flush":
        folder.index.flush()
    else:
        if kind == "kill":  # what SQLite had not committed is gone, the journals are not
            assert folder.index
            folder.index._database.close()
            folder.index._writable = False
        folder.close()
        if kind == "tear":
            name, junk = details
            with (folder.path / f"{name}.jsonl").open("ab") as stream:
                stream.write(junk.replace(b"\n", b" "))
        elif kind == "cut":
            name, count = details
            journal = folder.path / f"{name}.jsonl"
            os.truncate(journal, max(0, journal.stat().st_size - count))
        folder = RunFolder.resume(folder.path, folder.manifest)
    return folder


def _score(make, task_id, sample, outcome, rubric):
    if outcome is None:
        return None
    if isinstance(outcome, Blame):
        return make.unscored(task_id, sample, outcome, rubric)
    return make.scored(task_id, sample, outcome, rubric)


def test_a_row_joins_the_episode_its_task_and_its_latest_score(tmp_path, make):
    task = make.task()
    with RunFolder.create(tmp_path / "run", make.manifest(), [task]) as folder:
        folder.add(make.episode(task.id), make.scored(task.id, reward=0.0))
        folder.add(make.episode("elsewhere"), make.unscored("elsewhere"))
        folder.add(make.episode(task.id, sample=1))
        first, second, third = folder.index.rows()
    assert (first.family, first.domain, first.legal, first.features) == (
        "family-book",
        "library",
        False,
        ("long_result",),
    )
    assert (first.reward, first.blame, first.unscored_blame) == (0.0, Blame.AGENT, None)
    assert (first.tools_called, first.turns, first.seconds) == (("find",), 1, 0.25)
    assert (second.family, second.features, second.reward) == (None, (), None)
    assert (second.unscored_blame, second.unscored_reason) == (Blame.INFRASTRUCTURE, "ModelFailed")
    assert (third.rubric_id, third.reward, third.unscored_blame) == (None, None, None)


def test_rows_can_be_chosen_by_any_column(tmp_path, make):
    with RunFolder.create(tmp_path / "run", make.manifest(), []) as folder:
        for sample in range(4):
            folder.add(make.episode(sample=sample), make.scored(sample=sample, reward=sample / 4))
        assert [row.sample for row in folder.index.rows("reward >= ? AND agent = ?", (0.5, "small"))] == [2, 3]
        assert list(folder.index.query("SELECT avg(reward) FROM episodes")) == [(0.375,)]


def test_a_reader_beside_the_writer_sees_all_but_the_last_few(tmp_path, make):
    path = tmp_path / "run"
    with RunFolder.create(path, make.manifest(), []) as writer:
        assert writer.done() == set()
        with RunFolder.open(path) as reader:
            for sample in range(100):
                writer.add(make.episode(sample=sample), make.scored(sample=sample))
            assert 64 <= len(reader.done()) <= 100
            assert len(reader.done()) == len(list(reader.episodes()))
    with RunFolder.open(path) as reader:
        assert len(reader.done()) == 100


def test_a_reader_who_may_not_write_builds_the_index_in_memory(tmp_path, make):
    path = tmp_path / "run"
    with RunFolder.create(path, make.manifest(), []) as folder:
        folder.add(make.episode(), make.scored())
    (path / "index.sqlite").unlink()
    lock = Lock.take(path / "index.lock")
    with RunFolder.open(path) as reader:
        assert [row.reward for row in reader.index.rows()] == [1.0]
    assert not (path / "index.sqlite").exists()
    lock.release()


def test_a_stale_index_that_may_not_be_brought_up_to_date_is_not_believed(tmp_path, make):
    path = tmp_path / "run"
    with RunFolder.create(path, make.manifest(), []) as folder:
        folder.add(make.episode(), make.scored())
    stale = (path / "index.sqlite").read_bytes()
    with RunFolder.resume(path, make.manifest()) as folder:
        folder.add(make.episode(sample=1), make.scored(sample=1))
    (path / "index.sqlite").write_bytes(stale)
    (path / "index.lock").unlink()
    (path / "index.lock").mkdir()  # stands in for a folder without the right to write
    with RunFolder.open(path) as reader:
        assert len(reader.done()) == 2


@pytest.mark.parametrize("damage", ["junk", "empty", "other", "older", "gone"])
def test_an_index_that_is_not_ours_is_built_again(tmp_path, make, damage):
    path = tmp_path / "run"
    with RunFolder.create(path, make.manifest(), []) as folder:
        folder.add(make.episode(), make.scored())
    file = path / "index.sqlite"
    if damage == "junk":
        file.write_bytes(b"not a database at all" * 1000)
    else:
        file.unlink()
    if damage == "empty":
        file.touch()
    elif damage in ("other", "older"):
        database = sqlite3.connect(file)
        database.execute("CREATE TABLE played (x)" if damage == "other" else "PRAGMA user_version = 77")
        database.commit()
        database.close()
    with RunFolder.open(path) as reader:
        assert reader.done() == {("small", "t1", 0)}
    with RunFolder.open(path, write=True) as writer:
        assert writer.done() == {("small", "t1", 0)}


def test_journals_that_were_exchanged_are_noticed(tmp_path, make):
    for name, sample in (("one", 1), ("two", 2)):
        with RunFolder.create(tmp_path / name, make.manifest(), []) as folder:
            folder.add(make.episode(sample=sample), make.scored(sample=sample))
    for journal in ("episodes.jsonl", "scores.jsonl"):
        (tmp_path / "two" / journal).replace(tmp_path / "one" / journal)
    with RunFolder.open(tmp_path / "one") as folder:
        assert folder.done() == {("small", "t1", 2)}
        assert [row.reward for row in folder.index.rows()] == [1.0]


@pytest.mark.parametrize(
    ("journal", "line", "named"),
    [
        ("episodes", b'{"agent":"small"}', r"episodes\.jsonl:2: task_id: missing; stop: missing"),
        ("episodes", b"{]", r"episodes\.jsonl:2: broken line"),
        ("episodes", b'{"task_id":"t","agent":"a","stop":"failed","turns":18446744073709551615}', "beyond 64 bits"),
        ("episodes", b'{"task_id":"t","agent":"a","stop":"failed","events":[{"kind":"song"}]}', r"events\.0: .*'song'"),
        ("scores", b'{"agent":"small","score":{}}', r"scores\.jsonl:2: score: unable to extract tag"),
        ("tasks", b'{"id":1,"family":"f"}', r"tasks\.jsonl:2: id: input should be a valid string, not 1"),
    ],
)
def test_a_line_that_is_no_record_is_named(tmp_path, make, journal, line, named):
    path = tmp_path / "run"
    with RunFolder.create(path, make.manifest(), [make.task()]) as folder:
        folder.add(make.episode(), make.scored())
    file = path / f"{journal}.jsonl"
    good = file.read_bytes()
    file.write_bytes(good + line + b"\n" + good)
    with RunFolder.open(path) as folder, pytest.raises(InputError, match=named):
        folder.done()
