"""The SDK's own client plays tasks over stdio and over HTTP, in both ages of the protocol."""

import asyncio
import signal
import subprocess
import sys

import aiohttp
import httpx2
import orjson
import pytest
from mcp import Client
from mcp.client.stdio import StdioServerParameters
from mcp.client.streamable_http import streamable_http_client

from synthagent.serve.sessions import PROTOCOL
from synthagent.simulation.agent import View, assistant_message, opening, tools_for
from synthagent.storage.task_file import read_tasks
from tests.serve.processes import PROGRAM, serving
from tests.wires.common import agent_for, agree, scored, task_file
from tests.wires.test_http_wire import sent

MODES = ("auto", "legacy")
"""How a client begins: it asks for the version of 2026-07-28, or shakes hands as before."""


@pytest.fixture
def file(tmp_path):
    return task_file(tmp_path)


def stdio(*words):
    return StdioServerParameters(command=sys.executable, args=[*PROGRAM[1:], "serve", "mcp", *map(str, words)])


async def played(client, number, task):
    """Plays an agent's turns as an MCP client has them: one call each, and `finish` for its last word."""
    agent, history = agent_for(number, task), opening(task.brief, PROTOCOL, task.world.now)
    while True:
        turn = await agent.act(View(task.brief, PROTOCOL, history))
        if not turn.tool_calls:
            return (await client.call_tool("finish", {"answer": turn.content})).structured_content
        [call] = turn.tool_calls
        result = await client.call_tool(call.name, orjson.loads(call.arguments))
        text = result.content[0].text
        history += [
            assistant_message(turn.content, turn.tool_calls),
            {"role": "tool", "tool_call_id": call.id, "content": text},
        ]
        if len(result.content) > 1:
            assert "The episode has ended" in result.content[1].text
            return (await client.call_tool("finish", {})).structured_content


async def test_stdio(file):
    found = []
    for number, task in enumerate(read_tasks(file)):
        async with Client(stdio(file, "--task", task.id), mode=MODES[number % 2]) as client:
            found.append(scored(await played(client, number, task)))
    await agree("mcp-stdio", "mcp", found)


async def test_http_with_all_clients_at_once(file):
    tasks = list(read_tasks(file))
    with serving("mcp", file, "--http") as (url, _):
        async with aiohttp.ClientSession() as web:
            opened = [await sent(web, f"{url}/sessions", {"task_id": task.id}) for task in tasks]

        async def one(number):
            async with Client(f"{url}/mcp/{opened[number]['session']}", mode=MODES[number % 2]) as client:
                return scored(await played(client, number, tasks[number]))

        found = await asyncio.gather(*(one(number) for number in range(len(tasks))))
    await agree("mcp-http", "mcp", found)


@pytest.mark.parametrize("mode", MODES)
async def test_a_client_is_told_all_that_an_agent_of_a_rollout_is_told(file, mode):
    task = next(iter(read_tasks(file)))
    system, user = opening(task.brief, PROTOCOL, task.world.now)
    async with Client(stdio(file, "--task", task.id), mode=mode) as client:
        assert system["content"].strip() in client.instructions
        assert client.instructions.endswith(user["content"])
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        told = {tool["function"]["name"]: tool["function"] for tool in tools_for(task.brief, PROTOCOL)}
        assert tools.keys() == told.keys() | {"finish"}
        assert {name: tools[name].input_schema for name in told} == {n: f["parameters"] for n, f in told.items()}
        prompt = await client.get_prompt("opening")
        assert prompt.messages[0].content.text == client.instructions
        [resource] = (await client.read_resource("synthagent://opening")).contents
        assert orjson.loads(resource.text) == [system, user]


async def test_wrong_calls_go_to_the_world_and_are_the_agents_own(file, tmp_path):
    task = next(iter(read_tasks(file)))
    tool = task.brief.tools[0].name
    async with Client(stdio(file, "--task", task.id, "--out", tmp_path / "run")) as client:
        for name, arguments, why in ((tool, {"no_such": 1}, "bad_arguments"), ("nothing", {}, "unknown_tool")):
            said = await client.call_tool(name, arguments)
            assert said.is_error
            assert orjson.loads(said.content[0].text)["error"]["type"] == why
        assert (await client.call_tool("ask_user", {"question": 3})).is_error
        assert (await client.call_tool("finish", {"answer": 3})).is_error
        ended = (await client.call_tool("finish", {"answer": "Goodbye."})).structured_content
        assert ended["stop"] == "agent_final"
        assert (await client.call_tool("finish", {})).structured_content == ended
        assert (await client.call_tool(tool, {})).is_error, "after the end"
    [kept] = [orjson.loads(line) for line in (tmp_path / "run" / "episodes.jsonl").read_bytes().splitlines()]
    assert kept["malformed"] == 3


async def test_a_client_that_goes_away_leaves_its_episode_and_one_that_did_nothing_leaves_none(file, tmp_path):
    task = next(iter(read_tasks(file)))
    for number, run in enumerate((tmp_path / "looked", tmp_path / "played")):
        async with Client(stdio(file, "--task", task.id, "--out", run)) as client:
            await client.list_tools()
            for _ in range(number):
                await client.call_tool("ask_user", {"question": "What is it about?"})
    assert not (tmp_path / "looked" / "episodes.jsonl").read_bytes()
    [line] = (tmp_path / "played" / "scores.jsonl").read_bytes().splitlines()
    assert orjson.loads(line)["score"]["kind"] == "scored"


async def test_an_episode_over_http_that_nobody_comes_back_to_is_kept_when_the_server_stops(file, tmp_path):
    with serving("mcp", file, "--http", "--out", tmp_path / "run", "--no-detail") as (url, process):
        async with aiohttp.ClientSession() as web:
            opened = [await sent(web, f"{url}/sessions") for _ in range(2)]
        async with Client(f"{url}/mcp/{opened[0]['session']}") as client:
            await client.call_tool("ask_user", {"question": "What is it about?"})
        async with Client(f"{url}/mcp/{opened[1]['session']}") as client:
            assert "verdicts" not in (await client.call_tool("finish", {})).structured_content
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0
    lines = [orjson.loads(line) for line in (tmp_path / "run" / "episodes.jsonl").read_bytes().splitlines()]
    assert {line["task_id"] for line in lines} == {one["task_id"] for one in opened}


async def test_over_http_the_rules_of_access_hold(file, monkeypatch):
    with serving("mcp", file, "--http") as (url, _):
        async with aiohttp.ClientSession() as web:
            opened = await sent(web, f"{url}/sessions")
            at = f"{url}/mcp/{opened['session']}"
            for headers in ({"Host": "evil.example"}, {"Origin": "https://evil.example"}):
                async with web.post(at, json={}, headers=headers) as response:
                    assert response.status == 403
            for method, where, status in (("POST", f"{url}/mcp/nobody", 404), ("GET", at, 405), ("DELETE", at, 405)):
                async with web.request(method, where) as response:
                    assert response.status == status
    monkeypatch.setenv("SYNTHAGENT_TOKEN", "secret")
    with serving("mcp", file, "--http") as (url, _):
        async with aiohttp.ClientSession() as web:
            async with web.post(f"{url}/sessions") as response:
                assert response.status == 403
            web.headers["Authorization"] = "Bearer secret"
            opened = await sent(web, f"{url}/sessions")
        at = f"{url}/mcp/{opened['session']}"
        async with (
            httpx2.AsyncClient(headers={"Authorization": "Bearer secret"}) as http,
            Client(streamable_http_client(at, http_client=http)) as client,
        ):
            assert (await client.list_tools()).tools


def test_stdio_says_nothing_but_the_protocol_and_ends_with_its_client_or_by_a_signal(file):
    task = next(iter(read_tasks(file)))
    command = [*PROGRAM, "serve", "mcp", str(file), "--task", task.id]
    for end in ("eof", signal.SIGTERM):
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            hello = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
            line = orjson.dumps({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello})
            process.stdin.write(line + b"\n")
            process.stdin.flush()
            said = orjson.loads(process.stdout.readline())
            assert said["result"]["serverInfo"]["name"] == "synthagent"
            if end == "eof":
                process.stdin.close()
            else:
                process.send_signal(end)
            assert process.wait(timeout=60) == 0
            assert process.stdout.read() == b""
