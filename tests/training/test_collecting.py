"""Which tasks come next, and what is made of what they earned."""

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthagent.errors import Blame, InputError, UserFailed
from synthagent.rollouts.group import Outcome
from synthagent.schema.episodes import Stop
from synthagent.schema.scores import Unscored
from synthagent.schema.tasks import Provenance
from synthagent.simulation.episode import Cast, facts_user, prepare
from synthagent.training.collecting import Curriculum, Playing, Try, TryGroup, collect, kind_of, roll_groups
from synthagent.training.policy import Policy
from synthagent.training.recipe import Rollouts, Selection
from synthagent.training.sampling import Sampled
from synthagent.training.tokens import Tokens
from tests.choices import Presses, choice, shown
from tests.training.test_tokens import tokenizer

TASKS = [
    choice(f"thing {n}").model_copy(update={"provenance": Provenance(domain=f"d{n % 4}", templates=("t",))})
    for n in range(12)
]
THINKING = [choice(f"sum {n}").model_copy(update={"provenance": Provenance(features=("reasoning",))}) for n in range(5)]
OUTCOME = shown(TASKS[0], Presses("a"))


def earned(task, *rewards):
    """A group whose tries earned so much; None for one that nobody could score."""

    def one(reward):
        score = OUTCOME.score
        unscored = Unscored(task_id=task.id, sample=0, rubric_id="r", blame=Blame.INFRASTRUCTURE, reason="network")
        scored = score.model_copy(update={"reward": reward, "blame": Blame.AGENT if reward == 0 else None})
        return Try(
            Outcome(OUTCOME.episode, unscored if reward is None else scored), Tokens((1, 2), (0, 1), (0.0, -0.1))
        )

    return TryGroup(task, tuple(map(one, rewards)))


# ---- which tasks come next


@given(st.lists(st.integers(1, 7), min_size=1, max_size=12), st.integers(0, 3), st.integers(1, 4))
def test_no_task_comes_twice_before_all_have_come(counts, seed, pool):
    curriculum = Curriculum(TASKS, Selection(low=0.2, high=0.8, pool=pool), seed)
    drawn = [task.id for turn, count in enumerate(counts) for task in curriculum.draw(count, str(turn))]
    assert len(drawn) == sum(counts)
    for start in range(0, len(drawn), len(TASKS)):
        part = drawn[start : start + len(TASKS)]
        assert len(set(part)) == len(part)


@given(
    st.lists(st.tuples(st.integers(1, 4), st.lists(st.sampled_from([0.0, 0.5, 1.0, None]), min_size=2, max_size=3))),
    st.integers(0, 20), st.sampled_from([0.0, 0.3, 1.0]),
)  # fmt: skip
def test_a_state_is_everything_that_matters(steps, cut, share):
    """One that is taken up where another stood goes on as that one does."""
    tasks = [*TASKS, *THINKING]
    one, other = (Curriculum(tasks, Selection(low=0.3, high=0.7), 1, share) for _ in range(2))
    for turn, (count, rewards) in enumerate(steps):
        if turn == min(cut, len(steps) - 1):
            other.restore(one.state())
            assert other.state() == one.state()
        drawn = one.draw(count, str(turn))
        if turn >= min(cut, len(steps) - 1):
            assert other.draw(count, str(turn)) == drawn
        for task in drawn:
            one.saw(earned(task, *rewards))
            other.saw(earned(task, *rewards))


def test_tasks_that_earn_what_lies_in_the_band_come_first():
    curriculum = Curriculum(TASKS, Selection(low=0.2, high=0.8, pool=100), 0)
    for task, reward in zip(TASKS[:4], (0.0, 0.5, 1.0, 0.4), strict=True):  # one of each kind
        curriculum.saw(earned(task, reward, reward))
    first = curriculum.draw(6, "first")
    assert {task.provenance.domain for task in first} == {"d1", "d3"}, "others are judged by their kind"


def test_what_was_never_played_is_thought_to_lie_in_the_band():
    curriculum = Curriculum(TASKS, Selection(low=0.2, high=0.8, pool=100), 0)
    for task in TASKS[:3]:
        curriculum.saw(earned(task, 0.0, 0.0))
    assert {task.provenance.domain for task in curriculum.draw(3, "first")} == {"d3"}


def test_a_group_without_a_reward_says_nothing_of_its_kind():
    curriculum = Curriculum(TASKS, Selection(), 0)
    before = curriculum.state()
    curriculum.saw(earned(TASKS[0], None, None))
    assert curriculum.state() == before


def test_tasks_of_one_kind_are_of_one_domain_goal_and_twin():
    assert kind_of(TASKS[0]) == kind_of(TASKS[4]) != kind_of(TASKS[1])
    assert kind_of(THINKING[0]) == "sum 0", "what tells nothing of itself is its family's"


@given(st.lists(st.integers(1, 9), min_size=1, max_size=12), st.sampled_from([0.0, 0.21, 0.5, 1.0]))
def test_the_share_of_reasoning_tasks_is_kept_to_within_one(counts, share):
    curriculum = Curriculum([*TASKS, *THINKING], Selection(), 0, share)
    thinking = total = 0
    for turn, count in enumerate(counts):
        drawn = curriculum.draw(count, str(turn))
        total += count
        thinking += sum("reasoning" in task.provenance.features for task in drawn)
        assert len(drawn) == count
        assert abs(thinking - share * total) <= 1


@pytest.mark.parametrize(("tasks", "share"), [([], 0.0), (TASKS, 0.2), (THINKING, 0.2), (THINKING, 0.0)])
def test_without_tasks_of_a_kind_that_is_wanted_there_is_no_curriculum(tasks, share):
    with pytest.raises(InputError):
        Curriculum(tasks, Selection(), 0, share)


# ---- what is played


class Writes:
    """A sampler that writes the same turn for ever, and remembers under which seeds."""

    length = 100_000

    def __init__(self, text):
        self._text, self.seeds = text, []

    async def sample(self, key, ids, wish):
        self.seeds.append(wish.seed)
        written = [*tokenizer("chatml").encode(self._text), *tokenizer("chatml").ends]
        return Sampled(tuple(written), (-0.1,) * len(written), True)

    def release(self, key):
        """Nothing is kept."""


def playing(text, supporting=None, **changes):
    def cast(stage, _, agent):
        return Cast(agent, facts_user(stage), "text", "hermes")

    sampler = Writes(text)
    rollouts = Rollouts(**{"group": 3, "tasks": 2, "turns": 2, "slots": 4} | changes)
    return Playing(Policy(sampler, tokenizer("chatml")), "hermes", supporting or cast, rollouts), sampler


PRESS = '<tool_call>{"name": "press", "arguments": {"side": "b"}}</tool_call>'


def test_a_try_that_could_be_scored_has_its_reward_and_its_tokens():
    player, _ = playing(PRESS)
    found = anyio.run(player.play, prepare(choice()), 0, 1)
    assert (found.reward, found.outcome.episode.stop) == (1.0, Stop.TURN_LIMIT)
    assert sum(found.tokens.mask) == found.outcome.episode.usage.completion


def test_a_try_that_could_not_be_scored_has_no_reward():
    class Mute:
        name = "mute"

        async def reply(self, *_):
            raise UserFailed("says nothing")

    player, _ = playing("Which side?", lambda stage, _, agent: Cast(agent, Mute(), "text", "hermes"))
    found = anyio.run(player.play, prepare(choice()), 0, 1)
    assert isinstance(found.outcome.score, Unscored)
    assert found.reward is None


def test_a_try_in_which_nothing_was_written_has_neither():
    def nobody(*_):
        raise RuntimeError("no cast")

    player, _ = playing(PRESS, nobody)
    found = anyio.run(player.play, prepare(choice()), 0, 1)
    assert (found.reward, found.tokens, found.outcome.episode.stop) == (None, None, Stop.FAILED)


def test_a_zero_that_another_caused_is_no_reward():
    group = earned(TASKS[0], 0.0, 1.0)
    zero = group.tries[0].outcome
    theirs = Try(Outcome(zero.episode, zero.score.model_copy(update={"blame": Blame.USER})), group.tries[0].tokens)
    assert (group.tries[0].reward, theirs.reward) == (0.0, None)


def test_a_task_that_comes_again_in_a_step_gets_further_samples():
    player, sampler = playing(PRESS)
    groups = anyio.run(roll_groups, [choice(), choice()], player, 1)
    samples = [[one.outcome.score.sample for one in group.tries] for group in groups]
    assert samples == [[0, 1, 2], [3, 4, 5]]
    assert len(set(sampler.seeds)) == len(sampler.seeds)


def test_groups_that_teach_nothing_are_played_in_vain_and_drawn_again_as_often_as_the_recipe_says():
    player, _ = playing(PRESS)
    curriculum = Curriculum([choice("one"), choice("two")], Selection(redraws=2), 0)
    found = anyio.run(collect, curriculum, player, Selection(redraws=2), 0, 1)
    assert (len(found.groups), len(found.played), found.redrawn, found.zero_variance) == (0, 6, 4, 1.0)
