"""Whose fault a zero is: the agent's, unless a user that is a model kept it from doing better."""

import pytest

from synthagent.errors import Blame
from synthagent.evaluation.report import lines
from synthagent.rollouts.group import Group, Outcome
from synthagent.schema.episodes import Episode, Stop
from synthagent.schema.scores import Scored, Unscored
from synthagent.scoring.blame import Cause, cause_of
from synthagent.scoring.scorer import Scoring, score
from synthagent.storage.tables import EpisodeRow

MODEL = "openai:someone"
RENEW_L82 = {"loan_id": "L-82", "new_due": "2031-05-23"}


def zero(found) -> Cause:
    """Why a score is zero."""
    assert isinstance(found, Scored), found
    assert found.reward == 0
    assert found.blame is not None and found.reason
    return Cause(found.blame, found.reason)


def withheld(tale):
    """The agent asks for a name and is not told."""
    return tale.tell("What name is on the card?", "That is none of your business.", heard="question")


def test_doing_nothing_is_the_agents_own_doing(tale):
    assert zero(tale.score()) == Cause(Blame.AGENT, "did_nothing")
    assert zero(tale.answer("Goodbye.").score(user=MODEL)) == Cause(Blame.AGENT, "did_nothing")


@pytest.mark.parametrize("stop", [stop for stop in Stop if stop not in (Stop.FAILED, Stop.TIME_LIMIT)])
def test_else_it_is_how_the_episode_stopped(tale, stop):
    assert zero(tale.tell("Good day.").score(stop=stop)) == Cause(Blame.AGENT, str(stop))


def test_a_broken_rule_is_named(tale):
    assert zero(tale.call("renew_loan", **RENEW_L82).score()) == Cause(Blame.AGENT, "rule:f1")


def test_a_user_that_is_a_model_and_withholds_what_it_is_asked_for_is_to_blame(tale):
    found = withheld(tale).score(user=MODEL)
    assert zero(found) == Cause(Blame.USER, "user_withheld")
    assert not found.counts


def test_it_is_not_once_it_has_told_at_any_time_whatever_it_is_asked_again(tale):
    withheld(tale).tell("Good day.", "Fine, I'm Ines Calder.", disclosed=("name",))
    withheld(tale)
    assert zero(tale.score(user=MODEL)) == Cause(Blame.AGENT, "agent_final")


def test_every_fact_that_was_asked_for_must_be_told(tale):
    tale.tell("What name is on the card? Until when would you like to keep it?", "Ines.", disclosed=("name",))
    assert zero(tale.score(user=MODEL)) == Cause(Blame.USER, "user_withheld")


def test_a_message_that_asks_for_no_fact_withholds_nothing(tale):
    tale.tell("Tell me everything.", "No.", heard="question").tell("What is your shoe size?", "No.", heard="question")
    assert zero(tale.score(user=MODEL)).blame is Blame.AGENT


def test_an_echo_of_the_users_own_question_asks_for_nothing(tale):
    question = "What name is on the card?"
    tale.tell("Good day.", question, heard="other").tell(question, "Are you a parrot?", heard="other")
    assert zero(tale.score(user=MODEL)).blame is Blame.AGENT
    tale.tell("Please tell me your name.", "Well.", heard="question")
    assert zero(tale.score(user=MODEL)) == Cause(Blame.USER, "user_withheld")


def test_an_echo_of_the_first_words_asks_for_nothing(tale):
    spoken = "What name is on the card?"
    for opening, blame in ((spoken, Blame.AGENT), ("Hello.", Blame.USER)):
        episode = tale.tell(spoken, "I said so.", heard="other").played(user=MODEL).episode
        assert cause_of(episode, opening, tale.stage.listener, (), scripted=False).blame is blame


@pytest.mark.parametrize("heard", ["question", "confirmation"])
def test_a_user_that_goes_while_something_waits_for_its_answer_is_to_blame(tale, heard):
    found = tale.tell("Would you like anything else?", "Bye.", heard=heard, done=True).score(user=MODEL)
    assert zero(found) == Cause(Blame.USER, "user_left")


@pytest.mark.parametrize(
    "last", [{"heard": "claim_done", "done": True}, {"heard": "refusal", "done": True}, {"heard": "question"}]
)
def test_a_user_that_goes_in_time_or_does_not_go_is_not(tale, last):
    assert zero(tale.tell("All done.", "Bye.", **last).score(user=MODEL)).blame is Blame.AGENT


def test_nobody_made_the_agent_break_a_rule(tale):
    withheld(tale).call("renew_loan", **RENEW_L82).tell("Anything else?", "Bye.", heard="question", done=True)
    assert zero(tale.score(user=MODEL)) == Cause(Blame.AGENT, "rule:f1")


def test_the_user_that_is_no_model_is_never_to_blame(tale):
    withheld(tale).tell("Anything else?", "Bye.", heard="question", done=True)
    assert zero(tale.score()) == Cause(Blame.AGENT, "agent_final")


def test_a_reward_above_zero_has_nobody_to_blame(tale):
    found = withheld(tale).call("list_loans", member_id="M-204").score(user=MODEL)
    assert (found.reward > 0, found.blame, found.reason, found.counts) == (True, None, "", True)


def test_what_is_short_of_everything_is_a_zero_under_a_strict_formula_and_has_a_cause(tale):
    played = withheld(tale).call("list_loans", member_id="M-204").played(user=MODEL)
    found = score(tale.stage, played.episode, played.final, Scoring(formula="strict"))
    assert zero(found) == Cause(Blame.USER, "user_withheld")


# ---- what does not count


def row(found: Scored | Unscored, episode: Episode) -> EpisodeRow:
    values = dict.fromkeys(EpisodeRow.model_fields)
    values |= {
        "agent": episode.agent, "task_id": episode.task_id, "sample": episode.sample, "features": (),
        "user": episode.user, "stop": episode.stop, "malformed": 0, "turns": 1, "prompt_tokens": 0,
        "completion_tokens": 0, "seconds": 0.0, "started": 0.0, "tools_called": (), "offset": 0, "length": 1,
    }  # fmt: skip
    if isinstance(found, Scored):
        values |= {name: getattr(found, name) for name in ("reward", "gate", "n", "i", "blame", "reason", "rubric_id")}
    else:
        values |= {"unscored_blame": found.blame, "unscored_reason": found.reason}
    return EpisodeRow(**values)


def test_a_zero_that_another_caused_is_in_no_groups_rewards_and_in_no_mean(tale, stage):
    of_user = withheld(type(tale)(stage)).played(user=MODEL, sample=0)
    of_agent = type(tale)(stage).played(user=MODEL, sample=1)
    done = type(tale)(stage).call("list_loans", member_id="M-204").played(user=MODEL, sample=2)
    failed = type(tale)(stage).played(user=MODEL, sample=3, stop=Stop.TIME_LIMIT)
    played = (of_user, of_agent, done, failed)
    outcomes = tuple(Outcome(one.episode, score(stage, one.episode, one.final)) for one in played)
    causes = [(o.score.blame, o.score.reason) for o in outcomes]
    assert causes == [
        (Blame.USER, "user_withheld"), (Blame.AGENT, "did_nothing"), (None, ""), (Blame.INFRASTRUCTURE, "time_limit"),
    ]  # fmt: skip
    third = outcomes[2].score.reward
    assert Group(stage.task, outcomes).rewards == (0.0, third)
    (line,) = lines([row(o.score, o.episode) for o in outcomes])
    assert (line.episodes, line.unscored, line.reward_mean) == (4, 1, third / 2)
    assert line.blame == {"agent": 1, "infrastructure": 1, "user": 1}
