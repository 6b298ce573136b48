"""OpenEnv's own client plays tasks, all at once."""

import asyncio
import signal

import aiohttp
import orjson
import pytest
from openenv.core import GenericEnvClient

from synthagent.serve.sessions import PROTOCOL
from synthagent.simulation.agent import tools_for
from synthagent.storage.task_file import read_tasks
from tests.serve.driving import drive
from tests.serve.processes import serving
from tests.wires.common import agent_for, agree, scored, task_file

BYE = {"message": {"role": "assistant", "content": "Goodbye."}}


@pytest.fixture
def file(tmp_path):
    return task_file(tmp_path)


def client_of(url):
    return GenericEnvClient(base_url=url, message_timeout_s=600)


async def played(url, number, task):
    async with client_of(url) as client:
        first = (await client.reset(task_id=task.id)).observation
        assert first["tools"] == tools_for(task.brief, PROTOCOL)
        ended = []

        async def turn(message):
            found = await client.step({"message": message})
            if found.done:
                ended.append(found)
            return found.observation["messages"], found.done

        await drive(task, first["messages"], agent_for(number, task), turn)
        score = scored(ended[0].observation["metadata"]["score"])
        assert ended[0].reward == score.reward
        return score


async def test_openenv(file):
    with serving("openenv", file) as (url, _):
        found = await asyncio.gather(*(played(url, number, task) for number, task in enumerate(read_tasks(file))))
    await agree("openenv", "openenv", found)


async def test_one_connection_plays_one_episode_after_another_and_what_was_left_is_not_kept(file, tmp_path):
    tasks = list(read_tasks(file))
    with serving("openenv", file, "--out", tmp_path / "run", "--sessions", "1") as (url, process):
        async with client_of(url) as client:
            with pytest.raises(Exception, match="reset first"):
                await client.step(BYE)
            await client.reset(index=2)
            assert (await client.state())["task_id"] == tasks[2].id
            with pytest.raises(Exception, match="content: text or null"):
                await client.step({"message": {"content": 3}})
            await client.reset(index=2)
            ended = await client.step(BYE)
            assert (ended.done, ended.reward) == (True, 0.0)
            with pytest.raises(Exception, match="reset first"):
                await client.step(BYE)
            with pytest.raises(Exception, match="no task"):
                await client.reset(task_id="../../etc/passwd")
            with pytest.raises(Exception, match=r"(?i)capacity|closed|session"):
                async with client_of(url) as second:
                    await second.reset()
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0
    [line] = (tmp_path / "run" / "scores.jsonl").read_bytes().splitlines()
    assert orjson.loads(line)["score"]["task_id"] == tasks[2].id


async def test_an_episode_without_a_score_has_no_reward(file, tmp_path):
    (tmp_path / "settings.toml").write_text("[limits]\nseconds = 0.01\n")
    with serving("openenv", file, "--config", tmp_path / "settings.toml") as (url, _):
        async with client_of(url) as client:
            await client.reset()
            await asyncio.sleep(0.5)
            ended = await client.step(BYE)
    assert (ended.done, ended.reward) == (True, None)
    score = ended.observation["metadata"]["score"]
    assert (score["blame"], score["reason"]) == ("infrastructure", "time_limit")


async def test_the_rules_of_access_hold_for_requests_and_websockets(file, monkeypatch):
    monkeypatch.setenv("SYNTHAGENT_TOKEN", "secret")
    with serving("openenv", file) as (url, _):
        async with aiohttp.ClientSession() as web:
            async with web.get(f"{url}/health") as response:
                assert response.status == 403
            with pytest.raises(aiohttp.WSServerHandshakeError, match="403"):
                await web.ws_connect(f"{url}/ws")
            web.headers["Authorization"] = "Bearer secret"
            async with web.get(f"{url}/health") as response:
                assert response.status == 200
            async with web.ws_connect(f"{url}/ws") as socket:
                await socket.send_json({"type": "reset", "data": {}})
                assert (await socket.receive_json())["data"]["observation"]["messages"]
    monkeypatch.delenv("SYNTHAGENT_TOKEN")
    with serving("openenv", file) as (url, _):
        async with aiohttp.ClientSession() as web:
            for headers in ({"Host": "evil.example"}, {"Origin": "https://evil.example"}):
                with pytest.raises(aiohttp.WSServerHandshakeError, match="403"):
                    await web.ws_connect(f"{url}/ws", headers=headers)
