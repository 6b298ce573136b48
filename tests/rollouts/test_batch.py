"""roll_batch: many tasks, bounded in flight, resumable, and stopped by what must stop it."""

import asyncio
from itertools import product

import anyio
import anyio.lowlevel
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthagent.errors import Blame, EndpointDown, ModelFailed, RunFolderError
from synthagent.llm.model import TransientFailure
from synthagent.llm.openai import OpenAIChat
from synthagent.llm.retrying import Backoff, retried
from synthagent.llm.scripted import Scripted
from synthagent.llm.stub import StubServer
from synthagent.rollouts.batch import Order, lost, roll_batch
from synthagent.rollouts.group import Casting
from synthagent.schema.episodes import Limits
from synthagent.schema.scores import Scored, Unscored
from synthagent.simulation.episode import Cast, facts_user
from synthagent.simulation.model_agent import ModelAgent, Sampling, sampling_seed
from synthagent.workers import GIVE_UP_AFTER

DONE = "Done, everything has been completed."


def order(casting: Casting, n: int = 1, in_flight: int = 4, agent: str = "acting") -> Order:
    return Order(agent, casting, Limits(), n, seed=0, in_flight=in_flight)


def playing(model) -> Casting:
    """A model agent under the name `acting`, sampled with seeds of its own."""

    def casting(stage, sample):
        seed = sampling_seed(0, stage.task.id, sample)
        return Cast(ModelAgent(model, "acting", "native", Sampling(), seed), facts_user(stage))

    return casting


async def test_every_sample_of_every_task_arrives_once(tasks, cast_as, basket):
    await roll_batch(tasks, order(cast_as("reference"), n=3, agent="scripted:reference"), basket)
    assert sorted(basket.keys) == sorted(product(["scripted:reference"], [task.id for task in tasks], range(3)))
    assert {outcome.score.reward for outcome in basket.outcomes} == {1.0}


async def test_no_more_episodes_are_under_way_than_ordered_and_no_fewer_while_there_are_any(tasks, agent, basket):
    under_way = peak = 0

    async def patient(view):
        nonlocal under_way, peak
        under_way += 1
        peak = max(peak, under_way)
        await anyio.sleep(0.01)
        under_way -= 1
        return DONE

    await roll_batch(tasks, order(agent(patient), n=4, in_flight=5), basket)
    assert (peak, len(basket.outcomes)) == (5, 24)


async def test_tasks_are_drawn_as_they_are_needed_and_outcomes_handed_on_at_once(tasks, agent):
    drawn = arrived = ahead = 0

    def source():
        nonlocal drawn
        for task in tasks:
            drawn += 1
            yield task

    def sink(outcome):
        nonlocal arrived, ahead
        ahead = max(ahead, drawn - arrived)
        arrived += 1

    async def brief(view):
        await anyio.lowlevel.checkpoint()
        return DONE

    await roll_batch(source(), order(agent(brief), in_flight=2), sink)
    assert (drawn, arrived) == (len(tasks), len(tasks))
    assert ahead <= 2


@settings(max_examples=25, deadline=None)
@given(finished=st.sets(st.integers(0, 17)), in_flight=st.integers(1, 9), n=st.integers(1, 3))
async def test_what_is_done_is_not_played_again_and_all_else_is(tasks, agent, finished, in_flight, n):
    everything = list(product(["acting"], [task.id for task in tasks], range(n)))
    done = {key for number, key in enumerate(everything) if number in finished}
    others = {("somebody else", task_id, sample) for _, task_id, sample in everything}
    arrived = []

    async def at_once(view):
        return DONE

    await roll_batch(
        tasks,
        order(agent(at_once), n, in_flight),
        lambda o: arrived.append((o.episode.agent, o.episode.task_id, o.episode.sample)),
        done | others,
    )
    assert sorted(arrived) == sorted(set(everything) - done)


async def test_how_many_are_in_flight_changes_no_episode(tasks, basket):
    """A model that answers by its seed says the same in each sample, whatever runs beside it."""

    def answer(request):
        turn = sum(message["role"] == "assistant" for message in request.messages)
        return DONE if turn == 3 else f"May I have your name? ({request.seed})"

    async def played(in_flight):
        basket.outcomes.clear()
        await roll_batch(tasks, order(playing(Scripted(answer)), n=3, in_flight=in_flight), basket)
        messages = [[event.message for event in o.episode.events if event.kind == "user"] for o in basket.outcomes]
        return dict(zip(basket.keys, messages, strict=True))

    alone, together = await played(1), await played(7)
    assert alone == together
    assert len({tuple(said) for said in alone.values()}) == len(alone) == 18


async def test_a_sink_that_raises_stops_the_batch_with_its_own_error(tasks, agent):
    taken = []

    async def at_once(view):
        await anyio.lowlevel.checkpoint()
        return DONE

    def full(outcome):
        if len(taken) == 3:
            raise RunFolderError("the disk is full")
        taken.append(outcome)

    with pytest.raises(RunFolderError, match="the disk is full"):
        await roll_batch(tasks, order(agent(at_once), n=5, in_flight=3), full)
    assert len(taken) == 3


async def test_a_bug_in_an_agent_stops_nobody_else(tasks, agent, basket):
    async def sometimes(view):
        if view.brief == tasks[1].brief:
            raise ZeroDivisionError
        return DONE

    await roll_batch(tasks, order(agent(sometimes), n=GIVE_UP_AFTER + 4), basket)
    unscored = [o.score for o in basket.outcomes if isinstance(o.score, Unscored)]
    assert {(score.blame, score.reason) for score in unscored} == {(Blame.INFRASTRUCTURE, "bug")}
    touched = {task.id for task in tasks if task.brief == tasks[1].brief}
    assert {score.task_id for score in unscored} == touched
    assert len(basket.outcomes) == len(tasks) * (GIVE_UP_AFTER + 4)


async def test_a_broken_task_is_its_own_fault_and_the_others_are_played(tasks, broken, cast_as, basket):
    ordered = order(cast_as("reference"), n=GIVE_UP_AFTER + 1, agent="scripted:reference")
    await roll_batch([broken, *tasks[:2]], ordered, basket)
    assert len(set(basket.keys)) == len(basket.keys) == 3 * (GIVE_UP_AFTER + 1)
    for outcome in basket.outcomes:
        if outcome.episode.task_id == broken.id:
            assert isinstance(outcome.score, Unscored)
            assert outcome.score.blame is Blame.TASK
            assert "attic" in outcome.score.detail
        else:
            assert isinstance(outcome.score, Scored)


async def test_sixteen_failures_of_infrastructure_in_a_row_mean_that_the_endpoint_is_down(tasks, agent, basket):
    async def lost(view):
        raise ModelFailed("connection refused", reason="connection")

    with pytest.raises(EndpointDown, match=r"16 episodes in a row failed \(connection: connection refused\)"):
        await roll_batch(tasks, order(agent(lost), n=9, in_flight=1), basket)
    assert len(basket.outcomes) == GIVE_UP_AFTER


async def test_fifteen_in_a_row_do_not(tasks, agent, basket):
    calls = 0

    async def mostly_lost(view):
        nonlocal calls
        calls += 1
        if calls % GIVE_UP_AFTER:
            raise ModelFailed("try again", reason="http_503")
        return DONE

    await roll_batch(tasks, order(agent(mostly_lost), n=8, in_flight=1), basket)
    assert len(basket.outcomes) == 48
    assert sum(isinstance(outcome.score, Scored) for outcome in basket.outcomes) == 3


async def test_a_server_that_goes_away_stops_the_batch_and_what_came_before_has_its_score(tasks, basket):
    server = StubServer(lambda _: DONE)
    await server.start()
    model = retried(OpenAIChat("m", server.url), Backoff(attempts=2, first=0.001))
    stopping = []

    def sink(outcome):
        basket(outcome)
        if len(basket.outcomes) == 5:
            stopping.append(asyncio.create_task(server.stop()))

    with pytest.raises(EndpointDown, match="connection"):
        await roll_batch(tasks, order(playing(model), n=20, in_flight=2), sink)
    await stopping[0]
    await model.aclose()
    scored = [isinstance(outcome.score, Scored) for outcome in basket.outcomes]
    assert all(scored[:5])
    assert not any(scored[-GIVE_UP_AFTER:])
    assert {o.score.blame for o in basket.outcomes if isinstance(o.score, Unscored)} == {Blame.INFRASTRUCTURE}


async def test_a_failure_that_passes_is_tried_again_and_nobody_notices(tasks, basket):
    hiccups = iter([TransientFailure("busy", reason="rate_limited", retry_after=0.0, overloaded=True)] * 3)
    model = Scripted(lambda _: next(hiccups, DONE))
    await roll_batch(tasks, order(playing(retried(model, Backoff(first=0.001)))), basket)
    assert all(isinstance(outcome.score, Scored) for outcome in basket.outcomes)
    assert len(model.requests) > len(tasks)


@pytest.mark.parametrize(
    ("reason", "blame", "gone"),
    [
        ("model:connection", Blame.JUDGE, True),
        ("model:context_length", Blame.JUDGE, False),  # the next record may fit
        ("cannot_tell", Blame.JUDGE, False),
        ("not_understood", Blame.JUDGE, False),
        ("connection", Blame.INFRASTRUCTURE, True),
        ("bug", Blame.INFRASTRUCTURE, False),
    ],
)
def test_what_says_that_an_endpoint_is_gone(reason, blame, gone):
    score = Unscored(task_id="t", sample=0, rubric_id="r", blame=blame, reason=reason)
    assert (lost(score) is not None) == gone
