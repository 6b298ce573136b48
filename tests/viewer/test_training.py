"""What the viewer answers about training runs."""

from pathlib import Path

import orjson
import pytest

from synthagent.rollouts.group import Outcome
from synthagent.storage.journal import Journal
from synthagent.storage.run_folder import RunFolder
from synthagent.training.train_folder import TrainFolder
from tests.training.test_train_folder import manifest


@pytest.fixture
def trained(run: Path, tmp_path: Path) -> Path:
    return trained_run(run, tmp_path / "trained")


def trained_run(run: Path, path: Path) -> Path:
    """A training run of three steps, the second of which was repeated, with the episodes of the first."""
    with RunFolder.open(run) as source:
        episodes = list(source.episodes())[:3]
        scores = {(line.agent, line.score.task_id, line.score.sample): line.score for line in source.scores()}
    with TrainFolder.open(path, manifest(), resume=False) as folder:
        for step, reward in ((1, 0.25), (2, 0.0), (2, 0.5), (3, None)):
            played = {"episodes": 3, "reward": reward, "blame": {"agent": 0.5} if step == 3 else {}}
            folder.add("metrics.jsonl", {"step": step, "loss": step / 10, "played": played})
        for episode in episodes:
            score = scores[(episode.agent, episode.task_id, episode.sample)]
            folder.add_try(1, Outcome(episode, score))
        for sample, reward in enumerate((1.0, 0.0, None)):
            line = {"step": 3, "group": "dev", "family": "f", "task_id": "t", "sample": sample, "reward": reward}
            folder.add("heldout.jsonl", {**line, "gate": 1})
    return path


async def test_curves_have_a_value_a_step_and_the_latest_line_of_a_repeated_one(viewing, trained: Path):
    async with viewing(trained) as ask:
        found = await ask.get("/api/training/trained")
    assert found["steps"] == [1, 2, 3]
    assert found["series"]["played.reward"] == [0.25, 0.5, None]
    assert found["series"]["loss"] == [0.1, 0.2, 0.3]
    assert found["series"]["blame.agent"] == [0.0, 0.0, 0.5]
    [row] = found["heldout"]
    assert (row["group"], row["step"], row["episodes"], row["scored"], row["reward"]) == ("dev", 3, 3, 2, 0.5)


async def test_a_step_leads_to_its_episodes(viewing, trained: Path, run: Path):
    async with viewing(trained, run) as ask:
        rows = (await ask.get("/api/training/trained/1"))["rows"]
        found = await ask.get("/api/training/trained/1/2")
        empty = await ask.get("/api/training/trained/2")
        missing = await ask.get("/api/training/trained/1/9", 400)
    assert [row["place"] for row in rows] == [0, 1, 2]
    assert found["episode"]["task_id"] == rows[2]["task_id"]
    assert found["score"]["reward"] == rows[2]["reward"]
    # The training folder keeps no tasks: this one is found in the run beside it.
    assert found["task"]["id"] == rows[2]["task_id"]
    assert empty["rows"] == []
    assert "no episode 9" in missing["error"]


async def test_a_line_that_names_no_step_is_told_and_the_rest_is_shown(viewing, trained: Path, run: Path):
    with Journal.open(trained / "metrics.jsonl") as journal:
        journal.append(orjson.loads('{"loss": 1.0}'))
    async with viewing(trained, run) as ask:
        found = await ask.get("/api/library")
    assert "names no step" in found["training"][0]["error"]
    assert found["runs"][0]["episodes"] == 24
