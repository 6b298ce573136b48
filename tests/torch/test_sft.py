"""A cold start imitates what earned its reward, and nothing that its demonstrator did not write."""

from collections import Counter
from itertools import islice

import pytest
import torch

from synthagent.errors import InputError
from synthagent.simulation.episode import prepare
from synthagent.simulation.scripted_agents import scripted
from synthagent.synthesis.personas import shipped as personas
from synthagent.synthesis.procedural.domain import shipped
from synthagent.synthesis.procedural.teacher import families
from synthagent.training.examples import Example, tokens_of
from synthagent.training.loading import weights
from synthagent.training.lora import adapted
from synthagent.training.recipe import Lora, Optimiser, Recipe, Sft
from synthagent.training.sft import imitate, save, updates_of
from tests.choices import FORM, choice, examples, shown

QUICK = Recipe(method="sft", dtype="float32", epochs=4, optimiser=Optimiser(lr=3e-3))


@pytest.fixture(scope="module")
def demonstrations(tiny):
    """Real tasks of every shipped domain, acted out."""
    tokenizer = weights(tiny, torch.float32).tokenizer
    tasks = [task for name in sorted(shipped()) for task in _some(name, 2)]
    return [
        Example(task, 0, tokens_of(task, shown(task, scripted("careful", prepare(task))).episode, tokenizer, FORM))
        for task in tasks
    ]


def _some(domain, count):
    made = families({domain: shipped()[domain]}, personas(), 3)
    return list(islice((task for family in made for task in family.tasks), count))


def test_on_real_demonstrations_the_loss_falls(tiny, demonstrations):
    shortest = sorted(demonstrations, key=lambda example: len(example.tokens.ids))[:2]
    lines = []
    recipe = QUICK.model_copy(update={"epochs": 12.0, "sft": Sft(batch=2)})
    imitate(weights(tiny, torch.float32), shortest, recipe, lines.append)
    assert len(lines) == 12
    assert lines[-1].loss < lines[0].loss - 1.0


def test_every_domain_is_in_each_update_for_as_long_as_it_lasts(demonstrations):
    domains = {example.domain for example in demonstrations}
    assert len(domains) == 13
    updates = updates_of(demonstrations, Recipe(method="sft"))
    assert [len({example.domain for example in update}) for update in updates] == [13, 13]
    used = Counter(id(example) for update in updates for example in update)
    assert set(used.values()) == {1}


def test_epochs_use_every_demonstration_as_often_in_another_order(demonstrations):
    updates = updates_of(demonstrations, Recipe(method="sft", epochs=2, sft=Sft(batch=len(demonstrations))))
    assert [sorted(map(id, update)) for update in updates] == [sorted(map(id, demonstrations))] * 2
    assert list(map(id, updates[0])) != list(map(id, updates[1]))
    assert len(updates_of(demonstrations, Recipe(method="sft", epochs=9, steps=2))) == 2


def test_only_what_the_demonstrator_wrote_carries_loss(tiny):
    """The loss is the mean over the turn, as any trainer would compute it, and no token of the opening is in it."""
    found = weights(tiny, torch.float32)
    [example, _] = examples(found.tokenizer, [choice()])
    lines = []
    imitate(found, [example], QUICK.model_copy(update={"steps": 1}), lines.append)
    tokens, start = example.tokens, weights(tiny, torch.float32)
    with torch.no_grad():
        spread = torch.log_softmax(start.model(input_ids=torch.tensor([tokens.ids])).logits[0], -1)
    own = [-float(spread[n - 1, tokens.ids[n]]) for n, bit in enumerate(tokens.mask) if bit]
    assert lines[0].loss == pytest.approx(sum(own) / len(own), abs=1e-4)
    assert lines[0].learnt == len(tokens.ids)


def test_adapters_imitate_too_and_what_is_saved_is_a_plain_model(tiny, tmp_path):
    from dataclasses import replace

    found = weights(tiny, torch.float32)
    found = replace(found, adapters=adapted(found.model, Lora(rank=4), 0))
    lines = []
    recipe = QUICK.model_copy(update={"epochs": 10.0, "optimiser": Optimiser(lr=2e-2)})
    imitate(found, examples(found.tokenizer, [choice()]), recipe, lines.append)
    assert lines[-1].loss < lines[0].loss
    save(found, tmp_path / "policy")
    names = {name for name, _ in weights(tmp_path / "policy", torch.float32).model.named_parameters()}
    assert not any("lora" in name for name in names)


def test_without_demonstrations_there_is_nothing_to_do(tiny):
    with pytest.raises(InputError, match="no demonstration is left"):
        imitate(weights(tiny, torch.float32), [], QUICK, lambda _: None)
