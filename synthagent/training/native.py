"""Our own trainer's way into `synthagent train`: a job becomes a run of `grpo`."""

import torch

from synthagent.errors import InputError
from synthagent.training.collecting import Curriculum, Playing
from synthagent.training.grpo import Learner, Run, train
from synthagent.training.job import Job
from synthagent.training.loading import weights
from synthagent.training.policy import Policy
from synthagent.training.sft import save
from synthagent.training.train_folder import POLICY


async def practise(job: Job) -> None:
    """GRPO in this process. Raises `InputError`, and `Interrupted` when it was asked to stop."""
    if job.report_to:
        raise InputError("--report-to is for --trainer trl", way_out="figures are in metrics.jsonl: synthagent report")
    recipe, mine = job.recipe, job.recipe.rollouts
    found = weights(job.policy, getattr(torch, recipe.dtype))
    sampler = found.sampler(slots=mine.slots, length=mine.prompt_tokens + mine.response_tokens)
    policy = Policy(sampler, found.tokenizer, "policy")
    updates = job.steps * (1 if recipe.optimiser.minibatch is None else -(-mine.tasks // recipe.optimiser.minibatch))
    learner = Learner(found.model, recipe, updates, job.stop)
    playing = Playing(policy, job.form, job.supporting, mine)
    curriculum = Curriculum(job.tasks, recipe.selection, recipe.seed)
    await train(
        Run(learner, sampler, playing, curriculum, recipe, job.steps, job.folder, job.heldout, job.stop, job.tell)
    )  # fmt: skip
    save(found, job.folder.path / POLICY)
