"""Commands in processes of their own, and how to kill what they began."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from synthagent.schema.scores import Scored
from synthagent.storage.run_folder import RunFolder

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 120.0
"""Seconds within which something must have happened on a busy machine."""


def command(*words: object, **environ: str) -> subprocess.Popen[str]:
    """`synthagent`, under way."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "RAY_USAGE_STATS_ENABLED": "0", **environ}
    return subprocess.Popen(
        [sys.executable, "-m", "synthagent.cli.main", *map(str, words)], stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, env=environment,
    )  # fmt: skip


def done(process: subprocess.Popen[str]) -> str:
    """What it printed, once it has ended well."""
    out, _ = process.communicate(timeout=5 * PATIENCE)
    assert process.returncode == 0, out
    return out


def until(true: Callable[[], Any], what: str) -> Any:
    """Waits until it is."""
    give_up = time.monotonic() + PATIENCE
    while not (found := true()):
        assert time.monotonic() < give_up, f"it never came to this: {what}"
        time.sleep(0.05)
    return found


def journaled(run: Path) -> int:
    """Episodes in the journal of a run."""
    file = run / "episodes.jsonl"
    return file.read_bytes().count(b"\n") if file.exists() else 0


def actors(kind: str) -> list[int]:
    """Processes of the actors of a class, on this machine."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            words = (entry / "cmdline").read_bytes() if entry.name.isdigit() else b""
        except OSError:
            continue
        if words.startswith(f"ray::{kind}".encode()):
            found.append(int(entry.name))
    return sorted(found)


def gcs_address() -> str:
    """Where the cluster that runs on this machine can be joined."""
    for entry in Path("/proc").iterdir():
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0") if entry.name.isdigit() else []
        except OSError:
            continue
        found = [word.partition(b"=")[2] for word in words if word.startswith((b"--gcs-address=", b"--gcs_address="))]
        if found and found[0]:
            return found[0].decode()
    raise AssertionError("there is no cluster")


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


def played(run: Path) -> dict[tuple[str, str, int], Any]:
    """What happened in each episode, without its times: (agent, task, sample) -> events and how it ended."""
    found: dict[tuple[str, str, int], Any] = {}
    with RunFolder.open(run) as folder:
        for episode in folder.episodes():
            key = (episode.agent, episode.task_id, episode.sample)
            assert key not in found, "an episode was kept twice"
            events = [event.model_dump(mode="json", exclude={"seconds"}) for event in episode.events]
            found[key] = (events, episode.stop, episode.digest, episode.failure)
    return found


def rewards(run: Path) -> dict[tuple[str, str, int], float]:
    """The latest reward of each episode."""
    with RunFolder.open(run) as folder:
        lines = [(line.agent, line.score) for line in folder.scores()]
    return {(agent, score.task_id, score.sample): score.reward for agent, score in lines if isinstance(score, Scored)}
