"""Cold start: imitate demonstrations. The loss is over what the demonstrator wrote, nothing else."""

import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

import torch

from synthagent.errors import InputError
from synthagent.schema.record import Record
from synthagent.training.examples import Example, mixed
from synthagent.training.loading import Weights
from synthagent.training.lora import merged
from synthagent.training.master import Master
from synthagent.training.packed import written
from synthagent.training.recipe import Recipe
from synthagent.training.train_folder import MASTER, METRICS, Interrupted, State, TrainFolder, checkpoints, state_of


class SftLine(Record):
    """One line of the `metrics.jsonl` of a cold start."""

    update: int
    """From 1."""
    examples: int
    domains: int
    loss: float
    """Mean negative log-likelihood of a token of the demonstrator's, in nats."""
    grad_norm: float
    lr: float
    learnt: int
    """Tokens computed, context included."""
    seconds: float


def updates_of(examples: Sequence[Example], recipe: Recipe) -> list[list[Example]]:
    """The updates of the whole run: the examples in the recipe's order, domains mixed, epoch after epoch."""
    domains = len({example.domain for example in examples})
    size = recipe.sft.batch or max(domains, 8)
    found: list[list[Example]] = []
    for epoch in range(max(1, round(recipe.epochs))):
        shuffled = list(examples)
        Random(f"{recipe.seed}/{epoch}").shuffle(shuffled)
        found += mixed(shuffled, size)
    return found[: recipe.steps]


@dataclass(frozen=True, slots=True)
class Keeping:
    """Where a cold start keeps its lines and checkpoints."""

    folder: TrainFolder
    recipe: Recipe

    def resumed(self, master: Master) -> int:
        """Updates that are done: the master is brought to where the latest checkpoint stands."""
        found = checkpoints(self.folder.path)
        if not found:
            return 0
        master.load(found[-1] / MASTER)
        return state_of(found[-1]).step

    def save(self, master: Master, update: int) -> None:
        """A checkpoint after so many updates."""
        master.save(self.folder.checkpoint(update) / MASTER)
        self.folder.finish_checkpoint(State(step=update), self.recipe.keep)


def imitate(
    weights: Weights, examples: Sequence[Example], recipe: Recipe, sink: Callable[[SftLine], None],
    stop: Callable[[], None] = lambda: None, keeping: Keeping | None = None,
) -> Master:  # fmt: skip
    """Trains the model in place, and returns its master weights. `stop` is called between examples and may raise.

    With `keeping`, goes on from its latest checkpoint. Raises `InputError` for no examples, and `Interrupted` when it
    was asked to stop: a checkpoint of the last whole update is written before.
    """
    if not examples:
        raise InputError("no demonstration is left to learn from", way_out="lower the threshold, or make more")
    updates = updates_of(examples, recipe)
    master = Master(weights.model, recipe.optimiser)
    done = keeping.resumed(master) if keeping else 0
    weights.model.train()
    for number, update in enumerate(updates[done:], start=done + 1):
        torch.manual_seed(recipe.seed * 1_000_003 + number)
        try:
            line = _update(weights, master, update, number, len(updates), stop)
        except Interrupted:
            if keeping:
                keeping.save(master, number - 1)
            raise
        if keeping:
            keeping.folder.add(METRICS, line)
            if number % recipe.save_every == 0 or number == len(updates):
                keeping.save(master, number)
        sink(line)
    weights.model.eval()
    return master


def _update(
    weights: Weights, master: Master, update: Sequence[Example], number: int, total: int, stop: Callable[[], None]
) -> SftLine:  # fmt: skip
    begun = time.monotonic()
    count = sum(sum(example.tokens.mask) for example in update)
    loss = 0.0
    master.drop()
    for example in update:
        stop()
        loss += _backward(weights, example, count)
        master.collect()
    norm, rate = master.update(total)
    return SftLine(
        update=number, examples=len(update), domains=len({example.domain for example in update}), loss=loss,
        grad_norm=norm, lr=rate, learnt=sum(len(example.tokens.ids) for example in update),
        seconds=time.monotonic() - begun,
    )  # fmt: skip


def _backward(weights: Weights, example: Example, count: int) -> float:
    """One example's share of an update's loss, by all of the update's tokens."""
    tokens, start = example.tokens, example.tokens.prompt
    found = written(weights.model, tokens.ids[:start], [tokens.ids[start:]], [tokens.mask[start:]])
    loss = -found.logprobs.sum() / count
    loss.backward()  # type: ignore[no-untyped-call]
    return float(loss.detach())


def save(weights: Weights, path: Path) -> None:
    """A plain model and its tokenizer, as transformers saves them: `hf:PATH` reads it. The last thing done with it."""
    plain = merged(weights.adapters) if weights.adapters is not None else weights.model
    half = path.with_name(f"{path.name}.tmp")
    plain.save_pretrained(half)
    weights.tokenizer.inner.save_pretrained(half)
    if path.exists():
        shutil.rmtree(path)
    half.rename(path)
