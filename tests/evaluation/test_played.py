"""A run folder as items: whatever says nothing of the agent fails the suite."""

import pytest

from synthagent.errors import Blame
from synthagent.evaluation.played import failures, overflowed
from synthagent.schema.episodes import Limits, Stop
from tests.evaluation.test_report import row, unscored


def test_scores_and_zeros_of_the_agent_are_no_failures():
    assert not failures([row(reward=1.0), row(reward=0.5), row(reward=0.0)])


@pytest.mark.parametrize(
    ("found", "told"),
    [
        (unscored(blame=Blame.INFRASTRUCTURE), "infrastructure: ModelFailed"),
        (row(reward=None, unscored_blame=Blame.JUDGE, unscored_reason="no_judge"), "the judge: no_judge"),
        (unscored(blame=Blame.TASK), "the task: ModelFailed"),
        (row(reward=0.0, blame=Blame.USER, reason="user_withheld"), "the user: user_withheld"),
        (row(reward=None), "never scored"),
    ],
)
def test_whatever_says_nothing_of_the_agent_is_counted_under_its_cause(found, told: str):
    assert failures([found, found, row()]) == {told: 2}


def test_a_prompt_beyond_the_window_is_told_from_writing_too_much():
    limits = Limits(tokens=100)
    assert overflowed(row(stop=Stop.TOKEN_LIMIT, completion_tokens=99), limits)
    assert not overflowed(row(stop=Stop.TOKEN_LIMIT, completion_tokens=100), limits)
    assert not overflowed(row(stop=Stop.AGENT_FINAL, completion_tokens=10), limits)
