"""A training run on disk: one writer, checkpoints that are whole, and no going on under other conditions."""

import anyio
import pytest

from synthagent.errors import InputError, RunFolderError
from synthagent.rollouts.group import roll
from synthagent.schema.episodes import Episode, Limits
from synthagent.schema.scores import Scored
from synthagent.scoring.scorer import score
from synthagent.simulation.episode import Cast, facts_user, prepare
from synthagent.simulation.scripted_agents import scripted
from synthagent.storage.journal import read
from synthagent.training.metrics import StepLine
from synthagent.training.recipe import Optimiser, Recipe
from synthagent.training.train_folder import (
    METRICS,
    ROLLOUTS,
    State,
    TrainFolder,
    TrainManifest,
    checkpoints,
    latest,
    read_manifest,
    state_of,
)
from tests.builders import library
from tests.trainings import step


def manifest(**changes):
    values = {
        "command": "synthagent train", "version": "1", "trainer": "native", "policy": "p", "policy_sha256": "a" * 64,
        "tasks_file": "t.jsonl", "tasks_sha256": "b" * 64, "heldout": {"dev": "c" * 64}, "tool_form": "compact",
        "steps": 4, "seed": 0, "recipe": Recipe(),
    }  # fmt: skip
    return TrainManifest(**{**values, **changes})


def opened(path, resume=False, **changes):
    return TrainFolder.open(path, manifest(**changes), resume=resume)


def test_what_was_asked_is_kept_and_read_again(tmp_path):
    with opened(tmp_path / "run"):
        pass
    assert read_manifest(tmp_path / "run") == manifest()
    with pytest.raises(InputError, match=r"train\.json: no training run"):
        read_manifest(tmp_path)


def test_a_run_that_is_there_is_gone_on_with_only_if_it_is_asked_for(tmp_path):
    opened(tmp_path / "run").close()
    with pytest.raises(RunFolderError, match="continue it with --resume"):
        opened(tmp_path / "run")
    opened(tmp_path / "run", resume=True, command="another", version="2").close()
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "to-mother.txt").touch()
    with pytest.raises(RunFolderError, match="holds other files already"):
        opened(tmp_path / "letters")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"recipe": Recipe(optimiser=Optimiser(lr=1e-4))}, "recipe: optimiser was"),
        ({"tasks_sha256": "d" * 64}, "tasks_sha256: was bbb"),
        ({"policy_sha256": "d" * 64}, "policy_sha256: was aaa"),
        ({"heldout": {"test": "c" * 64}}, "heldout: dev was"),
        ({"steps": 5, "trainer": "trl"}, "trainer: was native, is trl; steps: was 4, is 5"),
    ],
)
def test_what_differs_is_named(tmp_path, changes, said):
    opened(tmp_path / "run").close()
    with pytest.raises(RunFolderError, match=said):
        opened(tmp_path / "run", resume=True, **changes)
    opened(tmp_path / "run", resume=True).close()  # the lock was let go of


def test_two_do_not_write_at_once(tmp_path):
    with opened(tmp_path / "run"), pytest.raises(RunFolderError, match="is writing to this run"):
        opened(tmp_path / "run", resume=True)


def test_of_a_step_that_was_taken_twice_the_latest_line_counts(tmp_path):
    with opened(tmp_path / "run") as folder:
        for number, loss in ((1, 0.5), (2, 0.4), (2, 0.3), (3, 0.2)):
            folder.add(METRICS, step(number, loss=loss))
    found = list(latest(tmp_path / "run" / METRICS, StepLine, "step"))
    assert [(line.step, line.loss) for line in found] == [(1, 0.5), (2, 0.3), (3, 0.2)]


def test_a_checkpoint_counts_once_its_state_is_written_and_the_oldest_go(tmp_path):
    with opened(tmp_path / "run") as folder:
        for number in (2, 4, 6):
            folder.checkpoint(number)
            folder.finish_checkpoint(State(step=number, curriculum={"drawn": [number]}), keep=2)
        folder.checkpoint(8)  # killed before its state
    assert [path.name for path in checkpoints(tmp_path / "run")] == ["step-000004", "step-000006"]
    assert state_of(checkpoints(tmp_path / "run")[-1]) == State(step=6, curriculum={"drawn": [6]})
    (checkpoints(tmp_path / "run")[-1] / "state.json").write_text("{")
    with pytest.raises(InputError, match=r"state\.json: cannot be read"):
        state_of(checkpoints(tmp_path / "run")[-1])


def test_an_episode_that_was_learnt_from_can_be_read_back_and_scored_again(tmp_path):
    stage = prepare(library())
    outcome = anyio.run(roll, stage, lambda at, _: Cast(scripted("reference", at), facts_user(at)), Limits(), 0, 1)
    with opened(tmp_path / "run") as folder:
        folder.add_try(3, outcome)
    (line,) = read(tmp_path / "run" / ROLLOUTS)
    assert line["step"] == 3
    episode = Episode.model_validate(line["episode"])
    assert episode == outcome.episode
    assert Scored.model_validate(line["score"]) == outcome.score == score(stage, episode)


def test_what_a_killed_start_left_behind_is_no_hindrance(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "lock").write_text("1")
    with opened(tmp_path / "run"):
        pass
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("mine")
    with pytest.raises(RunFolderError, match="holds other files"):
        opened(tmp_path / "other")
