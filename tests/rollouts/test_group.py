"""roll_group: one task, n scored tries. What failed is not a zero: it is not there."""

import anyio
import pytest

from synthagent.errors import Blame, ModelFailed, TaskFault
from synthagent.rollouts.group import roll, roll_group
from synthagent.schema.episodes import Limits, Stop
from synthagent.schema.scores import Scored, Unscored
from synthagent.scoring.scorer import Scoring
from synthagent.simulation.episode import Cast, facts_user, prepare
from synthagent.simulation.scripted_agents import scripted


async def test_a_group_is_n_tries_at_one_task_each_with_its_own_number_and_score(tasks, cast_as):
    group = await roll_group(tasks[0], cast_as("reference"), Limits(), n=3, seed=4)
    assert group.rewards == (1.0, 1.0, 1.0)
    assert [outcome.episode.sample for outcome in group.outcomes] == [0, 1, 2]
    for outcome in group.outcomes:
        assert (outcome.episode.task_id, outcome.score.task_id) == (group.task.id, group.task.id)
        assert (outcome.score.sample, outcome.episode.seed) == (outcome.episode.sample, 4)


async def test_tries_at_one_world_know_nothing_of_each_other(tasks, cast_as):
    group = await roll_group(tasks[0], cast_as("reference"), Limits(), n=3, seed=0)
    first, *others = [o.episode.model_copy(update={"sample": 0, "events": ()}) for o in group.outcomes]
    assert {other.digest for other in others} == {first.digest}
    responses = [[e.response for e in o.episode.events if e.kind == "tool"] for o in group.outcomes]
    assert responses[0] == responses[1] == responses[2]


async def test_an_unscored_try_is_no_zero_among_the_rewards(tasks):
    async def lost(view):
        raise ModelFailed("the endpoint is gone", reason="connection")

    class Lost:
        name = "scripted:reference"
        act = staticmethod(lost)

    def casting(stage, sample):
        return Cast(Lost() if sample == 1 else scripted("reference", stage), facts_user(stage))

    group = await roll_group(tasks[0], casting, Limits(), n=3, seed=0)
    assert group.rewards == (1.0, 1.0)
    missing = group.outcomes[1]
    assert isinstance(missing.score, Unscored)
    assert (missing.score.blame, missing.score.reason) == (Blame.INFRASTRUCTURE, "connection")
    assert missing.episode.stop is Stop.FAILED


async def test_a_bug_in_a_judge_loses_no_episode(tasks, cast_as):
    """What was played is there to be scored again; it has no reward."""

    class Buggy:
        name, mode = "buggy", "paper"

        async def rule(self, brief, episode, items):
            return {}["nothing here"]

    outcome = await roll(prepare(tasks[0]), cast_as("reference"), Limits(), 0, 0, scoring=Scoring(Buggy()))
    assert (outcome.episode.stop is Stop.FAILED, outcome.episode.failure) == (False, None)
    assert len(outcome.episode.events) > 4
    assert isinstance(outcome.score, Unscored)
    assert (outcome.score.blame, outcome.score.reason) == (Blame.INFRASTRUCTURE, "bug")
    assert "KeyError: 'nothing here'" in outcome.score.detail


async def test_a_bug_in_an_agent_is_unscored_infrastructure_with_the_place_in_the_code(tasks, agent):
    async def buggy(view):
        return {}["nothing here"]

    group = await roll_group(tasks[0], agent(buggy), Limits(), n=2, seed=0)
    assert group.rewards == ()
    for outcome in group.outcomes:
        assert isinstance(outcome.score, Unscored)
        assert (outcome.score.blame, outcome.score.reason) == (Blame.INFRASTRUCTURE, "bug")
        assert "KeyError: 'nothing here'" in outcome.score.detail
        assert "test_group.py" in outcome.score.detail
        assert outcome.episode.failure is not None


async def test_time_is_the_machines_fault_and_turns_are_the_agents(tasks, agent):
    async def slow(view):
        await anyio.sleep(60)
        return "Hello."

    async def chatty(view):
        return "Let me think about it."

    limits = Limits(seconds=0.05, turns=3)
    (late,) = (await roll_group(tasks[0], agent(slow), limits, n=1, seed=0)).outcomes
    assert isinstance(late.score, Unscored)
    assert (late.episode.stop, late.score.blame) == (Stop.TIME_LIMIT, Blame.INFRASTRUCTURE)
    (long,) = (await roll_group(tasks[0], agent(chatty), Limits(turns=3), n=1, seed=0)).outcomes
    assert isinstance(long.score, Scored)
    assert (long.episode.stop, long.episode.turns) == (Stop.TURN_LIMIT, 3)
    assert (long.score.reward, long.score.blame) == (0.0, Blame.AGENT)


async def test_a_task_that_does_not_compile_is_nobodys_episode(broken, cast_as):
    with pytest.raises(TaskFault, match="attic"):
        await roll_group(broken, cast_as("reference"), Limits(), n=2, seed=0)
