"""The exchange behind an agent's turn, where a run was recorded."""

from pathlib import Path

import pytest

from synthagent.storage.run_folder import EXCHANGES, RunFolder
from tests.viewer import made_runs
from tests.viewer.made_runs import TURNS


@pytest.fixture(scope="module")
def taped(tasks: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_runs.taped(tasks, tmp_path_factory.mktemp("runs") / "taped")


async def test_each_turn_has_the_exchange_it_came_of(viewing, taped: Path):
    with RunFolder.open(taped) as folder:
        episodes = [episode for episode in folder.episodes() if episode.agent.startswith("openai:")]
    assert len(episodes) == 4
    async with viewing(taped) as ask:
        for episode in episodes:
            query = {"agent": episode.agent, "task": episode.task_id, "sample": episode.sample}
            assert (await ask.get("/api/runs/taped/episode", **query))["recorded"] is True
            turns = [event for event in episode.events if event.kind == "agent"]
            assert len(turns) == TURNS
            for turn, event in enumerate(turns):
                found = (await ask.get("/api/runs/taped/exchange", **query, turn=turn))["exchange"]
                assert found["content"] == event.text == f"Number {len(found['messages'])}: which one do you mean?"
                assert sum(message["role"] == "assistant" for message in found["messages"]) == turn
                assert found["usage"] == event.usage.model_dump()
            beyond = await ask.get("/api/runs/taped/exchange", **query, turn=TURNS)
            assert beyond == {"exchange": None}
        wrong = await ask.get("/api/runs/taped/exchange", 400, **query, turn="last")
    assert "turn: a whole number" in wrong["error"]


async def test_a_run_that_was_not_recorded_says_so(viewing, run: Path):
    async with viewing(run) as ask:
        [row] = (await ask.get("/api/runs/played/episodes", limit=1))["rows"]
        query = {"agent": row["agent"], "task": row["task_id"], "sample": row["sample"]}
        found = await ask.get("/api/runs/played/episode", **query)
        none = await ask.get("/api/runs/played/exchange", **query, turn=0)
    assert found["recorded"] is False
    assert none == {"exchange": None}
    assert not (run / EXCHANGES).exists()


async def test_a_line_that_is_no_exchange_is_named(viewing, taped: Path, tmp_path: Path):
    with RunFolder.open(taped) as source:
        [episode] = [e for e in source.episodes() if e.agent.startswith("openai:")][:1]
        with RunFolder.create(tmp_path / "broken", source.manifest, list(source.tasks())) as target:
            target.add(episode)
    path = tmp_path / "broken" / EXCHANGES
    path.write_text('{"about": 5}\n')
    async with viewing(tmp_path / "broken") as ask:
        query = {"agent": episode.agent, "task": episode.task_id, "sample": episode.sample}
        found = await ask.get("/api/runs/broken/exchange", 400, **query, turn=0)
        assert (await ask.get("/api/runs/broken/episode", **query))["episode"]["events"]
    assert "exchanges.jsonl:1: about" in found["error"]
