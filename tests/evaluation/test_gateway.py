"""The door between a harness and its models."""

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from synthagent.errors import InputError
from synthagent.evaluation.gateway import Gateway, Patience
from synthagent.evaluation.items import Endpoint
from synthagent.llm.stub import Misbehave, Served, StubServer

HASTE = Patience(seconds=5, pauses=(0.0, 0.0))
ASK = {"model": "x", "messages": [{"role": "user", "content": "hi"}], "store": False, "temperature": 0.5}


class Door:
    """A gateway with one role, `agent`, and a client in front of it."""

    def __init__(self, gateway: Gateway, session: aiohttp.ClientSession, base: str):
        self.gateway, self._session, self._base = gateway, session, base

    async def ask(self, path: str = "agent/v1/chat/completions") -> tuple[int, Any]:
        async with self._session.post(f"{self._base}/{path}", json=ASK) as answer:
            return answer.status, json.loads(await answer.read())


@asynccontextmanager
async def door(*replies: Served) -> AsyncIterator[tuple[Door, StubServer]]:
    left: Iterator[Served] = iter(replies)
    server = StubServer(lambda _: next(left))
    async with server as url, aiohttp.ClientSession() as session:
        gateway = Gateway({"agent": Endpoint("m", url)}, {}, HASTE)
        with gateway.serving() as port:
            yield Door(gateway, session, f"http://127.0.0.1:{port}"), server


async def test_it_names_the_model_and_passes_the_rest_on():
    async with door("hello") as (it, server):
        status, reply = await it.ask()
    assert (status, reply["choices"][0]["message"]["content"]) == (200, "hello")
    assert server.seen[0].body == {"model": "m", "messages": ASK["messages"], "temperature": 0.5}
    assert (it.gateway.tallies["agent"].answered, it.gateway.fatal) == (1, None)


async def test_it_asks_again_when_the_endpoint_is_busy_or_talks_nonsense():
    async with door(Misbehave(429), Misbehave(200, body=b"<html>"), "hello") as (it, server):
        status, _ = await it.ask()
    assert (status, len(server.seen), it.gateway.tallies["agent"].failed) == (200, 3, 0)


@pytest.mark.parametrize("finish", ["abort", "error"])
async def test_half_an_answer_of_an_endpoint_that_gave_up_is_none(finish: str):
    half = {"choices": [{"message": {"role": "assistant", "content": "The"}, "finish_reason": finish}]}
    async with door(Misbehave(200, body=half), "The whole.") as (it, _):
        status, reply = await it.ask()
    assert (status, reply["choices"][0]["message"]["content"]) == (200, "The whole.")


async def test_a_prompt_that_does_not_fit_is_told_in_one_form():
    text = "This model's maximum context length is 8192 tokens"
    async with door(Misbehave(400, body={"error": {"message": text}})) as (it, server):
        status, reply = await it.ask()
    assert (status, reply["error"]["code"]) == (400, "context_length_exceeded")
    assert text in reply["error"]["message"]
    tally = it.gateway.tallies["agent"]
    assert (tally.overflowed, tally.failed, len(server.seen)) == (1, 0, 1)


async def test_a_refusal_for_good_is_fatal_at_once():
    async with door(Misbehave(401, body={"error": {"message": "no such key"}})) as (it, server):
        status, reply = await it.ask()
    assert status == 502 and "no such key" in reply["error"]["message"]
    assert it.gateway.fatal is not None and "HTTP 401" in it.gateway.fatal
    assert len(server.seen) == 1


async def test_one_lost_answer_is_not_fatal_and_six_in_a_row_are():
    broken = Misbehave(500, body={"error": {"message": "out of memory"}})
    async with door(*[broken] * 3, "hello", *[broken] * 18) as (it, _):
        assert (await it.ask())[0] == 502
        assert (await it.ask())[0] == 200
        for n in range(6):
            assert it.gateway.fatal is None, n
            assert (await it.ask())[0] == 502
    assert "out of memory" in str(it.gateway.fatal)


async def test_it_is_a_door_to_chat_and_to_its_roles_only():
    async with door() as (it, server):
        assert (await it.ask("judge/v1/chat/completions"))[0] == 404
        assert (await it.ask("agent/v1/embeddings"))[0] == 404
    assert not server.seen


def test_a_key_that_is_not_set_is_told_before_anything_runs():
    with pytest.raises(InputError, match=r"THE_KEY is not set \(it is the key for http://far/v1\)"):
        Gateway({"agent": Endpoint("m", "http://far/v1", "THE_KEY")}, {})


async def test_it_serves_on_a_unix_socket(tmp_path: Path):
    async with StubServer() as url:
        gateway = Gateway({"agent": Endpoint("m", url)}, {}, HASTE)
        with gateway.serving(tmp_path / "models") as place:
            connector = aiohttp.UnixConnector(place)
            async with aiohttp.ClientSession(connector=connector) as session:
                assert (await Door(gateway, session, "http://door").ask())[0] == 200
