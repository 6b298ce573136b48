"""Our own trainer's way into `synthagent train`: a job becomes a run of `grpo`."""

from contextlib import ExitStack
from dataclasses import replace

import torch

from synthagent.training.collecting import Curriculum, Playing
from synthagent.training.grpo import Learner, Run, train
from synthagent.training.job import Job
from synthagent.training.loading import weights
from synthagent.training.lora import adapted
from synthagent.training.metrics import StepLine
from synthagent.training.policy import Policy
from synthagent.training.sft import save
from synthagent.training.tracking import tracked
from synthagent.training.train_folder import POLICY


async def practise(job: Job) -> None:
    """GRPO in this process. Raises `InputError`, and `Interrupted` when it was asked to stop."""
    recipe, mine = job.recipe, job.recipe.rollouts
    found = weights(job.policy, getattr(torch, recipe.dtype))
    if recipe.lora is not None:
        found = replace(found, adapters=adapted(found.model, recipe.lora, recipe.seed))
    sampler = found.sampler(slots=mine.slots, length=mine.prompt_tokens + mine.response_tokens)
    policy = Policy(sampler, found.tokenizer, "policy")
    updates = job.steps * (1 if recipe.optimiser.minibatch is None else -(-mine.tasks // recipe.optimiser.minibatch))
    learner = Learner(found.model, recipe, updates, job.stop)
    playing = Playing(policy, job.form, job.supporting, mine, job.scoring)
    curriculum = Curriculum(job.tasks, recipe.selection, recipe.seed, recipe.data.reasoning)
    with ExitStack() as stack:
        config = recipe.model_dump(mode="json")
        tracks = [stack.enter_context(tracked(kind, job.folder.path, config)) for kind in job.report_to]

        def tell(line: StepLine) -> None:
            for track in (*tracks, job.tell):
                track(line)

        await train(
            Run(learner, sampler, playing, curriculum, recipe, job.steps, job.folder, job.heldout, job.stop, tell)
        )
    save(found, job.folder.path / POLICY)
