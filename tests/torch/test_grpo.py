"""Practice moves a model towards what earned more, and only what was earned fairly moves it."""

from dataclasses import replace

import pytest
import torch

from synthagent.errors import Blame
from synthagent.schema.episodes import Stop
from synthagent.schema.scores import Unscored
from synthagent.training.collecting import Try, TryGroup
from synthagent.training.grpo import Learner, even
from synthagent.training.lora import adapted, merged
from synthagent.training.recipe import Lora, Loss, Optimiser, Selection
from tests.choices import choice
from tests.learners import RECIPE, Practice


def practised(folder, right, steps=8, **changes):
    """Mean rewards, step by step."""
    practice = Practice(folder, [choice(right=right)], **changes)
    rewards = []
    for step in range(1, steps + 1):
        found = practice.collect(step)
        rewards.append(practice.reward(found))
        practice.learner.learn(found.groups)
    return practice, rewards


@pytest.mark.parametrize("right", ["a", "b"])
def test_a_model_that_presses_either_side_learns_which_one_pays(undecided, right):
    """Fails if the sign of the advantage is turned round: then the side that pays is unlearnt."""
    _, rewards = practised(undecided, right)
    assert rewards[0] <= 0.7
    assert sum(rewards[-2:]) / 2 >= rewards[0] + 0.15
    assert sum(rewards[-2:]) / 2 >= 0.6


def test_adapters_learn_it_too_and_become_a_plain_model(undecided):
    practice = Practice(undecided, [choice()])
    plain = {name: p.detach().clone() for name, p in practice.weights.model.named_parameters()}
    adapters = adapted(practice.weights.model, Lora(rank=8, alpha=16.0), seed=0)
    learner = Learner(practice.weights.model, RECIPE.model_copy(update={"optimiser": Optimiser(lr=2e-3)}), 100)
    assert learner.master.weights
    assert all("lora_" in name for name in learner.master.weights)
    rewards = []
    for step in range(1, 9):
        found = practice.collect(step)
        rewards.append(practice.reward(found))
        learnt = learner.learn(found.groups)
        assert learnt.gap / max(learnt.compared, 1) < 1e-3, "sampler and trainer are one model"
    assert sum(rewards[-2:]) / 2 >= rewards[0] + 0.15
    ids = torch.tensor([[5, 9, 11]])
    before = practice.weights.model(input_ids=ids).logits
    model = merged(adapters)
    assert {name for name, _ in model.named_parameters()} == set(plain)
    assert torch.allclose(model(input_ids=ids).logits, before, atol=1e-3)
    assert any(not torch.equal(p, plain[name]) for name, p in model.named_parameters())


@pytest.fixture(scope="module")
def group(undecided):
    """Sixteen tries, of which some earned the reward and some did not."""
    [found] = Practice(undecided, [choice()]).collect().played
    assert 0 < sum(reward or 0 for reward in found.rewards) < 16
    return found


def moved(undecided, group, **changes):
    """How one pass over a group moves the weights, and what it was like."""
    practice = Practice(undecided, [choice()], **changes)
    before = {name: w.detach().clone() for name, w in practice.learner.master.weights.items()}
    learnt = practice.learner.learn([group])
    return {name: w.detach() - before[name] for name, w in practice.learner.master.weights.items()}, learnt


def alike(one, two):
    return all(torch.allclose(one[name], two[name], atol=1e-6) for name in one)


def unscored(one):
    score = one.outcome.score
    blank = Unscored(
        task_id=score.task_id, sample=score.sample, rubric_id="r", blame=Blame.INFRASTRUCTURE, reason="network"
    )
    return Try(replace(one.outcome, score=blank), one.tokens)


def test_what_is_unscored_is_in_no_baseline_and_no_loss(undecided, group):
    lost = TryGroup(group.task, (unscored(group.tries[0]), *group.tries[1:]))
    absent = TryGroup(group.task, group.tries[1:])
    one, first = moved(undecided, lost)
    two, second = moved(undecided, absent)
    assert alike(one, two)
    assert first.tokens == second.tokens
    zero, _ = moved(undecided, group)
    assert not alike(one, zero)


def test_a_group_computed_together_moves_the_weights_as_one_computed_apart(undecided, group):
    one, together = moved(undecided, group)
    two, apart = moved(undecided, group, packed=False)
    assert all(torch.allclose(one[name], two[name], atol=1e-4) for name in one)
    assert together.loss == pytest.approx(apart.loss, abs=1e-4)
    assert together.computed < apart.computed


def test_before_the_first_update_sampler_and_trainer_agree(undecided, group):
    _, learnt = moved(undecided, group)
    assert learnt.compared > 0
    assert learnt.gap / learnt.compared < 1e-4


def test_episodes_cut_at_a_limit_carry_no_loss_if_the_recipe_says_so_yet_count_in_the_mean(undecided, group):
    assert {one.outcome.episode.stop for one in group.tries} <= {Stop.TURN_LIMIT, Stop.TOKEN_LIMIT}
    moves, learnt = moved(undecided, group, loss=Loss(mask_overlong=True))
    assert (learnt.tokens, learnt.norm) == (0, 0.0)
    assert all(not delta.any() for delta in moves.values())
    first = group.tries[0]
    whole = first.outcome.episode.model_copy(update={"stop": Stop.USER_DONE})
    ended = Try(replace(first.outcome, episode=whole), first.tokens)
    mixed = TryGroup(group.task, (ended, *group.tries[1:]))
    moves, learnt = moved(undecided, mixed, loss=Loss(mask_overlong=True))
    assert learnt.tokens == sum(first.tokens.mask)


def test_averaging_by_sequence_is_not_averaging_by_token(undecided, group):
    lengths = {sum(one.tokens.mask) for one in group.tries}
    assert len(lengths) > 1
    _, by_token = moved(undecided, group)
    _, by_sequence = moved(undecided, group, loss=Loss(averaging="sequence"))
    assert by_token.loss != pytest.approx(by_sequence.loss, abs=1e-6)


def test_a_divergence_weight_pulls_towards_the_start(undecided):
    """Trained hard and then left without rewards that differ, a held model goes back and a free one stays."""
    apart = {}
    for kl in (0.0, 1.0):
        practice = Practice(undecided, [choice()], loss=Loss(kl=kl))
        for step in range(1, 5):
            learnt = practice.learner.learn(practice.collect(step).groups)
        start = Practice(undecided, [choice()]).learner.master.weights
        apart[kl] = sum(
            float((w - start[name]).detach().pow(2).sum()) for name, w in practice.learner.master.weights.items()
        )
        assert (learnt.kl > 0) == (kl > 0)
    assert apart[1.0] < apart[0.0]


def test_groups_that_teach_nothing_are_drawn_again_and_counted(tiny):
    """A model of random weights earns nothing: every group is alike."""
    practice = Practice(tiny, [choice()], selection=Selection(redraws=2))
    found = practice.collect()
    assert (len(found.groups), len(found.played), found.redrawn, found.zero_variance) == (0, 3, 2, 1.0)
    samples = [one.outcome.score.sample for group in found.played for one in group.tries]
    assert samples == list(range(3 * 16)), "the same task again is not the same tries again"
    before = {name: w.detach().clone() for name, w in practice.learner.master.weights.items()}
    learnt = practice.learner.learn(found.groups)
    assert (learnt.norm, practice.learner.master.updates) == (0.0, 1)
    assert all(torch.equal(w, before[name]) for name, w in practice.learner.master.weights.items())


def test_minibatches_are_updates_of_their_own(undecided, group):
    practice = Practice(undecided, [choice()], optimiser=Optimiser(lr=1e-4, minibatch=1))
    learnt = practice.learner.learn([group, group, group])
    assert (learnt.updates, practice.learner.master.updates) == (3, 3)


@pytest.mark.parametrize(
    ("count", "most", "sizes"), [(5, 4, [2, 3]), (8, 4, [4, 4]), (1, 4, [1]), (0, 4, []), (3, None, [3])]
)
def test_no_update_is_made_of_a_small_rest(count, most, sizes):
    assert [len(part) for part in even(list(range(count)), most)] == sizes
