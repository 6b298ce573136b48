"""Lines of a report: means over what was scored, counts over everything."""

import pytest

from synthagent.errors import Blame
from synthagent.evaluation.report import compare, lines
from synthagent.intervals import clustered, detectable
from synthagent.schema.episodes import Stop
from synthagent.storage.tables import EpisodeRow


def row(task="a1", agent="small", reward=1.0, **changes):
    values = {
        "agent": agent, "task_id": task, "sample": 0, "family": task[0], "domain": "library", "legal": True,
        "features": (), "user": "facts", "stop": Stop.USER_DONE, "malformed": 0, "turns": 3, "prompt_tokens": 100,
        "completion_tokens": 10, "seconds": 0.25, "started": 0.0, "tools_called": (), "rubric_id": "r",
        "reward": reward, "gate": None if reward is None else 1, "n": reward, "i": reward,
        "blame": Blame.AGENT if reward == 0 else None, "reason": None, "unscored_blame": None, "unscored_reason": None,
        "offset": 0, "length": 1,
    }  # fmt: skip
    return EpisodeRow(**{**values, **changes})


def unscored(task="a1", blame=Blame.INFRASTRUCTURE, **changes):
    return row(task, reward=None, unscored_blame=blame, unscored_reason="ModelFailed", **changes)


def test_one_line_an_agent_in_the_order_they_appear():
    found = lines([row(agent="small"), row(agent="large"), row("b1", agent="small")])
    assert [(line.agent, line.episodes) for line in found] == [("small", 2), ("large", 1)]


def test_means_are_over_what_was_scored_and_an_unscored_episode_is_no_zero():
    (line,) = lines([row("a1", reward=1.0), row("b1", reward=0.5), unscored("c1"), unscored("d1", Blame.USER)])
    assert (line.episodes, line.unscored) == (4, 2)
    assert (line.reward_mean, line.subgoals_mean, line.interactions_mean) == (0.75, 0.75, 0.75)
    assert line.blame == {"infrastructure": 1, "user": 1}


def test_the_interval_clusters_by_family():
    rows = [row("a1", reward=1.0), row("a2", reward=0.5), row("b1", reward=0.0), row("c1", reward=0.25)]
    expected = clustered([(r.family, r.reward) for r in rows])
    (line,) = lines(rows)
    assert (line.reward_mean, line.reward_low, line.reward_high) == (expected.mean, expected.low, expected.high)


def test_a_task_that_is_not_in_the_folder_is_its_own_family():
    rows = [row("a1", reward=1.0, family=None), row("a2", reward=0.0, family=None)]
    (line,) = lines(rows)
    expected = clustered([("a1", 1.0), ("a2", 0.0)])
    assert (line.reward_low, line.reward_high) == (expected.low, expected.high)


def test_one_family_has_a_mean_but_no_interval():
    (line,) = lines([row("a1", reward=1.0), row("a2", reward=0.0)])
    assert (line.reward_mean, line.reward_low, line.reward_high) == (0.5, None, None)


def test_nothing_scored_has_no_mean():
    (line,) = lines([unscored(), row("b1", reward=None, rubric_id=None)])
    assert (line.reward_mean, line.reward_low, line.subgoals_mean, line.interactions_mean) == (None,) * 4
    assert (line.unscored, line.blame) == (2, {"infrastructure": 1})


def test_zeros_are_counted_with_whose_fault_they_are_and_whether_the_gate_was_closed():
    rows = [row("a1", reward=0.0, gate=0, n=1.0), row("b1", reward=0.0), row("c1", reward=0.5)]
    (line,) = lines(rows)
    assert (line.gate_violations, line.blame) == (1, {"agent": 2})
    assert line.subgoals_mean == pytest.approx(0.5)


def test_tasks_without_interactions_are_left_out_of_their_mean():
    (line,) = lines([row("a1", reward=1.0, i=None), row("b1", reward=0.5, i=0.25)])
    assert line.interactions_mean == 0.25


def test_tokens_and_seconds_are_summed_over_every_episode():
    (line,) = lines([row("a1"), unscored("b1", prompt_tokens=5, completion_tokens=1, seconds=0.0004)])
    assert (line.tokens, line.seconds) == (116, 0.25)


def test_two_runs_are_compared_agent_by_agent_over_the_tasks_they_share():
    run = [row("a1", reward=1.0), row("b1", reward=0.5), row("c1", reward=1.0), row("a1", agent="new")]
    other = [row("a1", reward=0.5), row("b1", reward=0.5), row("d1", reward=0.0), row("a1", agent="old")]
    (found,) = compare(run, other)
    assert (found.agent, found.tasks, found.families, found.difference) == ("small", 2, 2, 0.25)
    expected = clustered([("a", 0.5), ("b", 0.0)])
    assert (found.low, found.high, found.detectable) == (expected.low, expected.high, detectable(expected))


def test_another_agent_is_compared_when_the_other_run_has_but_one():
    found = compare([row(agent="trained"), row(agent="base")], [row(agent="untrained", reward=0.25)])
    assert [(line.agent, line.difference) for line in found] == [("trained", 0.75), ("base", 0.75)]


def test_runs_that_share_no_task_or_no_score_have_no_difference():
    (found,) = compare([row("a1")], [row("b1")])
    assert (found.tasks, found.families, found.difference, found.low, found.detectable) == (0, 0, None, None, None)
    assert compare([unscored()], [row()]) == []
