"""An episode that somebody else drives: turn by turn it is the same episode, and it comes to the same reward."""

import asyncio
import itertools

import pytest

from synthagent.errors import Blame, InputError
from synthagent.rollouts.group import roll
from synthagent.schema.episodes import Limits, Stop
from synthagent.schema.messages import AssistantTurn
from synthagent.schema.scores import Scored, Unscored
from synthagent.scoring.reward import reward_hash
from synthagent.serve.sessions import PROTOCOL, Company, Over, Session, turn_of
from synthagent.simulation.episode import Cast, facts_user, prepare
from synthagent.simulation.scripted_agents import scripted
from tests.builders import library
from tests.serve.driving import SCRIPTED, drive


def opened(task=None, limits=Limits(), **more):  # noqa: B008 (a record)
    stage = prepare(task or library())
    return Session(stage, Company(facts_user(stage), limits), agent="driver", **more)


async def driven(session, agent):
    """Plays a session to its end from outside."""

    async def turn(message):
        step = await session.step(session.turn(message))
        return step.messages, step.done

    await drive(session.task, await session.start(), agent, turn)
    return await session.close()


def comparable(episode):
    """An episode without its times and its agent's name."""
    timeless = tuple(
        event.model_copy(update={"seconds": 0.0}) if event.kind != "form" else event for event in episode.events
    )
    return episode.model_copy(update={"events": timeless, "seconds": 0.0, "started": 0.0, "agent": ""})


@pytest.mark.parametrize("name", SCRIPTED)
async def test_an_episode_driven_from_outside_is_that_of_a_rollout(name):
    stage = prepare(library())
    ours = await roll(stage, lambda *_: Cast(scripted(name, stage), facts_user(stage), PROTOCOL), Limits(), 2, 7)
    theirs = await driven(opened(sample=2, seed=7), scripted(name, stage))
    assert comparable(theirs.episode) == comparable(ours.episode)
    assert reward_hash([theirs.score]) == reward_hash([ours.score])


async def test_the_opening_and_what_follows_a_turn_are_all_that_a_driver_gets():
    session = opened()
    opening = await session.start()
    assert [message["role"] for message in opening] == ["system", "user"]
    assert opening[1]["content"] == session.task.brief.instruction
    assert session.tools[-1]["function"]["name"] == "ask_user"
    call = {"id": "a", "function": {"name": "ask_user", "arguments": '{"question": "May I have your name, please?"}'}}
    step = await session.step(session.turn({"role": "assistant", "content": None, "tool_calls": [call]}))
    assert [(message["role"], message["tool_call_id"]) for message in step.messages] == [("tool", "a")]
    assert not step.done
    await session.close()


async def test_closing_before_the_end_is_an_empty_answer_and_has_a_score():
    session = opened()
    await session.start()
    outcome = await session.close()
    assert outcome.episode.stop is Stop.AGENT_FINAL
    assert isinstance(outcome.score, Scored)
    assert (outcome.score.reward, outcome.score.blame) == (0.0, Blame.AGENT)
    assert await session.close() == outcome, "closing twice changes nothing"


async def test_after_the_end_no_turn_is_taken():
    session = opened()
    await session.start()
    assert (await session.step(AssistantTurn(content="Goodbye."))).done
    with pytest.raises(Over, match="has ended"):
        await session.step(AssistantTurn(content="One more thing."))
    with pytest.raises(Over, match="started already"):
        await session.start()


async def test_a_turn_before_the_start_is_refused():
    with pytest.raises(Over, match="not been started"):
        await opened().step(AssistantTurn(content="Hello."))


async def test_limits_are_those_of_a_rollout():
    session = opened(limits=Limits(turns=2))
    await session.start()
    calls = itertools.count()

    def lookup():
        call = {"id": f"c{next(calls)}", "function": {"name": "find_member", "arguments": '{"name": "Ada"}'}}
        return session.turn({"tool_calls": [call]})

    assert not (await session.step(lookup())).done
    assert (await session.step(lookup())).done
    assert (await session.close()).episode.stop is Stop.TURN_LIMIT


async def test_a_driver_that_takes_too_long_has_no_score_rather_than_a_zero():
    session = opened(limits=Limits(seconds=0.05))
    await session.start()
    await asyncio.sleep(0.2)
    assert session.done
    score = (await session.close()).score
    assert isinstance(score, Unscored)
    assert (score.blame, score.reason) == (Blame.INFRASTRUCTURE, "time_limit")


async def test_a_session_that_is_dropped_leaves_nothing_running():
    before = asyncio.all_tasks()
    session = opened()
    await session.start()
    await session.cancel()
    assert session.done
    assert asyncio.all_tasks() == before


def test_a_message_without_ids_gets_some_and_one_with_ids_keeps_them():
    call = {"function": {"name": "find_member", "arguments": "{not json"}}
    turn = turn_of({"content": None, "tool_calls": [call, {"id": "x", **call}]}, 3)
    assert [made.id for made in turn.tool_calls] == ["call_3_0", "x"]
    assert turn.tool_calls[0].arguments == "{not json", "what is wrong with arguments is the world's to say"


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ({"role": "user", "content": "hi"}, "role"),
        ({"content": ["parts"]}, "content"),
        ({"tool_calls": {"name": "x"}}, "tool_calls"),
        ({"tool_calls": [{"name": "x"}]}, r"tool_calls\[0\].function"),
        ({"tool_calls": [{"function": {"name": "x", "arguments": {}}}]}, "arguments are text"),
        ({"tool_calls": [{"id": "i" * 200, "function": {"name": "x"}}]}, r"tool_calls\[0\].id"),
    ],
)
def test_what_is_no_message_of_an_assistant_is_refused_by_its_field(message, said):
    with pytest.raises(InputError, match=said):
        turn_of(message, 0)
