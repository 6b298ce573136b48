"""GRPO through TRL's `GRPOTrainer`: our episodes, its learning.

TRL's data set is only slots: in each step our own batch is played, as the native trainer plays it, and handed over as
token ids, masks, log-probabilities and rewards. TRL makes advantages, loss and updates of that. It runs in a thread of
its own; episodes are played in the event loop of whoever called, while TRL waits.

Everything that is drawn in a step follows from its number, so that a run that was stopped and resumed is the run that
was not.
"""

import math
import shutil
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import anyio.from_thread
import anyio.to_thread
import torch
from transformers import TrainerCallback

from synthagent.errors import InputError, SynthAgentError
from synthagent.training.collecting import Collected, Curriculum, Playing, collect
from synthagent.training.grpo import Learnt, step_line
from synthagent.training.heldout import hold_out
from synthagent.training.job import Job
from synthagent.training.loading import Weights, weights
from synthagent.training.policy import Policy
from synthagent.training.train_folder import (
    CHECKPOINTS,
    HELDOUT,
    METRICS,
    POLICY,
    Interrupted,
    State,
    checkpoints,
    state_of,
)
from synthagent.training.trl_rows import columns_of, rows_of
from synthagent.training.trl_settings import lora_of, refuse, settings_of, updates_a_step
from synthagent.training.trl_shim import Batch, Hooks, Pass, Shim, config_of, shim_of

T = TypeVar("T")


class Diverged(SynthAgentError):
    """Loss or gradient is no number any more."""


@dataclass
class Counts(Learnt):
    """What the learning of one step was like, while TRL goes about it."""

    begun: float = 0.0
    in_update: int = 0
    """Tokens that carry loss in the update under way."""

    def add(self, seen: Pass, *, fresh: bool) -> None:
        """`fresh`: the policy is still the one that sampled."""
        tokens = int(seen.mask.sum())
        self.tokens += tokens
        self.in_update += tokens
        self.computed += seen.computed
        self.entropy += float((seen.entropies * seen.mask).sum())
        self.clipped += seen.clipped * tokens
        self.kl += seen.kl * tokens
        if fresh:
            self.gap += float(((seen.logprobs - seen.sampled).abs() * seen.mask).sum())
            self.compared += tokens


@dataclass
class Practice:
    """One run: what TRL calls, and what is written down."""

    job: Job
    playing: Playing
    changed: Callable[[], None]
    """Says that the policy's weights moved."""
    look: Callable[[Batch], None] = lambda _: None
    """Given each batch as TRL has it."""
    curriculum: Curriculum = field(init=False)
    updates: int = field(init=False)
    """Of a step."""
    shim: Shim = field(init=False)
    collected: Collected = field(init=False)
    counts: Counts = field(init=False, default_factory=Counts)
    weight: float = field(init=False, default=1.0)
    checked: bool = field(init=False, default=False)
    """Whether the held-out tasks that are due have been played."""
    under_way: dict[str, Any] | None = field(init=False, default=None)
    """The curriculum before the step that is not done yet."""

    def __post_init__(self) -> None:
        recipe = self.job.recipe
        self.curriculum = Curriculum(self.job.tasks, recipe.selection, recipe.seed, recipe.data.reasoning)
        self.updates = updates_a_step(recipe)

    @property
    def step(self) -> int:
        """Steps that are done."""
        return int(self.shim.state.global_step) // self.updates

    @property
    def fresh(self) -> bool:
        """Whether the weights have not moved yet in the step under way."""
        return int(self.shim.state.global_step) % self.updates == 0

    def hooks(self) -> Hooks:
        """What the shim is to call."""
        optimiser, total = self.job.recipe.optimiser, self.job.steps * self.updates
        return Hooks(
            rate=lambda done: optimiser.rate(done, total),
            weight=lambda: self.weight,
            # Half a step is not to be gone on from: once its weights moved it is done to the end.
            before=lambda: self.job.stop() if self.fresh else None,
            after=lambda seen: self.counts.add(seen, fresh=self.fresh),
            batch=self.look,
        )

    def run(self) -> None:
        """Trains to the end. Raises `Interrupted` when it was asked to stop, with a checkpoint of the last step."""
        found = checkpoints(self.job.folder.path)
        if found:
            state = state_of(found[-1])
            self.curriculum.restore(state.curriculum)
            self.checked = state.checked
        try:
            self.shim.train(resume_from_checkpoint=str(found[-1]) if found else None)
        except Interrupted:
            if self.under_way is not None:
                self.curriculum.restore(self.under_way)
                self.under_way = None
            self._save()
            raise

    def rollout(self, _: Sequence[Any], __: Any) -> dict[str, Any]:
        """The batch of the next step."""
        recipe, step = self.job.recipe, self.step + 1
        self.under_way = self.curriculum.state()
        self.job.stop()
        torch.manual_seed((recipe.seed * 1_000_003 + step) % 2**63)  # TRL shuffles the batch
        self.collected = self._in_loop(
            collect, self.curriculum, self.playing, recipe.selection, recipe.seed, step, self.job.stop
        )
        self.counts = Counts(begun=time.monotonic())
        (end, *_rest) = sorted(self.playing.policy.tokenizer.ends)
        rows = rows_of(self.collected, recipe.rollouts.tasks, mask_overlong=recipe.loss.mask_overlong, end=end)
        live = sum(any(row.mask) for row in rows)
        self.weight = len(rows) / max(live, 1) if recipe.loss.averaging == "sequence" else 1.0
        return columns_of(rows)

    def begin(self) -> None:
        """Before the first step, and after a resume."""
        if not self.checked:
            self._check()

    def updated(self, logs: Mapping[str, float]) -> None:
        """After an update, with what TRL says of it. Raises `Diverged`."""
        loss, norm = logs["loss"], logs["grad_norm"]
        if not (math.isfinite(loss) and math.isfinite(norm)):
            raise Diverged(f"the gradient is {norm}, the loss {loss}: start again with a lower optimiser.lr")
        counts = self.counts
        counts.loss += loss
        counts.norm = max(counts.norm, norm)
        counts.lr = logs["learning_rate"]
        counts.updates += 1
        counts.in_update = 0
        if self.fresh:
            self._done()

    def saved(self) -> None:
        """After TRL wrote a checkpoint: our state beside it makes it count."""
        folder, step = self.job.folder, self.step
        path = folder.path / CHECKPOINTS / f"checkpoint-{self.shim.state.global_step}"
        ours = folder.checkpoint(step)
        shutil.rmtree(ours)
        path.rename(ours)
        state = State(step=step, curriculum=self.curriculum.state(), checked=self.checked)
        folder.finish_checkpoint(state, self.job.recipe.keep)

    def _done(self) -> None:
        """After a step."""
        step, every, folder = self.step, self.job.recipe.checking.every, self.job.folder
        for group in self.collected.played:
            for one in group.tries:
                folder.add_try(step, one.outcome)
        self.counts.seconds = time.monotonic() - self.counts.begun
        tries = [one for group in self.collected.played for one in group.tries]
        generated = sum(sum(one.tokens.mask) for one in tries if one.tokens is not None)
        line_ = step_line(step, self.collected, self.counts, generated)
        folder.add(METRICS, line_)
        self.job.tell(line_)
        self.under_way = None
        self.checked = not (step == self.job.steps or (every and step % every == 0))
        self.begin()

    def _check(self) -> None:
        """Held-out tasks, if there are any."""
        job, step = self.job, self.step
        if job.heldout:
            lines = self._in_loop(
                hold_out, job.heldout, self.playing, job.recipe.checking, job.recipe.seed, step, job.stop
            )
            for line in lines:
                job.folder.add(HELDOUT, line)
        self.checked = True

    def _save(self) -> None:
        """A checkpoint of the last step, unless there is one, or none was done."""
        step, found = self.step, checkpoints(self.job.folder.path)
        if step and not (found and state_of(found[-1]).step == step):
            self.shim.save_now()
            self.saved()

    def _in_loop(self, play: Callable[..., Awaitable[T]], *args: Any) -> T:
        """Plays in the event loop that this thread was started from, with the policy as it is now."""
        model, before = self.shim.model, self.shim.model.training

        async def playing() -> T:
            # The same precision as when learning, else the two would differ by more than rounding.
            with self.shim.accelerator.autocast():
                return await play(*args)

        model.eval()
        self.changed()
        try:
            return anyio.from_thread.run(playing)
        finally:
            model.train(before)


class Calls(TrainerCallback):
    """Tells a practice where TRL stands."""

    def __init__(self, practice: Practice):
        self._practice = practice

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        """Before the first update."""
        self._practice.begin()

    def on_pre_optimizer_step(self, *_: Any, model: Any = None, **__: Any) -> None:
        """Where nothing carries loss nothing moves: AdamW would go on by its momentum."""
        if model is not None and self._practice.counts.in_update == 0:
            for weight in model.parameters():
                weight.grad = None

    def on_log(self, *_: Any, logs: Any = None, **__: Any) -> None:
        """After each update, and once more at the end, with other words."""
        if logs and "grad_norm" in logs:
            self._practice.updated(logs)

    def on_save(self, *_: Any, **__: Any) -> None:
        """After a checkpoint was written."""
        self._practice.saved()


def practice_of(
    job: Job, found: Weights, playing: Playing, changed: Callable[[], None],
    look: Callable[[Batch], None] = lambda _: None,
) -> Practice:  # fmt: skip
    """A run that is ready to begin. Raises `InputError` for more than one process."""
    gpu = torch.accelerator.is_available()
    config = config_of(
        settings_of(job.recipe, job.steps, job.folder.path / CHECKPOINTS, gpu=gpu, report_to=job.report_to)
    )
    if config.world_size > 1:
        raise InputError("--trainer trl plays and learns in one process", way_out="--trainer verl for several")
    practice = Practice(job, playing, changed, look)
    practice.shim = shim_of(
        found.model, found.tokenizer.inner, config, lora_of(job.recipe), practice.rollout, practice.hooks(),
        Calls(practice),
    )  # fmt: skip
    return practice


def save(practice: Practice, found: Weights) -> None:
    """The policy as `hf:` reads it: adapters become part of the weights, which get the precision they are used in."""
    path = practice.job.folder.path / POLICY
    model = practice.shim.model.merge_and_unload() if practice.job.recipe.lora else found.model
    model.to(getattr(torch, practice.job.recipe.dtype)).save_pretrained(path)
    found.tokenizer.inner.save_pretrained(path)


async def practise(job: Job) -> None:
    """GRPO through TRL. Raises `InputError`, `Diverged`, and `Interrupted` when it was asked to stop."""
    refuse(job.recipe, job.report_to)
    mine = job.recipe.rollouts
    found = weights(job.policy, torch.float32)
    if torch.accelerator.is_available():
        found.model.to(torch.accelerator.current_accelerator())
    sampler = found.sampler(slots=mine.slots, length=mine.prompt_tokens + mine.response_tokens)
    playing = Playing(Policy(sampler, found.tokenizer, "policy"), job.form, job.supporting, mine, job.scoring)
    practice = practice_of(job, found, playing, sampler.weights_changed)
    await anyio.to_thread.run_sync(practice.run)
    save(practice, found)
