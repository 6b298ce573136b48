"""The figures of a step: who refused, who only asked, whose fault what earned nothing was."""

import pytest

from synthagent.errors import Blame
from synthagent.rollouts.group import Outcome
from synthagent.schema.scores import Scored, Unscored
from synthagent.simulation.episode import prepare
from synthagent.simulation.scripted_agents import scripted
from synthagent.training.metrics import only_asked, played, refused
from tests.builders import library
from tests.choices import shown


@pytest.fixture(scope="module")
def outcomes():
    """Scripted agent -> what it made of the library task."""
    stage = prepare(library())
    names = ("reference", "refuse", "transfer", "ask-all", "done", "spam", "nothing")
    return {name: shown(library(), scripted(name, stage)) for name in names}


def test_a_refusal_is_the_last_word_to_the_user_or_a_hand_over(outcomes):
    found = {name for name, outcome in outcomes.items() if refused(outcome.episode)}
    assert found == {"refuse", "transfer"}


def test_only_asking_is_asking_without_a_call_that_succeeds(outcomes):
    found = {name for name, outcome in outcomes.items() if only_asked(outcome.episode)}
    assert found == {"ask-all"}


def blamed(outcome, blame):
    return Outcome(outcome.episode, outcome.score.model_copy(update={"reward": 0.0, "blame": blame}))


def lost(outcome):
    score = Unscored(task_id=outcome.score.task_id, sample=0, rubric_id="r", blame=Blame.INFRASTRUCTURE, reason="bug")
    return Outcome(outcome.episode, score)


def test_shares_are_of_all_episodes_and_means_of_those_with_a_reward_that_counts(outcomes):
    good, bad = outcomes["reference"], outcomes["nothing"]
    assert isinstance(good.score, Scored)
    assert (good.score.reward, bad.score.reward, bad.score.blame) == (1.0, 0.0, Blame.AGENT)
    found = played([(good, True), (bad, True), (blamed(bad, Blame.USER), False), (lost(bad), None)])
    assert (found.episodes, found.reward, found.perfect, found.unscored) == (4, 0.5, 0.5, 0.5)
    assert found.blame == {"agent": 0.25, "infrastructure": 0.25, "user": 0.25}
    assert found.gate_violations == 0.0
    assert found.turns == pytest.approx((good.episode.turns + 3 * bad.episode.turns) / 4)


def test_the_exploit_monitor_looks_at_tasks_in_which_nothing_is_forbidden(outcomes):
    good, no = outcomes["reference"], outcomes["refuse"]
    found = played([(no, True), (good, True), (no, False), (no, None)])
    assert (found.refusals, found.refusals_legal) == (0.75, 0.5)
    assert played([(no, False)]).refusals_legal is None


def test_of_nothing_there_are_no_means(outcomes):
    found = played([])
    assert (found.episodes, found.reward, found.refusals_legal, found.unscored, found.blame) == (0, None, None, 1.0, {})
    alone = played([(lost(outcomes["nothing"]), True)])
    assert (alone.reward, alone.gate_violations, alone.unscored) == (None, None, 1.0)
