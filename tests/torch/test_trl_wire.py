"""TRL asks for the episodes of a step, and the scripted agents of `tests/wires` come to the rewards of a rollout."""

from importlib.util import find_spec

import pytest

if find_spec("trl") is None:
    pytest.skip("needs trl: make test-train brings it", allow_module_level=True)

import anyio
import anyio.to_thread
import torch

from synthagent.schema.scores import Scored
from synthagent.serve.sessions import PROTOCOL
from synthagent.simulation.episode import Cast, facts_user
from synthagent.training.collecting import Playing
from synthagent.training.job import Job
from synthagent.training.loading import weights
from synthagent.training.policy import Policy
from synthagent.training.recipe import Recipe
from synthagent.training.train_folder import TrainFolder, TrainManifest
from synthagent.training.trl_trainer import practice_of
from tests.tiny import save_tiny
from tests.verl.wires import TaskSampler, scripts_for
from tests.wires.common import COUNT, agree, some_tasks

pytestmark = [
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"),
    pytest.mark.filterwarnings("ignore:.*torch.jit.*is deprecated:DeprecationWarning"),
]
RECIPE = Recipe.model_validate(
    {
        "steps": 1, "dtype": "float32",
        "rollouts": {
            "group": 2, "tasks": COUNT, "turns": 40, "turn_tokens": 4000, "response_tokens": 40_000,
            "prompt_tokens": 20_000, "protocol": PROTOCOL, "slots": 24,
        },
    }
)  # fmt: skip


class Seen(Exception):
    """TRL has its batch: there is nothing to learn here."""


async def test_trl(tmp_path):
    policy, tasks = save_tiny(tmp_path / "tiny"), some_tasks()
    found = weights(policy, torch.float32)
    sampler = TaskSampler(found.tokenizer.inner, scripts_for_all(tasks), found.tokenizer.ends)
    playing = Playing(
        Policy(sampler, found.tokenizer), "native", lambda stage, _, agent: Cast(agent, facts_user(stage), PROTOCOL),
        RECIPE.rollouts,
    )  # fmt: skip
    batches, kept = [], []

    def seen(batch):
        batches.append(batch)
        raise Seen

    async def run(job):
        practice = practice_of(job, found, playing, lambda: None, seen)
        kept.append(practice)
        await anyio.to_thread.run_sync(practice.run)

    manifest = TrainManifest(
        command="", version="", trainer="trl", policy="", policy_sha256="", tasks_file="", tasks_sha256="",
        tool_form="native", steps=1, seed=RECIPE.seed, recipe=RECIPE,
    )  # fmt: skip
    with TrainFolder.open(tmp_path / "run", manifest, resume=False) as folder, pytest.raises(Seen):
        await run(Job(policy, "native", tasks, {}, RECIPE, 1, folder, playing.supporting, lambda: None))
    groups = kept[0].collected.played
    assert len(batches[0]["completion_ids"]) == 2 * COUNT
    scores = [group.tries[0].outcome.score for group in groups]
    assert all(isinstance(score, Scored) for score in scores)
    assert [group.rewards for group in groups] == [[score.reward, score.reward] for score in scores]
    await agree("trl", "trl", scores)


def scripts_for_all(tasks):
    """In a thread's own loop: the tests' is taken."""
    import threading

    found = {}
    thread = threading.Thread(target=lambda: found.update(scripts_for(tasks)))
    thread.start()
    thread.join()
    return found
