"""Play: a person is the agent, and the reward is that of any other episode."""

from pathlib import Path

import orjson

from synthagent.simulation.agent import View, assistant_message
from synthagent.simulation.episode import prepare
from synthagent.simulation.scripted_agents import scripted
from synthagent.storage.run_folder import RunFolder
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
    assert found["episode"]["agent"] == "person"
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


async def played(ask, task) -> str:
    """An episode of no effort that is over; its id."""
    opened = await ask.post("/api/play", {"set": "tasks.jsonl", "task": task.id}, 201)
    await ask.post(f"/api/play/{opened['id']}/turn", {"role": "assistant", "content": "No."})
    await ask.post(f"/api/play/{opened['id']}/close", {})
    return opened["id"]


async def test_what_was_played_is_kept_in_a_run_of_its_own_and_seen_there(viewing, tasks: Path, tmp_path: Path):
    one, two = list(read_tasks(tasks))[:2]
    async with viewing(tasks) as ask:
        assert (await ask.get("/api/library"))["runs"] == []
        kept = [
            await ask.post(f"/api/play/{await played(ask, task)}/keep", {}, 201) for task in (one, two, one)
        ]  # fmt: skip
        found = await ask.get("/api/runs/person/episode", agent="person", task=one.id, sample=1)
        [run] = (await ask.get("/api/library"))["runs"]
        page = await ask.get("/api/runs/person/episodes", task_id=one.id)
    names = [(row["run"], row["agent"], row["task_id"], row["sample"]) for row in kept]
    assert names == [("person", "person", one.id, 0), ("person", "person", two.id, 0), ("person", "person", one.id, 1)]
    assert found["task"]["instruction"] == one.brief.instruction
    assert found["score"]["sample"] == 1
    assert (run["name"], run["episodes"], run["wanted"], run["tasks"]) == ("person", 3, 3, 2)
    assert page["total"] == 2
    with RunFolder.open(tmp_path / "person") as folder:
        assert [task.id for task in folder.tasks()] == [one.id, two.id]
        assert {line.agent for line in folder.scores()} == {"person"}


async def test_an_episode_is_kept_once_and_only_when_it_is_over(viewing, tasks: Path):
    task = next(iter(read_tasks(tasks)))
    async with viewing(tasks) as ask:
        opened = await ask.post("/api/play", {"set": "tasks.jsonl", "task": task.id}, 201)
        early = await ask.post(f"/api/play/{opened['id']}/keep", {}, 400)
        id_ = await played(ask, task)
        await ask.post(f"/api/play/{id_}/keep", {}, 201)
        again = await ask.post(f"/api/play/{id_}/keep", {}, 400)
    assert "no such episode has ended" in early["error"]
    assert "it was kept already" in again["error"]


async def test_a_folder_that_holds_something_else_is_left_alone_and_the_episode_can_still_be_kept(
    viewing, tasks: Path, tmp_path: Path
):
    task = next(iter(read_tasks(tasks)))
    foreign = tmp_path / "person" / "diary.txt"
    foreign.parent.mkdir()
    foreign.write_text("mine")
    async with viewing(tasks) as ask:
        id_ = await played(ask, task)
        refused = await ask.post(f"/api/play/{id_}/keep", {}, 400)
        foreign.unlink()
        kept = await ask.post(f"/api/play/{id_}/keep", {}, 201)
    assert "diary.txt" in refused["error"]
    assert kept["sample"] == 0


async def test_what_changes_something_is_refused_from_other_sites(viewing, tasks: Path):
    task = next(iter(read_tasks(tasks)))
    body = {"set": "tasks.jsonl", "task": task.id}
    async with viewing(tasks) as ask:
        strange = (
            {"Origin": "https://evil.example"},
            {"Origin": "null"},
            {"Sec-Fetch-Site": "cross-site"},
            {"Sec-Fetch-Site": "same-site"},
            {"Content-Type": "text/plain"},
            {"Content-Type": "application/x-www-form-urlencoded"},
        )
        for headers in strange:
            await ask.post("/api/play", body, 403, **headers)
        await ask.post("/api/play", body, 201, Origin=ask.url)
