"""The entry behind a simulated tool's answer: who wrote it, which model, when; and an owner is left alone."""

import os
import signal
import sqlite3
from pathlib import Path

import pytest

from synthagent.storage.maps.sqlite import SqliteStore
from synthagent.storage.run_folder import RunFolder
from synthagent.viewer.maps import located
from tests.maps import owner
from tests.viewer import made_runs


@pytest.fixture
def simulated(tmp_path: Path) -> Path:
    return made_runs.simulated(tmp_path)


def call_of(run: Path):
    """The first simulated call of the run: its episode and its event."""
    with RunFolder.open(run) as folder:
        episodes = list(folder.episodes())
    return next((e, event) for e in episodes for event in e.events if event.kind == "tool" and event.entry_id)


async def entries_of(ask, episode, run: str = "made"):
    query = {"agent": episode.agent, "task": episode.task_id, "sample": episode.sample}
    return await ask.get(f"/api/runs/{run}/entries", **query)


async def test_an_entry_tells_who_wrote_it_and_when(viewing, simulated: Path):
    episode, event = call_of(simulated)
    async with viewing(simulated) as ask:
        found = await entries_of(ask, episode)
    entry = found["entries"][event.entry_id]
    assert found["error"] is None
    assert found["where"].endswith("map.sqlite")
    assert (entry["tool"], entry["response"]) == (event.tool, event.response)
    assert entry["model"] == "scripted:random"
    assert str(os.getpid()) in entry["who"]
    assert episode.started - 1 <= entry["made"] <= episode.started + 60
    assert entry["hits"] >= 1


async def test_a_live_owner_is_left_alone_and_the_page_says_so(viewing, simulated: Path, tmp_path: Path):
    episode, event = call_of(simulated)
    file = tmp_path / "hybrid.jsonl.d" / "map.sqlite"
    async with viewing(simulated) as ask:
        with owner(file) as (_, process):
            held = await entries_of(ask, episode)
            assert process.poll() is None
            process.send_signal(signal.SIGKILL)
            process.wait()
        # Its write-ahead log is still there: what it holds is read all the same.
        after = await entries_of(ask, episode)
    assert held["entries"] == {}
    assert "another process owns this map" in held["error"]
    assert event.entry_id in after["entries"]
    store = SqliteStore.open(file)
    await store.ping()
    assert (await store.sizes([after["entries"][event.entry_id]["world_id"]])) != {}
    await store.aclose()


async def test_a_map_that_is_none_is_told_and_the_episode_is_shown_all_the_same(viewing, simulated: Path, tmp_path):
    episode, _ = call_of(simulated)
    file = tmp_path / "hybrid.jsonl.d" / "map.sqlite"
    async with viewing(simulated) as ask:
        changed(file, "UPDATE entries SET body = CAST('[1]' AS BLOB)")
        damaged = await entries_of(ask, episode)
        changed(file, "DELETE FROM entries")
        empty = await entries_of(ask, episode)
        file.write_bytes(b"no database at all" * 100)
        foreign = await entries_of(ask, episode)
        file.unlink()
        gone = await entries_of(ask, episode)
        shown = await ask.get("/api/runs/made/episode", agent=episode.agent, task=episode.task_id)
    assert "holds an entry that cannot be used" in damaged["error"]
    assert "some of the episode's entries" in empty["error"]
    assert "no response map" in foreign["error"]
    assert "is not there" in gone["error"]
    assert shown["episode"]["events"]


def changed(file: Path, sql: str) -> None:
    with sqlite3.connect(file) as db:
        db.execute(sql)


@pytest.mark.parametrize(
    ("store", "said"),
    [
        ("", "no response map"),
        ("memory", "gone with the run"),
        ("redis://:s3cret@host/0", "behind redis"),
        ("http://host:1", "map export"),
    ],
)
def test_a_map_in_no_file_is_neither_asked_nor_its_address_told(store: str, said: str):
    with pytest.raises(Exception, match=said) as caught:
        located(store, ())
    assert "s3cret" not in str(caught.value)


def test_where_the_run_was_moved_the_map_beside_the_tasks_is_taken(tmp_path: Path):
    there = tmp_path / "map.sqlite"
    there.touch()
    assert located("elsewhere/map.sqlite", (tmp_path / "none", there)) == there
