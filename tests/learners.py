"""Runs of the native trainer small enough for a test. Needs torch."""

from pathlib import Path
from typing import Any

import anyio
import torch

from synthagent.schema.tasks import Task
from synthagent.simulation.agent import Agent
from synthagent.simulation.episode import Cast, Stage, facts_user
from synthagent.training.collecting import Collected, Curriculum, Playing, collect
from synthagent.training.grpo import Learner
from synthagent.training.loading import Weights, weights
from synthagent.training.policy import Policy
from synthagent.training.recipe import Optimiser, Recipe, Rollouts
from synthagent.training.sft import imitate, save
from tests.choices import FORM, choice, examples

PLAYED = Rollouts(group=16, tasks=1, turns=1, turn_tokens=80, response_tokens=80, slots=16, tool_form=FORM)
SURE = Optimiser(lr=1e-2, warmup=5, decay="linear", beta2=0.95)
RECIPE = Recipe(dtype="float32", rollouts=PLAYED, optimiser=Optimiser(lr=5e-4))


def undecided(start: Path, out: Path) -> Path:
    """Teaches both sides of the choice in equal parts."""
    found = weights(start, torch.float32)
    recipe = Recipe(method="sft", epochs=150, dtype="float32", optimiser=SURE)
    imitate(found, examples(found.tokenizer, [choice()]), recipe, lambda _: None)
    save(found, out)
    return out


def supporting(stage: Stage, _: int, agent: Agent) -> Cast:
    return Cast(agent, facts_user(stage), "text", FORM)


class Practice:
    """A model, and what it takes to let it practise step by step."""

    def __init__(self, folder: Path, tasks: list[Task], **changes: Any):
        self.recipe = RECIPE.model_copy(update=changes)
        self.weights: Weights = weights(folder, torch.float32)
        self.sampler = self.weights.sampler(slots=self.recipe.rollouts.slots, length=1024)
        policy = Policy(self.sampler, self.weights.tokenizer)
        self.playing = Playing(policy, FORM, supporting, self.recipe.rollouts)
        self.curriculum = Curriculum(tasks, self.recipe.selection, self.recipe.seed)
        self.learner = Learner(self.weights.model, self.recipe, 100)

    def collect(self, step: int = 1) -> Collected:
        self.sampler.weights_changed()
        return anyio.run(collect, self.curriculum, self.playing, self.recipe.selection, self.recipe.seed, step)

    def reward(self, collected: Collected) -> float:
        known = [reward for group in collected.played for reward in group.rewards if reward is not None]
        return sum(known) / len(known)
