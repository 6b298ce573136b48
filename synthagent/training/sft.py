"""Cold start: imitate demonstrations. The loss is over what the demonstrator wrote, nothing else."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random

import torch

from synthagent.errors import InputError
from synthagent.schema.record import Record
from synthagent.training.examples import Example, mixed
from synthagent.training.loading import Weights
from synthagent.training.master import Master
from synthagent.training.packed import written
from synthagent.training.recipe import Recipe


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


def imitate(
    weights: Weights, examples: Sequence[Example], recipe: Recipe, sink: Callable[[SftLine], None],
    stop: Callable[[], None] = lambda: None,
) -> Master:  # fmt: skip
    """Trains the model in place, and returns its master weights. `stop` is called between examples and may raise.

    Raises `InputError` for no examples.
    """
    if not examples:
        raise InputError("no demonstration is left to learn from", way_out="lower the threshold, or make more")
    torch.manual_seed(recipe.seed)
    updates = updates_of(examples, recipe)
    master = Master(weights.model, recipe.optimiser)
    weights.model.train()
    for number, update in enumerate(updates, start=1):
        begun = time.monotonic()
        count = sum(sum(example.tokens.mask) for example in update)
        loss = 0.0
        for example in update:
            stop()
            loss += _backward(weights, example, count)
            master.collect()
        norm, rate = master.update(len(updates))
        learnt = sum(len(example.tokens.ids) for example in update)
        domains = len({example.domain for example in update})
        sink(
            SftLine(
                update=number, examples=len(update), domains=domains, loss=loss, grad_norm=norm, lr=rate,
                learnt=learnt, seconds=time.monotonic() - begun,
            )
        )  # fmt: skip
    weights.model.eval()
    return master


def _backward(weights: Weights, example: Example, count: int) -> float:
    """One example's share of an update's loss, by all of the update's tokens."""
    tokens, start = example.tokens, example.tokens.prompt
    found = written(weights.model, tokens.ids[:start], [tokens.ids[start:]], [tokens.mask[start:]])
    loss = -found.logprobs.sum() / count
    loss.backward()  # type: ignore[no-untyped-call]
    return float(loss.detach())


def save(weights: Weights, path: Path) -> None:
    """The model and its tokenizer, as transformers saves them: `hf:PATH` reads it."""
    weights.model.save_pretrained(path)
    weights.tokenizer.inner.save_pretrained(path)
