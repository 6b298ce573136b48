"""serve http: a process that serves episodes, and the run folder in which they are found afterwards."""

import signal
import subprocess
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest

from synthagent.simulation.episode import prepare
from synthagent.simulation.scripted_agents import scripted
from synthagent.storage.task_file import read_tasks
from tests.serve.driving import drive
from tests.serve.processes import PROGRAM, serving


async def sent(session: aiohttp.ClientSession, url: str, body: Any = None) -> Any:
    async with session.post(url, json=body or {}) as response:
        assert response.status in (200, 201), await response.text()
        return await response.json()


async def played(url: str, tasks: Path, name: str) -> dict[str, Any]:
    """The next task, played by a scripted agent over HTTP."""
    async with aiohttp.ClientSession() as client:
        opened = await sent(client, f"{url}/sessions")
        [task] = [task for task in read_tasks(tasks) if task.id == opened["task_id"]]
        at = f"{url}/sessions/{opened['session']}"

        async def turn(message: dict[str, Any]) -> tuple[list[dict[str, Any]], bool]:
            step = await sent(client, f"{at}/step", {"message": message})
            return step["messages"], step["done"]

        await drive(task, opened["messages"], scripted(name, prepare(task)), turn)
        return await sent(client, f"{at}/close")


def scores(run: Path) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in (run / "scores.jsonl").read_bytes().splitlines()]


async def test_an_episode_played_over_http_is_in_the_run_folder_when_the_server_stops(cli, tasks, tmp_path: Path):
    run = tmp_path / "run"
    with serving("http", tasks, "--out", run, "--name", "mine") as (url, process):
        first = await played(url, tasks, "reference")
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0
    assert first["reward"] == 1.0
    assert first["verdicts"]["subgoals"]
    with serving("http", tasks, "--out", run, "--name", "mine", "--resume", "--no-detail") as (url, _):
        again = await played(url, tasks, "done")
    assert "verdicts" not in again
    assert (again["task_id"], again["sample"]) == (first["task_id"], 1), "try 0 is there already"
    kept = {(one["score"]["task_id"], one["score"]["sample"]): one["score"]["reward"] for one in scores(run)}
    assert kept == {(first["task_id"], 0): 1.0, (first["task_id"], 1): again["reward"]}
    [line] = cli("report", run, "--json").json
    assert (line["agent"], line["episodes"]) == ("mine", 2)


@pytest.mark.parametrize("wire", ["http"])
def test_what_cannot_be_served_is_told_at_once(cli, tasks: Path, tmp_path: Path, monkeypatch, wire: str):
    monkeypatch.delenv("SYNTHAGENT_TOKEN", raising=False)
    open_ = cli("serve", wire, tasks, "--host", "0.0.0.0")
    assert (open_.code, "SYNTHAGENT_TOKEN" in open_.err) == (2, True)
    (tmp_path / "empty.jsonl").touch()
    empty = cli("serve", wire, tmp_path / "empty.jsonl")
    assert (empty.code, "there is no task in it" in empty.err) == (2, True)
    assert cli("serve", wire, tasks, "--user", "gpt").code == 2


@pytest.mark.parametrize(("wire", "words"), [("mcp", ["--http"]), ("mcp", ["--task", "TASK"]), ("openenv", [])])
def test_a_wire_whose_peer_is_not_installed_says_what_to_install(cli, tasks: Path, wire: str, words: list[str]):
    if find_spec(wire) is not None:
        pytest.skip(f"{wire} is here")
    done = cli("serve", wire, tasks, *words)
    assert (done.code, f"pip install 'synthagent[{wire}]'" in done.err) == (2, True), done.err


def test_over_stdio_a_task_must_be_named(cli, tasks: Path):
    done = cli("serve", "mcp", tasks)
    assert (done.code, "--task is missing" in done.err) == (2, True)


def test_a_port_in_use_is_told(cli, tasks: Path):
    with serving("http", tasks) as (url, _):
        done = cli("serve", "http", tasks, "--port", url.rpartition(":")[2])
        assert (done.code, "cannot listen" in done.err, "--port" in done.err) == (2, True, True), done.err


@pytest.mark.parametrize(
    ("limits", "room"), [("ulimit -Sn 200", 328), ("ulimit -n 200", 72)], ids=["a soft limit", "a hard limit"]
)
def test_a_server_makes_room_for_its_sessions_as_far_as_it_may(tasks, limits: str, room: int):
    words = ["serve", "http", str(tasks), "--port", "0", "--sessions", "200"]
    command = f"{limits}; exec {' '.join([*PROGRAM, *words])}"
    process = subprocess.Popen(["sh", "-c", command], stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        assert "tasks are served" in process.stderr.readline()
        [files] = [
            line for line in Path(f"/proc/{process.pid}/limits").read_text().splitlines() if "open files" in line
        ]
        if room < 200:
            assert f"room for {room} connections, and not 200" in process.stderr.readline()
        else:
            assert int(files.split()[3]) == room
    finally:
        process.terminate()
        rest = process.communicate(timeout=60)[1]
    assert "room" not in rest
