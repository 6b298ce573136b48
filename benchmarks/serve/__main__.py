"""Runs every server under the same load, prints a table, and writes JSON."""

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.figures import Figure, Target, against, machine
from benchmarks.serve.processes import check_room
from benchmarks.serve.running import Found, measured
from benchmarks.serve.scripts import STEPS, write_scripts
from benchmarks.serve.servers import of_openenv, of_verifiers, servers
from synthagent.errors import InputError

BUSY = 0.9
"""Share of one core from which on a process is what limits the rate."""
MISSING = {
    "synthagent openenv": "no --openenv: make bench-serve installs OpenEnv in an environment of its own",
    "openenv echo": "no --openenv: make bench-serve installs OpenEnv in an environment of its own",
    "verifiers echo": "no --verifiers: make bench-serve installs verifiers in an environment of its own",
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Raises `InputError` if sessions of ours go wrong, or files may not be opened."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serve", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="where the JSON goes")
    parser.add_argument("--sessions", type=int, default=2000, help="open at once")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each server; medians are told")
    parser.add_argument("--tasks", type=int, default=24, help="different tasks that the sessions play")
    parser.add_argument("--openenv", help="a Python that has synthagent[openenv]")
    parser.add_argument("--verifiers", help="a Python that has synthagent and verifiers")
    chosen = parser.parse_args(arguments)
    check_room(2 * chosen.sessions)  # verifiers has two connections a session: it is asked, and asks
    about = machine()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tasks, scripts = write_scripts(folder, chosen.tasks)
        lined_up = servers(tasks, scripts, chosen.sessions + chosen.tasks)
        lined_up += of_openenv(chosen.openenv, tasks, chosen.sessions + chosen.tasks) if chosen.openenv else []
        lined_up += of_verifiers(chosen.verifiers) if chosen.verifiers else []
        found = measured(lined_up, scripts, folder, chosen.sessions, chosen.rounds)
    figures = _figures(found)
    load = {"sessions": chosen.sessions, "steps": STEPS, "rounds": chosen.rounds, "tasks": chosen.tasks}
    told = {server: _summary(rounds) for server, rounds in found.items()}
    told |= {server: {"not_run": why} for server, why in MISSING.items() if server not in found}
    plain = {figure.name: figure.plain() for figure in figures}
    chosen.out.parent.mkdir(parents=True, exist_ok=True)
    chosen.out.write_text(
        json.dumps({"_machine": about, "_load": load, **plain, "servers": told}, indent=2) + "\n", encoding="utf-8"
    )
    Console(width=130).print(_table(told, load))
    for figure in figures:
        print(f"{figure.name}: {figure.value:.3g} {figure.unit}, {figure.target}: {'yes' if figure.passed else 'NO'}")


def _summary(rounds: Sequence[Mapping[str, Any]]) -> Found:
    """Medians over rounds, what limited the rate, and why there were no more sessions."""
    numbers = {name: [one[name] for one in rounds] for name in rounds[0] if name != "too_many"}
    found: Found = {
        name: None if None in values else float(f"{median(values):.4g}") for name, values in numbers.items()
    }
    server, client = found["server_busy"], found["client_busy"]
    found["limited_by"] = "neither" if max(server, client) < BUSY else "server" if server >= client else "client"
    if rounds[0]["too_many"]:
        found["too_many"] = rounds[0]["too_many"]
    return found


def _figures(found: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[Figure]:
    """Ours beside the bare server of the same round."""
    pairs = list(zip(found["synthagent http"], found["bare http"], strict=True))
    steps = [(ours["step_cpu_ms"], bare["step_cpu_ms"]) for ours, bare in pairs]
    own = median(ours - bare for ours, bare in steps)
    memory = median(ours["session_kb"] for ours, _ in pairs)
    return [
        against("serve_step", "ms", steps, Target("value", "<=", 1.0)),
        Figure("serve_step_own", own, "ms", None, None, Target("value", "<=", 0.5)),
        Figure("serve_session_memory", memory, "KB", None, None, Target("value", "<=", 256)),
    ]


def _table(told: Mapping[str, Mapping[str, Any]], load: Mapping[str, int]) -> Table:
    table = Table(title=f"{load['sessions']} sessions at once, {load['steps']} steps each", title_justify="left")
    table.add_column("")
    for name in told:
        table.add_column(name, justify="right")
    for measure in told["synthagent http"]:
        cells = [one.get(measure) for one in told.values()]
        plain = ["-" if cell is None else cell if isinstance(cell, str) else f"{cell:g}" for cell in cells]
        table.add_row(measure, *plain)
    return table


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        sys.exit(f"error: {error}")
