"""GRPO in one process: our own learner, beside the adapters to other trainers.

What a step does: groups of episodes (`collecting`), advantages, one pass over the groups for each update, AdamW on
float32 weights. A group's opening is computed once (`packed`).
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from synthagent.schema.tasks import Task
from synthagent.training.advantages import advantages
from synthagent.training.collecting import Collected, Curriculum, Playing, Try, TryGroup, collect
from synthagent.training.heldout import hold_out
from synthagent.training.hf_model import HFModel
from synthagent.training.losses import grpo, weights
from synthagent.training.master import Master
from synthagent.training.metrics import CUT, StepLine, played
from synthagent.training.packed import Written, written
from synthagent.training.recipe import Recipe
from synthagent.training.train_folder import (
    HELDOUT,
    MASTER,
    METRICS,
    Interrupted,
    State,
    TrainFolder,
    checkpoints,
    state_of,
)

PACK = 8192
"""Tokens of one backward pass at most, unless a single episode is longer."""


@dataclass
class Learnt:
    """What one step of learning was like; sums over its tokens until `means` is asked for."""

    loss: float = 0.0
    entropy: float = 0.0
    kl: float = 0.0
    clipped: float = 0.0
    tokens: int = 0
    gap: float = 0.0
    compared: int = 0
    computed: int = 0
    norm: float = 0.0
    lr: float = 0.0
    updates: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Lesson:
    """An episode to be learnt from, and how good it was."""

    one: Try
    advantage: float


@dataclass
class Learner:
    """Moves a model towards what earned more."""

    model: Any
    recipe: Recipe
    updates: int
    """Of the whole run, for the decay of the learning rate."""
    stop: Callable[[], None] = lambda: None
    """Called until the weights first move in a step; may raise. Half a step is not to be gone on from."""
    master: Master = field(init=False)
    reference: Any = field(init=False, default=None)

    def __post_init__(self) -> None:
        self.master = Master(self.model, self.recipe.optimiser)
        if self.recipe.loss.kl:
            self.reference = deepcopy(self.model).requires_grad_(False)

    def learn(self, groups: Sequence[TryGroup]) -> Learnt:
        """One pass over the groups of a step."""
        begun = time.monotonic()
        found = Learnt()
        for number, part in enumerate(even(groups, self.recipe.optimiser.minibatch)):
            self._update([self._lessons(group) for group in part], found, fresh=number == 0)
        if not groups:  # nothing to learn, yet a step of the schedule
            found.norm, found.lr = self.master.update(self.updates)
        found.seconds = time.monotonic() - begun
        return found

    def _lessons(self, group: TryGroup) -> list[Lesson]:
        """What of a group carries loss."""
        worth = advantages(group.rewards, normalised=self.recipe.loss.normalised)
        overlong = CUT if self.recipe.loss.mask_overlong else ()
        return [
            Lesson(one, advantage)
            for one, advantage in zip(group.tries, worth, strict=True)
            if advantage is not None and one.outcome.episode.stop not in overlong
        ]

    def _update(self, groups: Sequence[list[Lesson]], found: Learnt, *, fresh: bool) -> None:
        tokens = sum(_length(lesson.one) for group in groups for lesson in group)
        episodes = sum(len(group) for group in groups)
        alone = self.recipe.optimiser.minibatch is None
        self.master.drop()
        for group in groups:
            # Without a divergence to hold, what has no advantage has no gradient.
            taken = [lesson for lesson in group if lesson.advantage or self.recipe.loss.kl]
            for pack in self._packs(taken):
                if found.updates == 0:
                    self.stop()
                loss = self._loss(pack, tokens, episodes, found, fresh=fresh, alone=alone)
                loss.backward()  # type: ignore[no-untyped-call]
                self.master.collect()
        norm, found.lr = self.master.update(self.updates)
        found.norm = max(found.norm, norm)
        found.updates += 1

    def _packs(self, lessons: Sequence[Lesson]) -> Iterator[list[Lesson]]:
        """Lessons that are computed together."""
        pack: list[Lesson] = []
        size = 0
        for lesson in lessons:
            tokens = lesson.one.tokens
            assert tokens is not None
            length = len(tokens.ids) - tokens.prompt
            if pack and (not self.recipe.packed or size + length > PACK):
                yield pack
                pack, size = [], 0
            pack.append(lesson)
            size += length
        if pack:
            yield pack

    def _loss(
        self, pack: Sequence[Lesson], tokens: int, episodes: int, found: Learnt, *, fresh: bool, alone: bool
    ) -> Tensor:  # fmt: skip
        now = self._written(self.model, pack)
        sampled = _sampled(pack).to(now.logprobs.device)
        # With one update a step the policy that sampled is the one that learns: the ratio is 1 and has a gradient.
        old = now.logprobs.detach() if alone else sampled
        reference = None
        if self.reference is not None:
            with torch.no_grad():
                reference = self._written(self.reference, pack).logprobs
        worth = torch.tensor([lesson.advantage for lesson in pack], device=old.device)[now.rows]
        per_token = grpo(now.logprobs, old, worth, self.recipe.loss, reference)
        weighted = per_token.loss * weights(now.rows, self.recipe.loss.averaging, tokens, episodes)
        loss = weighted.sum()
        with torch.no_grad():
            found.loss += float(loss)
            found.entropy += float(now.entropies.sum())
            found.kl += float(per_token.divergence.sum())
            found.clipped += float(per_token.clipped.sum())
            found.tokens += len(now.logprobs)
            if fresh:
                found.gap += float((now.logprobs - sampled).abs().sum())
                found.compared += len(sampled)
            found.computed += _computed(pack)
        return loss

    def _written(self, model: Any, pack: Sequence[Lesson]) -> Written:
        taken = [lesson.one.tokens for lesson in pack if lesson.one.tokens is not None]
        start = taken[0].prompt
        ends, masks = [one.ids[start:] for one in taken], [one.mask[start:] for one in taken]
        found = written(model, taken[0].ids[:start], ends, masks, self.recipe.rollouts.temperature)
        return replace(found, rows=found.rows.to(found.logprobs.device))


def even(groups: Sequence[TryGroup], most: int | None) -> Iterator[Sequence[TryGroup]]:
    """Parts of at most so many groups, about equal: a rest of one group would move the weights as far as a whole."""
    parts = -(-len(groups) // most) if most else min(len(groups), 1)
    for number in range(parts):
        yield groups[number * len(groups) // parts : (number + 1) * len(groups) // parts]


def _length(one: Try) -> int:
    return sum(one.tokens.mask) if one.tokens else 0


def _computed(pack: Sequence[Lesson]) -> int:
    taken = [lesson.one.tokens for lesson in pack if lesson.one.tokens is not None]
    return taken[0].prompt + sum(len(one.ids) - one.prompt for one in taken)


def _sampled(pack: Sequence[Lesson]) -> Tensor:
    """Log-probabilities of what was written, under the generator."""
    return torch.tensor(
        [
            logprob
            for lesson in pack
            if lesson.one.tokens is not None
            for logprob, bit in zip(lesson.one.tokens.logprobs, lesson.one.tokens.mask, strict=True)
            if bit
        ]
    )


@dataclass(frozen=True, slots=True)
class Run:
    """Everything a run needs."""

    learner: Learner
    sampler: HFModel
    playing: Playing
    curriculum: Curriculum
    recipe: Recipe
    steps: int
    folder: TrainFolder
    heldout: Mapping[str, Sequence[Task]]
    stop: Callable[[], None]
    """Called often; raises `Interrupted` when the run is to stop."""
    tell: Callable[[StepLine], None] = lambda _: None


async def train(run: Run) -> None:
    """Steps until the recipe's last, from the latest checkpoint if there is one.

    Raises `Interrupted` when it was asked to stop: a checkpoint of the last whole step is written before.
    """
    at = _resumed(run)
    step, checked = at.step, at.checked
    while True:
        if not checked:
            await _check(run, step)
        if step and (step % run.recipe.save_every == 0 or step == run.steps):
            _save(run, step)
        if step >= run.steps:
            return
        before = run.curriculum.state()
        try:
            line = await _step(run, step + 1)
        except Interrupted:
            run.curriculum.restore(before)
            _save(run, step)
            raise
        step += 1
        run.folder.add(METRICS, line)
        run.tell(line)
        every = run.recipe.checking.every
        checked = not (step == run.steps or (every and step % every == 0))


def _resumed(run: Run) -> State:
    """Where to go on from."""
    found = checkpoints(run.folder.path)
    if not found:
        return State(step=0, checked=False)
    state = state_of(found[-1])
    run.learner.master.load(found[-1] / MASTER)
    run.curriculum.restore(state.curriculum)
    return state


def _save(run: Run, step: int, *, checked: bool = True) -> None:
    path = run.folder.checkpoint(step)
    run.learner.master.save(path / MASTER)
    state = State(step=step, curriculum=run.curriculum.state(), checked=checked)
    run.folder.finish_checkpoint(state, run.recipe.keep)


async def _check(run: Run, step: int) -> None:
    """Held-out tasks, if there are any."""
    if not run.heldout:
        return
    run.sampler.weights_changed()  # what the cache holds depends on what was played before: begin alike
    try:
        lines = await hold_out(run.heldout, run.playing, run.recipe.checking, run.recipe.seed, step, run.stop)
    except Interrupted:
        _save(run, step, checked=False)
        raise
    for line in lines:
        run.folder.add(HELDOUT, line)


async def _step(run: Run, step: int) -> StepLine:
    sampled = run.sampler.sampled
    run.sampler.weights_changed()
    collected = await collect(run.curriculum, run.playing, run.recipe.selection, run.recipe.seed, step, run.stop)
    learnt = run.learner.learn(collected.groups)
    for group in collected.played:
        for one in group.tries:
            run.folder.add_try(step, one.outcome)
    return step_line(step, collected, learnt, run.sampler.sampled - sampled)


def step_line(step: int, collected: Collected, learnt: Learnt, generated: int) -> StepLine:
    """The figures of a step."""
    outcomes = [(one.outcome, group.task.provenance.legal) for group in collected.played for one in group.tries]
    tokens = max(learnt.tokens, 1)
    return StepLine(
        step=step,
        played=played(outcomes),
        groups=len(collected.groups),
        zero_variance=collected.zero_variance,
        redrawn=collected.redrawn,
        loss=learnt.loss / max(learnt.updates, 1),
        entropy=learnt.entropy / tokens,
        kl=learnt.kl / tokens,
        clipped=learnt.clipped / tokens,
        logprob_gap=learnt.gap / max(learnt.compared, 1),
        grad_norm=learnt.norm,
        lr=learnt.lr,
        generated=generated,
        generating=collected.seconds,
        learnt=learnt.computed,
        learning=learnt.seconds,
    )
