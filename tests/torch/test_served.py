"""A model in this process behind our endpoint: several conversations share a batch, and none is read twice."""

import time
from contextlib import aclosing

import aiohttp
import anyio
import pytest

from synthagent.cli.agents import role
from synthagent.cli.serving import endpoint_for
from synthagent.config import Settings
from synthagent.llm.model import ChatRequest, ContextOverflow
from synthagent.llm.openai import OpenAIChat
from synthagent.llm.threaded import threaded
from synthagent.schema.messages import ToolCall
from synthagent.serve.agent_endpoint import AgentEndpoint
from synthagent.simulation.agent import assistant_message
from synthagent.training.loading import HFChat, load
from synthagent.training.policy import Policy
from synthagent.training.sampling import Sampled

HELLO = [{"role": "user", "content": "Hello."}]
SETTINGS = Settings(threads=1, in_flight=2, max_tokens=6)


async def test_over_the_wire_it_says_what_it_says_itself(tiny):
    request = ChatRequest(HELLO, temperature=0.9, max_tokens=8, seed=3, extra={"top_p": 0.8})
    told = await HFChat(load(tiny)).complete(request)
    async with endpoint_for(role(f"hf:{tiny}"), SETTINGS) as found:
        assert found.model == f"hf:{tiny.name}"
        async with aclosing(OpenAIChat(found.model, found.url)) as chat:
            assert await chat.complete(request) == told


async def test_a_prompt_beyond_the_window_is_told_as_such(tiny):
    async with (
        endpoint_for(role(f"hf:{tiny}"), SETTINGS) as found,
        aclosing(OpenAIChat(found.model, found.url)) as chat,
    ):
        with pytest.raises(ContextOverflow, match="the window holds 8192"):
            await chat.complete(ChatRequest([{"role": "user", "content": "x" * 9000}], max_tokens=8))
        assert (await chat.complete(ChatRequest(HELLO))).usage.completion <= 6


async def test_conversations_that_send_their_whole_history_are_read_once(tiny):
    policy = load(tiny, slots=3)
    model = HFChat(policy)
    histories = [[{"role": "user", "content": f"{n} " + "word " * 60}] for n in range(3)]

    async def turn(history, chat):
        reply = await chat.complete(ChatRequest(history, temperature=0.0, max_tokens=5, seed=0))
        # Not what was written, as where a turn is a tool call: the tokens are others, and only what was asked is known.
        history += [{"role": "assistant", "content": "Yes."}, {"role": "user", "content": "And?"}]
        return reply.usage

    async with AgentEndpoint(model, "native", "tiny", in_flight=3) as url, aclosing(OpenAIChat("tiny", url)) as chat:
        for history in histories:
            await turn(history, chat)
        for who in (0, 1, 1, 0, 2, 2, 1, 0):  # no slot may be taken from a conversation that goes on
            before = policy.sampler.read
            usage = await turn(histories[who], chat)
            assert usage.prompt > 300
            assert policy.sampler.read - before < 80


async def test_the_server_answers_while_the_model_computes(tiny):
    async with (
        threaded(HFChat(load(tiny))) as model,
        AgentEndpoint(model, "native", "tiny") as url,
        aclosing(OpenAIChat("tiny", url)) as chat,
        aiohttp.ClientSession() as session,
        anyio.create_task_group() as group,
    ):
        done = anyio.Event()

        async def long_one() -> None:
            await chat.complete(ChatRequest([{"role": "user", "content": "x" * 2000}], temperature=0.0, max_tokens=20))
            done.set()

        group.start_soon(long_one)
        asked = 0
        while not done.is_set():
            begun = time.monotonic()
            async with session.get(f"{url.removesuffix('/v1')}/health") as response:
                assert response.status == 200
            asked += time.monotonic() - begun < 1.0
            await anyio.sleep(0.01)
        assert asked > 3


async def test_who_hangs_up_frees_the_model(tiny):
    policy = load(tiny, slots=1)
    async with threaded(HFChat(policy)) as model:
        with anyio.move_on_after(0.05):
            await model.complete(ChatRequest(HELLO, temperature=1.0, max_tokens=8000, seed=1))
        reply = await model.complete(ChatRequest(HELLO, temperature=0.0, max_tokens=3, seed=1))
        assert reply.usage.completion <= 3
        assert policy.sampler.sampled < 8000


async def test_what_follows_a_stop_sequence_is_not_said(tiny):
    chat = HFChat(load(tiny))
    whole = (await chat.complete(ChatRequest(HELLO, temperature=1.0, max_tokens=30, seed=5))).content
    assert len(whole) > 4
    stop = whole[3]
    request = ChatRequest(HELLO, temperature=1.0, max_tokens=30, seed=5, stop=(stop, "never said"))
    cut = await chat.complete(request)
    assert (cut.content, cut.finish_reason) == (whole[: whole.index(stop)], "stop")


class Reading:
    """A sampler that keeps what it is given to read, and writes its first token again."""

    length = 4096

    def __init__(self):
        self.read = []

    async def sample(self, key, ids, wish):
        self.read.append(list(ids))
        return Sampled((ids[0],), (0.0,), True)

    def release(self, key):
        pass


async def test_a_template_that_knows_calls_writes_their_arguments_as_the_objects_they_are(tiny):
    tokenizer = load(tiny, slots=1).tokenizer
    tokenizer.inner.chat_template = (
        "{% for message in messages %}{% for call in message.tool_calls or [] %}{{ call.function.name }}:"
        "{{ call.function.arguments | tojson }};{% endfor %}{% endfor %}"
    )
    calls = [("a", '{"x": "\u00e9", "n": 10000000000000000000001}'), ("b", "no JSON"), ("c", "[1]")]
    turn = assistant_message("", [ToolCall(id=name, name=name, arguments=raw) for name, raw in calls])
    reading = Reading()
    await HFChat(Policy(reading, tokenizer)).complete(ChatRequest([*HELLO, turn]))
    assert tokenizer.decode(reading.read[0]) == 'a:{"x": "é", "n": 10000000000000000000001};b:"no JSON";c:"[1]";'
    assert turn["tool_calls"][0]["function"]["arguments"] == calls[0][1]
