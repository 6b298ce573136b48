"""Passports: what tries at a task come to, what does not count, and which tasks are kept by them."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthagent.audit.passports import (
    BANDS,
    LEARNABLE,
    Passport,
    band_of,
    by_band,
    passport,
    passport_of,
    selected,
    stamped,
    whose,
)
from synthagent.cli.main import select
from synthagent.errors import Blame, InputError
from synthagent.intervals import wilson
from synthagent.schema.scores import Score, Scored, Unscored, Verdict
from synthagent.schema.tasks import Hidden, Task, identified
from synthagent.storage.task_file import read_tasks, write_tasks
from tests.builders import library

AGENT = "openai:tiny@http://127.0.0.1:1/v1"


def scored(reward: float, blame: Blame | None = None) -> Scored:
    whose_fault = blame or (None if reward else Blame.AGENT)
    return Scored(
        task_id="t", sample=0, rubric_id="r", reward=reward, gate=1, n=reward, i=reward,
        subgoals=(Verdict(id="s1", holds=True),), blame=whose_fault,
    )  # fmt: skip


def unscored(blame: Blame) -> Unscored:
    return Unscored(task_id="t", sample=0, rubric_id="r", blame=blame, reason="gone")


def tries(passed: int, failed: int, agent: str = AGENT) -> Passport:
    return passport("t", agent, [scored(1.0)] * passed + [scored(0.5)] * failed)


def task(number: int, family: str = "") -> Task:
    """One of many different tasks."""
    hidden = library().hidden.model_copy(update={"goal": f"Wish number {number}."})
    assert isinstance(hidden, Hidden)
    return identified(library().model_copy(update={"hidden": hidden, "family": family or f"family-{number}"}))


def holding(number: int, passed: int, failed: int, family: str = "", agent: str = AGENT) -> Task:
    """A task with a passport."""
    bare = task(number, family)
    return stamped(bare, passport(bare.id, agent, [scored(1.0)] * passed + [scored(0.5)] * failed))


# ---- a passport


def test_five_passes_in_eight_tries():
    found = tries(5, 3)
    assert (found.task, found.agent, found.n, found.passed, found.unscored) == ("t", AGENT, 8, 5, 0)
    assert (found.rate, found.mean_reward, found.band) == (0.625, 0.8125, "learnable")
    assert (found.low, found.high) == wilson(5, 8)


def test_a_failure_is_never_a_fail():
    lost: list[Score] = [unscored(blame) for blame in Blame]
    found = passport("t", AGENT, [scored(1.0), *lost, scored(0.0)])
    assert (found.n, found.passed, found.unscored) == (2, 1, len(Blame))
    assert found.rate == found.mean_reward == 0.5


@pytest.mark.parametrize("blame", [blame for blame in Blame if blame is not Blame.AGENT])
def test_a_zero_that_is_not_the_agents_does_not_count_either(blame: Blame):
    found = passport("t", AGENT, [scored(1.0), scored(0.0, blame), scored(0.0, Blame.AGENT)])
    assert (found.n, found.unscored, found.rate) == (2, 1, 0.5)


def test_where_no_try_has_a_score_nothing_is_known():
    found = passport("t", AGENT, [unscored(Blame.USER)] * 3)
    assert (found.n, found.unscored, found.rate, found.mean_reward, found.band) == (0, 3, None, None, "unknown")
    assert (found.low, found.high) == (0.0, 1.0)


def test_a_reward_passes_from_the_threshold_on_whatever_was_lost_in_rounding():
    thirds = sum([1 / 3] * 3) - 1e-12
    rewards = [scored(value) for value in (thirds, 1.0, 0.999)]
    assert passport("t", AGENT, rewards).passed == 2
    assert passport("t", AGENT, rewards, threshold=0.5).passed == 3
    assert passport("t", AGENT, [scored(0.5), scored(0.499)], threshold=0.5).passed == 1


@pytest.mark.parametrize(
    ("passed", "failed", "band"),
    [(0, 8, "hard"), (1, 7, "hard"), (1, 4, "learnable"), (17, 3, "learnable"), (7, 1, "easy"), (8, 0, "easy")],
)
def test_tasks_that_are_passed_almost_never_or_almost_always_teach_little(passed: int, failed: int, band: str):
    assert tries(passed, failed).band == band


def test_the_bands_are_counted_and_those_that_are_empty_are_named_too():
    assert by_band([tries(8, 0), tries(4, 4), tries(7, 0)]) == {"hard": 0, "learnable": 1, "easy": 2, "unknown": 0}
    assert set(by_band([])) == set(BANDS)


@settings(deadline=None)
@given(st.lists(st.sampled_from([0.0, 0.25, 1.0, None]), max_size=12), st.randoms(use_true_random=False))
def test_the_order_of_tries_does_not_matter_and_the_figures_add_up(rewards, random):
    scores = [unscored(Blame.TOOLS) if reward is None else scored(reward) for reward in rewards]
    found = passport("t", AGENT, scores)
    random.shuffle(scores)
    assert passport("t", AGENT, scores) == found
    assert found.n + found.unscored == len(rewards)
    assert found.band == band_of(found.rate)
    assert found.rate is None or found.low <= found.rate <= found.high


# ---- in a task


def test_a_task_keeps_its_id_and_the_passports_of_others():
    bare = task(1)
    one = stamped(bare, passport(bare.id, "one", [scored(1.0)]))
    both = stamped(one, passport(bare.id, "two", [scored(0.0)]))
    assert both.id == identified(both).id == bare.id
    assert {agent: passport_of(both, agent).rate for agent in ("one", "two")} == {"one": 1.0, "two": 0.0}
    again = stamped(both, passport(bare.id, "one", [scored(0.0)]))
    assert list(again.provenance.passports) == ["one", "two"]
    assert passport_of(again, "one").rate == 0.0


def test_a_passport_survives_the_task_file(tmp_path):
    file = tmp_path / "tasks.jsonl"
    given_ = [holding(1, 3, 5), stamped(task(2), passport(task(2).id, AGENT, [unscored(Blame.USER)]))]
    write_tasks(file, given_)
    read = list(read_tasks(file))
    assert read == given_
    assert [passport_of(one, AGENT) for one in read] == [passport_of(one, AGENT) for one in given_]


def test_the_passport_of_a_task_that_was_changed_since_says_nothing():
    old = holding(1, 4, 4)
    new = identified(old.model_copy(update={"hidden": task(2).hidden}))
    assert passport_of(old, AGENT) is not None
    assert passport_of(new, AGENT) is None


def test_what_is_no_passport_is_told_with_its_place():
    bare = task(1)
    strange = bare.model_copy(update={"provenance": bare.provenance.model_copy(update={"passports": {"one": 0.5}})})
    with pytest.raises(InputError, match=rf"task {bare.id}: provenance.passports.one: .*audit passport"):
        passport_of(strange, "one")
    broken = {**tries(1, 1).model_dump(mode="json"), "rate": 7}
    strange = bare.model_copy(update={"provenance": bare.provenance.model_copy(update={"passports": {"one": broken}})})
    with pytest.raises(InputError, match=r"provenance\.passports\.one\.rate"):
        passport_of(strange, "one")


# ---- selecting

SET = [holding(1, 0, 8), holding(2, 4, 4), holding(3, 8, 0), task(4), holding(5, 1, 4)]


def numbers(tasks) -> list[int]:
    return [int(one.hidden.goal.strip(".").split()[-1]) for one in tasks]


def test_tasks_within_the_band_are_kept_in_their_order_its_ends_included():
    found = selected(SET, AGENT, LEARNABLE)
    assert (numbers(found.kept), found.without_passport) == ([2, 5], 1)
    assert numbers(selected(SET, AGENT, (0.0, 1.0)).kept) == [1, 2, 3, 5]
    assert numbers(selected(SET, AGENT, (1.0, 1.0)).kept) == [3]
    assert numbers(selected(SET, AGENT, (0.2, 0.2)).kept) == [5]


def test_mean_rewards_are_another_measure():
    assert numbers(selected(SET, AGENT, (0.5, 0.6), "mean_reward").kept) == [1, 5]


def test_a_passport_without_a_score_is_in_no_band_and_yet_a_passport():
    lost = stamped(task(6), passport(task(6).id, AGENT, [unscored(Blame.TOOLS)]))
    found = selected([lost], AGENT, (0.0, 1.0))
    assert (found.kept, found.without_passport) == ((), 0)


def test_families_stay_whole_when_one_of_them_is_in_the_band():
    twins = [holding(1, 4, 4, "a"), holding(2, 8, 0, "a"), task(3, "a"), holding(4, 8, 0, "b"), holding(5, 0, 8, "b")]
    assert numbers(selected(twins, AGENT, LEARNABLE).kept) == [1]
    whole = selected(twins, AGENT, LEARNABLE, families=True)
    assert (numbers(whole.kept), whole.without_passport) == ([1, 2, 3], 1)


def test_the_agent_need_not_be_named_when_there_is_only_one():
    assert whose(SET) == AGENT
    assert whose(SET, ["elsewhere", AGENT]) == AGENT
    with pytest.raises(InputError, match="synthagent audit passport"):
        whose([task(1)])
    with pytest.raises(InputError, match=f"choose one of {AGENT}, other"):
        whose([*SET, holding(9, 1, 1, agent="other")])
    with pytest.raises(InputError, match=f"'nobody' gave no passport.*{AGENT}"):
        whose(SET, ["nobody"])


def test_the_command_selects_what_the_passports_call_learnable():
    assert select.__defaults__[0] == LEARNABLE
