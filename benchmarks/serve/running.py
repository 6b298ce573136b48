"""Servers and clients, run one after another: as many sessions as each server carries."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson

from benchmarks.serve.processes import started
from benchmarks.serve.servers import Server
from synthagent.errors import InputError

Found = dict[str, Any]
FEWEST = 10
"""Sessions below which a server is given up."""
PATIENCE = 1800.0
"""Seconds that a client may take."""


def measured(
    lined_up: Sequence[Server], scripts: Path, folder: Path, sessions: int, rounds: int
) -> dict[str, list[Found]]:
    """Server -> what each round found; rounds go through all servers, so that none has the quiet hour to itself."""
    found: dict[str, list[Found]] = {server.name: [] for server in lined_up}
    for number in range(rounds):
        for server in lined_up:
            print(f"round {number + 1}: {server.name}", file=sys.stderr, flush=True)
            before = found[server.name]
            most = before[0]["sessions"] if before else sessions
            before.append(_carried(server, scripts, folder / "log", most))
    return found


def _carried(server: Server, scripts: Path, log: Path, sessions: int) -> Found:
    """What one run found, with as many sessions as the server carries; `too_many`: why it carried no more."""
    too_many: dict[str, str] = {}
    while True:
        try:
            found = _run(server, scripts, log, sessions)
            return {**found, "too_many": too_many}
        except InputError as error:
            too_many[str(sessions)] = str(error)
            if server.ours or sessions // 2 < FEWEST:
                raise
            sessions //= 2


def _run(server: Server, scripts: Path, log: Path, sessions: int) -> Found:
    """One server process, one client process. Raises `InputError` with what either said last."""
    with started(server.command, log) as (url, pid):
        command = [*server.client, url, str(pid), str(scripts), str(sessions)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
        except subprocess.TimeoutExpired:
            raise InputError(f"{sessions} sessions took more than {PATIENCE:g} s", where=server.name) from None
        if done.returncode:
            said = done.stderr.strip() or log.read_text(encoding="utf-8", errors="replace").strip()
            raise InputError(f"{sessions} sessions: {said[-300:]}", where=server.name)
    found: Found = orjson.loads(done.stdout)
    return found
