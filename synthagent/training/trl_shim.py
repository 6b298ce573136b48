"""The one place that touches what TRL keeps to itself. Written for TRL 1.16 (`trl_settings.refuse_version` sees to it).

Private names, and what they are needed for:
- `GRPOTrainer._generate_and_score_completions`: its result is the batch as TRL learns from it, which tests compare with
  our own episodes.
- `GRPOTrainer._compute_loss`: there is no other place between a pass and its gradient. Here a run may stop, figures are
  counted by token and not by pass, and a mean over episodes leaves out those that carry no loss.
- `GRPOTrainer._get_per_token_logps_and_entropies`: log-probabilities and entropies, of which TRL tells only means.
- `GRPOTrainer._metrics`: share of clipped tokens and divergence of the pass that was just computed.
- `Trainer._save_checkpoint` (transformers): writes a checkpoint that nobody planned, before a run stops.
`rollout_func` and its `env_mask` are public, but TRL warns that they may change.
"""

import logging
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from datasets import Dataset
from peft import LoraConfig
from torch import Tensor
from transformers import PrinterCallback, TrainerCallback
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask
from trl import GRPOConfig, GRPOTrainer

Batch = Mapping[str, Any]
"""A generation batch: `prompt_ids`, `completion_ids`, `tool_mask`, `sampling_per_token_logps`, `advantages`, ..."""
Rollout = Callable[[Sequence[Any], Any], dict[str, Any]]
"""(prompts, trainer) -> prompt_ids, completion_ids, logprobs, env_mask, and what the reward function wants."""


@dataclass(frozen=True, slots=True)
class Pass:
    """One forward pass of the learner; (episodes, tokens) each, and means over the tokens that carry loss."""

    logprobs: Tensor
    sampled: Tensor
    """The same, from the generator."""
    entropies: Tensor
    mask: Tensor
    """1 for tokens that carry loss."""
    computed: int
    """Tokens, context included and padding left out."""
    clipped: float
    kl: float


@dataclass(frozen=True, slots=True)
class Hooks:
    """What is called while TRL learns."""

    rate: Callable[[int], float]
    """Updates that are done -> learning rate of the next."""
    weight: Callable[[], float]
    """What a pass's loss is multiplied by."""
    before: Callable[[], None]
    """Before a pass; may raise."""
    after: Callable[[Pass], None]
    batch: Callable[[Batch], None] = lambda _: None
    """Given what TRL made of a rollout."""


class Shim(GRPOTrainer):
    """TRL's trainer with hooks."""

    lr_scheduler: Any

    def __init__(self, hooks: Hooks, **words: Any):
        self._hooks = hooks
        self._found: tuple[Tensor, Tensor] | None = None
        super().__init__(**words)

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:  # noqa: ARG002 - the base's
        """The recipe's own learning rates."""
        found: Any = self.lr_scheduler
        if found is None:
            highest, rate = self.args.learning_rate, self._hooks.rate
            found = torch.optim.lr_scheduler.LambdaLR(optimizer or self.optimizer, lambda done: rate(done) / highest)
            self.lr_scheduler = found
        return found

    def create_model_card(self, *_: Any, **__: Any) -> None:
        """None: a training folder says what was done."""

    def save_now(self) -> None:
        """Writes a checkpoint as if it had been planned."""
        self._save_checkpoint(self.model, trial=None)

    def _generate_and_score_completions(self, inputs: Any) -> Any:
        found = super()._generate_and_score_completions(inputs)
        self._hooks.batch(found)
        return found

    def _get_per_token_logps_and_entropies(self, *args: Any, **words: Any) -> Any:
        found = super()._get_per_token_logps_and_entropies(*args, **words)
        if found[1] is not None:
            self._found = found[0].detach(), found[1].detach()
        return found

    def _compute_loss(self, model: Any, inputs: Any) -> Any:
        self._hooks.before()
        loss = super()._compute_loss(model, inputs)
        assert self._found is not None
        mask = inputs["completion_mask"] * inputs["tool_mask"]
        told = self._metrics["train"]
        self._hooks.after(
            Pass(
                *(self._found[0], inputs["sampling_per_token_logps"], self._found[1], mask),
                computed=int(inputs["prompt_mask"].sum() + inputs["completion_mask"].sum()),
                clipped=told["clip_ratio/region_mean"][-1],
                kl=told["kl"][-1] if self.beta else 0.0,
            )
        )
        self._found = None
        return loss * self._hooks.weight()


def config_of(settings: Mapping[str, Any]) -> GRPOConfig:
    """TRL's own record of the settings."""
    with warnings.catch_warnings():
        # TRL sets a field that transformers renamed; what we ask for is not what it is about.
        warnings.filterwarnings("ignore", "`gradient_checkpointing` is deprecated", FutureWarning)
        return GRPOConfig(**settings)


def shim_of(
    model: Any, tokenizer: Any, config: GRPOConfig, lora: Mapping[str, Any] | None, rollout: Rollout, hooks: Hooks,
    callback: TrainerCallback,
) -> Shim:  # fmt: skip
    """The trainer. The reward is what `rollout` gives as `reward`, None where there is none to learn from."""
    # transformers makes no mask for an attention it does not know, and TRL's batches are padded.
    AttentionMaskInterface.register(model.config._attn_implementation, sdpa_mask)
    slots = Dataset.from_list([{"prompt": "slot"}] * (config.generation_batch_size // config.num_generations))
    # That an episode has no reward is in our figures, and no fault of the reward function's.
    logging.getLogger("trl.trainer.grpo_trainer").addFilter(_is_news)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "You are using 'rollout_func'", UserWarning)
        found = Shim(
            hooks, model=model, args=config, train_dataset=slots, processing_class=tokenizer, reward_funcs=[_reward],
            rollout_func=rollout, peft_config=LoraConfig(**lora) if lora else None, callbacks=[callback],
        )  # fmt: skip
    found.remove_callback(PrinterCallback)  # stdout is for figures
    return found


def _is_news(record: logging.LogRecord) -> bool:
    return "All reward functions returned None" not in str(record.msg)


def _reward(reward: Sequence[float | None], **_: Any) -> list[float | None]:
    return list(reward)
