"""Play: a person is the agent, and the reward is that of any other episode."""

from pathlib import Path

import orjson

from synthagent.simulation.agent import View, assistant_message
from synthagent.simulation.episode import prepare
from synthagent.simulation.scripted_agents import scripted
from synthagent.storage.task_file import read_tasks


async def test_a_person_who_does_as_the_reference_does_earns_the_full_reward(viewing, tasks: Path):
    task = next(iter(read_tasks(tasks)))
    async with viewing(tasks) as ask:
        opened = await ask.post("/api/play", {"set": "tasks.jsonl", "task": task.id}, 201)
        assert "ask_user" in [tool["function"]["name"] for tool in opened["tools"]]
        history, done = list(opened["messages"]), False
        player = scripted("reference", prepare(task))
        while not done:
            act = await player.act(View(task.brief, "tools", history))
            message = assistant_message(act.content, act.tool_calls)
            step = await ask.post(f"/api/play/{opened['id']}/turn", message)
            history, done = [*history, *step["messages"]], step["done"]
        found = await ask.post(f"/api/play/{opened['id']}/close", {})
        assert "no such episode" in (await ask.post(f"/api/play/{opened['id']}/turn", {"content": "x"}, 400))["error"]
    assert found["score"]["reward"] == 1.0
    assert found["episode"]["agent"] == "human"
    assert all(one["good"] for one in found["criteria"])


async def test_what_the_player_is_told_holds_nothing_hidden(viewing, tasks: Path):
    for task in read_tasks(tasks):
        async with viewing(tasks) as ask:
            opened = await ask.post("/api/play", {"set": "tasks.jsonl", "task": task.id}, 201)
        text = orjson.dumps(opened).decode()
        assert task.brief.instruction in orjson.dumps([m["content"] for m in opened["messages"]]).decode()
        for secret in (
            task.hidden.goal,
            *(fact.text for fact in task.hidden.facts),
            *map(sql_of, task.world.programs.values()),
        ):
            assert secret not in text


def sql_of(steps) -> str:
    return orjson.dumps([step.model_dump(mode="json") for step in steps]).decode()


async def test_what_is_no_turn_is_named_and_costs_nothing(viewing, tasks: Path):
    task = next(iter(read_tasks(tasks)))
    async with viewing(tasks) as ask:
        opened = await ask.post("/api/play", {"set": "tasks.jsonl", "task": task.id}, 201)
        path = f"/api/play/{opened['id']}"
        assert "content" in (await ask.post(f"{path}/turn", {"content": 5}, 400))["error"]
        assert "no JSON object" in (await ask.post(f"{path}/turn", [], 400))["error"]
        assert "no task" in (await ask.post("/api/play", {"set": "tasks.jsonl", "task": "none"}, 400))["error"]
        found = await ask.post(f"{path}/close", {})
    assert found["episode"]["turns"] == 1
    assert found["score"]["reward"] < 1
