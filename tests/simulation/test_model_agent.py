"""An agent that is a language model: what goes over the wire, and what its replies become."""

from contextlib import aclosing

import pytest

from synthagent.errors import ModelFailed
from synthagent.llm.model import ChatReply, ContextOverflow
from synthagent.llm.openai import OpenAIChat
from synthagent.llm.scripted import Scripted, calling
from synthagent.llm.stub import Misbehave, StubServer
from synthagent.schema.episodes import Limits, Stop
from synthagent.schema.messages import ToolCall, Usage
from synthagent.simulation.agent import View, opening, tools_for
from synthagent.simulation.episode import prepare
from synthagent.simulation.model_agent import ModelAgent, Sampling, sampling_seed, turn_of
from tests.builders import NOW, library, played, replies_in, tools_in

STAGE = prepare(library())
BRIEF = STAGE.task.brief
WAY = [
    "May I have your name?",
    calling(("find_member", {"name": "Ada Novak"})),
    calling(("list_loans", {"member_id": "M-1"}), ("list_loans", {"member_id": "M-2"})),
    "Your loan has been renewed.",
]


def in_turn(replies):
    left = iter(replies)
    return lambda _: next(left)


def as_text(reply):
    """The same reply from a model that writes its calls."""
    if isinstance(reply, str):
        return reply
    calls = [f'<tool_call>{{"name": "{c.name}", "arguments": {c.arguments}}}</tool_call>' for c in reply.tool_calls]
    return "\n".join(calls)


async def test_an_episode_over_http_with_native_calls():
    server = StubServer(in_turn(WAY))
    async with server as url, aclosing(OpenAIChat("small", url)) as model:
        agent = ModelAgent(model, "openai:small", "native", Sampling(0.5, 99, {"top_p": 0.9}), seed=40)
        episode = (await played(STAGE, agent)).episode
    assert (episode.stop, episode.agent, episode.turns, episode.failure) == (Stop.USER_DONE, "openai:small", 4, None)
    assert [event.call_id for event in tools_in(episode.events)] == ["call_1_0", "call_2_0", "call_2_1"]
    assert all(event.ok for event in tools_in(episode.events))
    bodies = [seen.body for seen in server.seen]
    assert [(b["seed"], b["temperature"], b["max_tokens"], b["top_p"]) for b in bodies] == [
        (seed, 0.5, 99, 0.9) for seed in (40, 41, 42, 43)
    ]
    assert all(body["tools"] == tools_for(BRIEF, "text") for body in bodies)
    assert bodies[0]["messages"] == opening(BRIEF, "text", NOW)
    last = bodies[-1]["messages"]
    assert [
        message["role"] for message in last
    ] == "system user assistant user assistant tool assistant tool tool".split()
    assert last[3]["content"] == "I'm Ada Novak."
    assert last[5] == {"role": "tool", "tool_call_id": "call_1_0", "content": '[{"member_id":"M-1","branch":"Quay"}]'}
    assert episode.usage.completion > 0


async def test_the_same_episode_over_http_with_calls_written_as_text():
    server = StubServer(in_turn([as_text(reply) for reply in WAY]))
    async with server as url, aclosing(OpenAIChat("small", url)) as model:
        agent = ModelAgent(model, "openai:small", "hermes", Sampling(), seed=1)
        episode = (await played(STAGE, agent, form="hermes")).episode
    assert episode.stop is Stop.USER_DONE
    assert [event.call_id for event in tools_in(episode.events)] == ["call_1_0", "call_2_0", "call_2_1"]
    bodies = [seen.body for seen in server.seen]
    assert not any("tools" in body for body in bodies)
    assert bodies[0]["messages"] == opening(BRIEF, "text", NOW, "hermes")
    assert {message["role"] for body in bodies for message in body["messages"]} == {"system", "user", "assistant"}
    assert bodies[-1]["messages"][-1]["content"].count("<tool_response>") == 2
    assert bodies[-1]["messages"][-2]["content"] == as_text(WAY[2])


async def test_a_broken_call_in_text_is_answered_with_its_error_and_counted():
    broken = '<tool_call>{"name": "find_member", "arguments": {"name": "Ada Novak"}</tool_call>'
    server = StubServer(in_turn([broken, "Done."]))
    async with server as url, aclosing(OpenAIChat("small", url)) as model:
        agent = ModelAgent(model, "m", "hermes", Sampling(), seed=1)
        episode = (await played(STAGE, agent, form="hermes")).episode
    assert (episode.malformed, tools_in(episode.events)) == (1, [])
    assert server.seen[1].body["messages"][-1]["content"].startswith("error: the content of <tool_call> is not JSON")


@pytest.mark.parametrize(
    ("served", "stop", "blame"),
    [
        (Misbehave(400, body={"error": {"message": "bad", "code": "context_length_exceeded"}}), Stop.TOKEN_LIMIT, None),
        (Misbehave(500, body="down"), Stop.FAILED, "infrastructure"),
        (Misbehave(body="no JSON"), Stop.FAILED, "infrastructure"),
        (Misbehave(drop="before"), Stop.FAILED, "infrastructure"),
    ],
    ids=["overflow", "error", "garbage", "dropped"],
)
async def test_what_an_endpoint_does_wrong_ends_the_episode_and_only_a_full_window_is_the_agents(served, stop, blame):
    async with StubServer(in_turn(["What is your name?", served])) as url, aclosing(OpenAIChat("small", url)) as model:
        episode = (await played(STAGE, ModelAgent(model, "m", "native", Sampling(), seed=1))).episode
    assert episode.stop is stop
    assert (episode.failure.blame if episode.failure else None) == blame
    assert [reply.disclosed for reply in replies_in(episode.events)] == [("name",)]


async def test_a_stalled_endpoint_is_a_time_limit_and_infrastructure():
    server = StubServer(lambda _: Misbehave(stall=float("inf")))
    async with server as url, aclosing(OpenAIChat("small", url)) as model:
        agent = ModelAgent(model, "m", "native", Sampling(), seed=1)
        episode = (await played(STAGE, agent, limits=Limits(seconds=0.2))).episode
    assert (episode.stop, episode.failure.blame) == (Stop.TIME_LIMIT, "infrastructure")


def test_ids_of_calls_are_made_unique_whatever_the_server_sends():
    calls = (ToolCall(id="x", name="a", arguments="{}"), ToolCall(id="x", name="a", arguments="{}"))
    turn = turn_of(ChatReply("", calls, usage=Usage(prompt=3, completion=2), finish_reason="length"), "native", 7)
    assert [call.id for call in turn.tool_calls] == ["call_7_0", "call_7_1"]
    assert (turn.usage.completion, turn.truncated) == (2, True)


def test_calls_in_the_text_are_read_where_the_server_did_not():
    turn = turn_of(ChatReply('Now. <tool_call>{"name": "a"}</tool_call>'), "native", 0)
    assert (turn.content, [call.name for call in turn.tool_calls]) == ("Now.", ["a"])
    native = turn_of(ChatReply("<tool_call> is a tag", (ToolCall(id="x", name="b", arguments=""),)), "native", 0)
    assert (native.content, [call.name for call in native.tool_calls]) == ("<tool_call> is a tag", ["b"])


async def test_an_agent_passes_failures_on_as_they_are():
    for failure in (ContextOverflow("too long"), ModelFailed("gone", reason="timeout")):
        agent = ModelAgent(Scripted([failure]), "m", "native", Sampling(), seed=1)
        with pytest.raises(type(failure)):
            await agent.act(View(BRIEF, "text", opening(BRIEF, "text", NOW)))


def test_each_task_and_sample_has_its_own_seed_the_same_everywhere():
    seeds = {sampling_seed(seed, task, sample) for seed in (0, 1) for task in ("a", "b") for sample in range(4)}
    assert len(seeds) == 16
    assert all(0 <= seed < 2**31 for seed in seeds)
    assert sampling_seed(7, "task", 3) == 715251059
