"""serve agent: a model for whoever speaks OpenAI's language; and where a harness finds it."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import aclosing, contextmanager

import aiohttp
import pytest

from synthagent.cli.agents import SERVED, role
from synthagent.cli.serving import endpoint_for, endpoint_of
from synthagent.config import Settings
from synthagent.evaluation.items import Endpoint
from synthagent.llm.model import ChatRequest, ModelFailed
from synthagent.llm.openai import OpenAIChat
from synthagent.llm.scripted import calling
from synthagent.llm.stub import StubServer
from synthagent.simulation.agent import tools_for
from tests.builders import library

HELLO = [{"role": "user", "content": "Hello."}]
TOOLS = tools_for(library().brief, "text")


@contextmanager
def serving(*words: str) -> Iterator[tuple[str, "subprocess.Popen[str]"]]:
    """`synthagent serve agent` on a free port, as a process, and what it says to use."""
    command = [sys.executable, "-m", "synthagent.cli.main", "serve", "agent", *words, "--port", "0"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        line = process.stderr.readline()
        assert " is served: " in line, line + process.stderr.read()
        yield line.rsplit(" ", 1)[1].strip(), process
    finally:
        process.terminate()
        process.wait(timeout=20)
        process.stderr.close()


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
async def test_it_serves_until_it_is_told_to_stop_and_ends_tidily(how):
    with serving("scripted:random") as (said, process):
        model = role(said)  # what it prints is a role that every command takes
        name, _, url = model.argument.partition("@")
        assert (model.scheme, name) == ("openai", "scripted:random")
        async with aclosing(OpenAIChat(name, url)) as chat:
            assert (await chat.complete(ChatRequest(HELLO))).content
        process.send_signal(how)
        assert process.wait(timeout=20) == 0
        assert process.stderr is not None
        assert "1 requests were answered" in process.stderr.read()


async def test_it_goes_by_the_name_it_is_given():
    with serving("scripted:random", "--name", "babble", "--tool-form", "compact") as (said, _):
        assert said.startswith("openai:babble@http://127.0.0.1:")
        async with aiohttp.ClientSession() as session, session.get(f"{said.partition('@')[2]}/models") as response:
            [about] = (await response.json())["data"]
    assert (about["id"], about["tool_form"]) == ("babble", "compact")


@pytest.mark.parametrize(
    ("words", "known"),
    [
        (("scripted:reference",), "known: random"),
        (("gpt",), "openai:MODEL@URL"),
        (("hf:nowhere",), "no folder 'nowhere'"),
        (("scripted:random", "--host", "0.0.0.0"), "SYNTHAGENT_TOKEN"),
        (("scripted:random", "--tool-form", "xml"), "--tool-form"),
    ],
)
def test_what_cannot_be_served_is_told(cli, words: tuple[str, ...], known: str):
    done = cli("serve", "agent", *words, "--port", 0)
    assert (done.code, known in done.err) == (2, True), done.err


def test_a_port_in_use_is_told(cli):
    with serving("scripted:random") as (said, _):
        taken = cli("serve", "agent", "scripted:random", "--port", said.rpartition(":")[2].removesuffix("/v1"))
    assert (taken.code, "cannot listen" in taken.err) == (2, True), taken.err


# ---- where a harness finds a model


async def test_a_model_behind_an_endpoint_is_reached_there():
    who = role("openai:small@http://localhost:9/v1/")
    async with endpoint_for(who, Settings(), {}) as found:
        assert found == Endpoint("small", "http://localhost:9/v1")
    async with endpoint_for(who, Settings(key_env="MY_KEY"), {"MY_KEY": "secret"}) as found:
        assert found == Endpoint("small", "http://localhost:9/v1", "MY_KEY")


async def test_any_other_model_is_reached_behind_a_server_of_ours_while_the_block_runs():
    async with endpoint_for(role("scripted:random", SERVED), Settings()) as found:
        assert (found.model, found.key_env) == ("scripted:random", "")
        async with aclosing(OpenAIChat(found.model, found.url)) as chat:
            assert (await chat.complete(ChatRequest(HELLO))).content
    async with aclosing(OpenAIChat(found.model, found.url)) as chat:
        with pytest.raises(ModelFailed):
            await chat.complete(ChatRequest(HELLO))


async def test_a_model_that_is_told_of_tools_in_text_is_translated_for_wherever_it_is():
    stub = StubServer(lambda _: '<tool_call>{"name": "find_member", "arguments": {"name": "Ada"}}</tool_call>')
    async with stub as url:
        who = role(f"openai:small@{url}")
        async with endpoint_for(who, Settings(tool_form="hermes")) as found:
            assert (found.model, found.url == url) == ("small", False)
            async with aclosing(OpenAIChat(found.model, found.url)) as chat:
                reply = await chat.complete(ChatRequest(HELLO, tools=TOOLS))
    assert [(call.name, call.arguments) for call in reply.tool_calls] == [("find_member", '{"name":"Ada"}')]
    [seen] = stub.seen
    assert "tools" not in seen.body
    assert "find_member(name)" in seen.body["messages"][0]["content"]


async def test_calls_of_a_remote_model_pass_through():
    async with (
        StubServer(lambda _: calling(("find_member", {"name": "Ada"}))) as url,
        endpoint_of(role(f"openai:small@{url}"), Settings(), "mine") as endpoint,
        aclosing(OpenAIChat("mine", endpoint.url)) as chat,
    ):
        reply = await chat.complete(ChatRequest(HELLO, tools=TOOLS))
    assert [call.name for call in reply.tool_calls] == ["find_member"]
