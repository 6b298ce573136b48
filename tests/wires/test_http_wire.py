"""Plain HTTP, and the run that every wire is compared with."""

import aiohttp

from synthagent.storage.task_file import read_tasks
from tests.serve.driving import drive
from tests.serve.processes import serving
from tests.wires.common import agent_for, agree, rolled, scored, task_file


async def sent(client, url, body=None):
    async with client.post(url, json=body or {}) as response:
        assert response.status in (200, 201), await response.text()
        return await response.json()


async def played(client, url, number, task):
    opened = await sent(client, f"{url}/sessions", {"task_id": task.id})
    at = f"{url}/sessions/{opened['session']}"

    async def turn(message):
        step = await sent(client, f"{at}/step", {"message": message})
        return step["messages"], step["done"]

    await drive(task, opened["messages"], agent_for(number, task), turn)
    return scored(await sent(client, f"{at}/close"))


async def test_a_rollout_is_repeatable():
    await agree("rollout", "synthagent", await rolled())


async def test_http(tmp_path):
    file = task_file(tmp_path)
    with serving("http", file) as (url, _):
        async with aiohttp.ClientSession() as client:
            found = [await played(client, url, number, task) for number, task in enumerate(read_tasks(file))]
    await agree("http", "aiohttp", found)
