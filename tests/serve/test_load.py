"""The load test itself, with few sessions: what it measures is real, and what goes wrong is not measured."""

import json
import subprocess
import sys
from dataclasses import replace

import pytest

from benchmarks.serve.__main__ import main
from benchmarks.serve.client import load
from benchmarks.serve.measures import Wrong
from benchmarks.serve.running import measured
from benchmarks.serve.scripts import STEPS, read_scripts, write_scripts
from benchmarks.serve.servers import Server
from synthagent.errors import InputError
from tests.serve.processes import serving

SESSIONS = 20


def test_sessions_are_played_to_their_rewards(tmp_path, capsys):
    file = tmp_path / "load.json"
    main(["--sessions", str(SESSIONS), "--rounds", "1", "--tasks", "2", "--out", str(file)])
    found = json.loads(file.read_text())
    ours, bare = found["servers"]["synthagent http"], found["servers"]["bare http"]
    assert (ours["sessions"], ours["reward"]) == (SESSIONS, 1.0)
    assert bare["reward"] is None, "it answers, and plays nothing"
    for one in (ours, bare):
        assert one["steps_per_second"] > one["sessions_per_second"] > 0
        assert 0 < one["step_p50_ms"] <= one["step_p99_ms"]
        assert 0 < one["reset_p50_ms"] <= one["reset_p99_ms"]
        assert one["peak_mb"] > 10
    assert found["serve_step"]["value"] == ours["step_cpu_ms"] > bare["step_cpu_ms"]
    for peer in ("synthagent openenv", "openenv echo", "verifiers echo"):
        assert "make bench-serve" in found["servers"][peer]["not_run"]
    assert "step_cpu_ms" in capsys.readouterr().out


@pytest.fixture
def played(tmp_path):
    """A task file with one task, and the task's script."""
    tasks, scripts = write_scripts(tmp_path, 1)
    [script] = read_scripts(scripts)
    return tasks, script


async def test_a_session_that_comes_to_another_reward_is_not_measured(played):
    tasks, script = played
    assert len(script.turns) == STEPS
    assert any(turn.get("tool_calls") for turn in script.turns)
    with serving("http", tasks) as (url, process):
        found = await load("http", url, process.pid, [script], 3)
        assert found["reward"] == script.reward == 1.0
        with pytest.raises(Wrong, match=script.task_id):
            await load("http", url, process.pid, [replace(script, reward=0.5)], 3)
        lazy = (*script.turns[:2], {"role": "assistant", "content": "Goodbye."}, *script.turns[3:])
        with pytest.raises(Wrong, match="expected"):
            await load("http", url, process.pid, [replace(script, turns=lazy)], 3)


CARRIES_TWELVE = """
import json, sys
sessions = int(sys.argv[-1])
sys.exit("too many of them" if sessions > 12 else print(json.dumps({"sessions": sessions})))
"""


def test_another_s_server_is_measured_at_what_it_carries_and_ours_must_carry_all(tmp_path):
    listens = (sys.executable, "-c", "print('http://127.0.0.1:1', flush=True); input()")
    peer = Server("peer", listens, (sys.executable, "-c", CARRIES_TWELVE), ours=False)
    [first, second] = measured([peer], tmp_path / "scripts", tmp_path, 44, 2)["peer"]
    assert (first["sessions"], list(first["too_many"])) == (11, ["44", "22"])
    assert "too many of them" in first["too_many"]["22"]
    assert second == {"sessions": 11, "too_many": {}}, "it is not asked for more again"
    with pytest.raises(InputError, match="44 sessions: too many of them"):
        measured([replace(peer, ours=True)], tmp_path / "scripts", tmp_path, 44, 1)
    with pytest.raises(InputError, match="did not begin to listen: no such luck"):
        measured([replace(peer, command=(sys.executable, "-c", "exit('no such luck')"))], tmp_path, tmp_path, 44, 1)


def test_it_says_how_many_files_it_needs(tmp_path):
    command = f"ulimit -n 200; exec {sys.executable} -m benchmarks.serve --sessions 2000 --out {tmp_path}/load.json"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "there is room for 72 (raise it (ulimit -Hn" in done.stderr
