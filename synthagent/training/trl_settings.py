"""A recipe in TRL's own words: every argument of its `GRPOConfig`, and a note for whatever it does otherwise.

Pure; neither torch nor TRL is imported here. What the settings mean was read in the source of TRL 1.16 and of the
`Trainer` of transformers 5.24.
"""

from collections.abc import Callable, Sequence
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from synthagent.errors import InputError
from synthagent.training.recipe import Recipe

KNOWN = (1, 16)
"""The versions of TRL whose insides `trl_shim` was written for: 1.16.x."""
PLACES = ("tensorboard", "trackio")
"""Where TRL may report to: both work on this machine alone."""
PACK = 8192
"""Tokens of one backward pass at most, unless a single episode is longer."""


def refuse_version(version: Callable[[str], str] = metadata.version) -> None:
    """Raises `InputError` unless TRL is there in a version that we know. Imports nothing."""
    way_out = "pip install 'synthagent[train]'"
    try:
        found = version("trl")
    except metadata.PackageNotFoundError as error:
        raise InputError("--trainer trl: TRL is not installed", way_out=way_out) from error
    if tuple(found.split(".")[:2]) != tuple(map(str, KNOWN)):
        raise InputError(f"--trainer trl: TRL {found} is installed, and it takes >=1.16,<1.17", way_out=way_out)


def refuse(recipe: Recipe, report_to: Sequence[str], installed: Callable[[str], object] = find_spec) -> None:
    """Raises `InputError` for what TRL cannot do at all."""
    minibatch = recipe.optimiser.minibatch
    if minibatch is not None and recipe.rollouts.tasks % minibatch:
        raise InputError(f"optimiser.minibatch: {recipe.rollouts.tasks} groups do not divide by {minibatch}")
    for place in report_to:
        if place not in PLACES:
            raise InputError(f"--report-to: '{place}' is not one of {', '.join(PLACES)}")
        if installed(place) is None:
            raise InputError(f"--report-to: {place} is not installed", way_out=f"pip install {place}")


def updates_a_step(recipe: Recipe) -> int:
    """How often the weights move in a step: what TRL counts as a step is one of these."""
    return recipe.rollouts.tasks // (recipe.optimiser.minibatch or recipe.rollouts.tasks)


def at_once(recipe: Recipe) -> int:
    """Episodes of one backward pass: a divisor of an update's, so that all passes count alike."""
    rollouts = recipe.rollouts
    update = rollouts.tasks * rollouts.group // updates_a_step(recipe)
    most = max(1, PACK // (rollouts.prompt_tokens + rollouts.response_tokens))
    return max(size for size in range(1, min(most, update) + 1) if update % size == 0)


def settings_of(recipe: Recipe, steps: int, out: Path, *, gpu: bool, report_to: Sequence[str] = ()) -> dict[str, Any]:
    """Arguments of `GRPOConfig` -> values. `out`: where TRL writes; `gpu`: whether there is one."""
    updates = updates_a_step(recipe)
    return {
        "output_dir": str(out),
        "max_steps": steps * updates,
        "seed": recipe.seed,
        "data_seed": recipe.seed,
        "use_cpu": not gpu,
        "bf16": recipe.dtype == "bfloat16",
        # Trades time for memory, of which a processor has enough.
        "gradient_checkpointing": gpu,
        **_playing(recipe, updates),
        **_learning(recipe),
        **_writing(recipe, updates, report_to),
    }


def _playing(recipe: Recipe, updates: int) -> dict[str, Any]:
    rollouts = recipe.rollouts
    size, episodes = at_once(recipe), rollouts.tasks * rollouts.group
    return {
        "num_generations": rollouts.group,
        "temperature": rollouts.temperature,
        # Only noted by TRL: our rollouts keep to it themselves.
        "max_completion_length": rollouts.response_tokens,
        "per_device_train_batch_size": size,
        "gradient_accumulation_steps": episodes // updates // size,
        "generation_batch_size": episodes,
        "num_iterations": 1,
        # The data set is only slots, all alike: our own batch is played in them.
        "shuffle_dataset": False,
        "ignore_data_skip": True,
        "dataloader_pin_memory": False,
    }


def _learning(recipe: Recipe) -> dict[str, Any]:
    loss, optimiser = recipe.loss, recipe.optimiser
    return {
        "beta": loss.kl,
        "epsilon": loss.clip_low,
        "epsilon_high": loss.clip_high,
        # What is called dapo divides by all tokens of the batch that carry loss; grpo takes the mean within an episode,
        # then over episodes.
        "loss_type": "dapo" if loss.averaging == "token" else "grpo",
        "importance_sampling_level": "token",
        "scale_rewards": "group" if loss.normalised else "none",
        # TRL calls an episode truncated by its last token; the recipe means its stop reason, so the rollout masks it.
        "mask_truncated_completions": False,
        "learning_rate": optimiser.lr,
        # The shape of warm-up and decay is `Optimiser.rate`, which the shim hands to TRL: transformers' own begin at 0
        # and end at 0.
        "lr_scheduler_type": "constant",
        "warmup_steps": 0,
        "adam_beta1": optimiser.beta1,
        "adam_beta2": optimiser.beta2,
        "weight_decay": optimiser.weight_decay,
        "max_grad_norm": optimiser.max_norm,
        # A loss that is no number ends the run; by default the average of others would be shown in its place.
        "logging_nan_inf_filter": False,
    }


def _writing(recipe: Recipe, updates: int, report_to: Sequence[str]) -> dict[str, Any]:
    return {
        "logging_strategy": "steps",
        "logging_steps": 1,
        "save_strategy": "steps",
        "save_steps": recipe.save_every * updates,
        # A checkpoint counts once our state lies beside it; TRL would take the older away before that. We do it after.
        "save_total_limit": None,
        "eval_strategy": "no",
        "report_to": list(report_to) or "none",
        "disable_tqdm": True,
        "push_to_hub": False,
    }


def lora_of(recipe: Recipe) -> dict[str, Any] | None:
    """Arguments of peft's `LoraConfig`; None for a recipe that trains all weights."""
    lora = recipe.lora
    if lora is None:
        return None
    return {
        "r": lora.rank,
        "lora_alpha": lora.alpha,
        "target_modules": list(lora.targets),
        "lora_dropout": 0.0,
        "bias": "none",
        "task_type": "CAUSAL_LM",
    }


def notes_on(recipe: Recipe) -> list[str]:
    """What the recipe asks for and TRL 1.16 does otherwise, or not at all; each begins with the recipe's key."""
    loss, optimiser = recipe.loss, recipe.optimiser
    found = [
        (recipe.data.demonstrations is not None, "data.demonstrations: only noted, here as elsewhere"),
        (loss.normalised, "loss.normalised: TRL adds 1e-4 to the standard deviation, the native trainer 1e-6"),
        (optimiser.weight_decay > 0, "optimiser.weight_decay: transformers leaves norms and biases out of it"),
        (optimiser.minibatch is not None,
         "optimiser.minibatch: TRL shuffles a step's episodes over its updates, groups are not kept together; with "
         "loss.averaging = token an update counts by the mean number of tokens of an update"),
        (recipe.packed, "packed: TRL computes a prompt once an episode, not once a group"),
        (recipe.dtype == "bfloat16", "dtype: TRL keeps float32 weights and computes in bfloat16 by autocast"),
    ]  # fmt: skip
    return [note for holds, note in found if holds]
