"""The stub endpoint: in the test's own loop, and as a program of its own."""

import asyncio
import subprocess
import sys
from contextlib import aclosing
from pathlib import Path

import aiohttp
import anyio
import pytest

from synthagent.errors import InputError, ModelFailed
from synthagent.llm.model import ChatRequest
from synthagent.llm.openai import OpenAIChat
from synthagent.llm.stub import FIXED_TEXT, StubServer, scripted_handler

ASK = ChatRequest([{"role": "user", "content": "hi"}])


async def test_it_waits_before_it_answers_and_counts_who_waits():
    server = StubServer(latency=0.05)
    async with server as url, aclosing(OpenAIChat("m", url)) as model:
        loop = asyncio.get_running_loop()
        began = loop.time()
        await asyncio.gather(*(model.complete(ASK) for _ in range(5)))
        assert loop.time() - began >= 0.05
    assert (server.peak, server.in_flight, len(server.seen)) == (5, 0, 5)


async def test_it_is_an_endpoint_and_nothing_else():
    async with StubServer() as url, aiohttp.ClientSession() as session:
        assert url.endswith("/v1")
        async with session.get(f"{url}/models") as answer:
            assert (await answer.json())["data"][0]["id"] == "stub"
        async with session.post(f"{url}/embeddings", json={}) as answer:
            assert answer.status == 404
        async with session.post(f"{url}/chat/completions", data=b"no json") as answer:
            assert answer.status == 400


async def test_a_mistake_in_the_handler_reaches_the_test():
    with pytest.raises(ZeroDivisionError):
        async with StubServer(lambda _: 1 / 0) as url, aclosing(OpenAIChat("m", url)) as model:
            with pytest.raises(ModelFailed, match="HTTP 500"):
                await model.complete(ASK)


async def test_leaving_does_not_wait_for_those_who_wait():
    async with asyncio.timeout(2), StubServer(latency=60) as url, aiohttp.ClientSession() as session:
        waiting = asyncio.create_task(session.post(f"{url}/chat/completions", json={"messages": []}))
        await asyncio.sleep(0.02)
    with pytest.raises(aiohttp.ClientError):
        await waiting


def test_a_script_is_served_over_and_over(tmp_path: Path):
    script = tmp_path / "script.jsonl"
    script.write_text('"hello"\n{"content": "wait", "calls": [["find", {"id": 1}]]}\n{"content": "bye"}\n')
    handler = scripted_handler(script)
    said = [handler({}) for _ in range(4)]
    assert (said[0], said[2], said[3]) == ("hello", "bye", "hello")
    assert (said[1].content, said[1].tool_calls[0].arguments) == ("wait", '{"id":1}')


@pytest.mark.parametrize("text", ["", "7\n", '"ok"\nhalf a line {\n', '{"calls": [["a"]]}\n', '{"calls": 3}\n'])
def test_a_script_that_cannot_be_read_is_refused(tmp_path: Path, text: str):
    (tmp_path / "script.jsonl").write_text(text)
    with pytest.raises(InputError, match=r"script\.jsonl"):
        scripted_handler(tmp_path / "script.jsonl")


async def test_as_a_program_it_prints_its_url_and_serves():
    command = [sys.executable, "-m", "synthagent.llm.stub", "--port", "0", "--latency", "0.01"]
    async with await anyio.open_process(command, stderr=None) as program:
        url = (await program.stdout.receive()).decode().strip()
        async with aclosing(OpenAIChat("m", url)) as model:
            assert (await model.complete(ASK)).content == FIXED_TEXT
        program.terminate()


@pytest.mark.parametrize(
    "module", ["model", "openai", "retrying", "pacing", "scripted", "stub", "embedded", "local_models"]
)
def test_importing_a_module_is_light(module: str):
    code = f"import sys, synthagent.llm.{module}; print(sorted({{'aiohttp', 'xllamacpp', 'anyio'}} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
