"""Response maps to test: every store, opened anew as often as one likes; tools to simulate; a worker to kill."""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest

from synthagent.llm.babble import Babble
from synthagent.llm.structured import Structured
from synthagent.schema.tasks import Task, identified
from synthagent.simulation.calling import called
from synthagent.simulation.episode import prepare
from synthagent.simulation.map_store import Entry, MapStore, MemoryStore, id_of, key_for
from synthagent.simulation.response_map import MapMode, ResponseMap, Simulation
from synthagent.simulation.simulated import SimulatedCall
from synthagent.simulation.tool_model import ToolModel
from synthagent.simulation.world import LiveWorld
from synthagent.storage.maps import open_store
from synthagent.synthesis.simulating import simulated
from tests.builders import library

KINDS = ("memory", "sqlite", "http", "redis")
LASTING = ("sqlite", "http", "redis")
"""Stores that outlive a process."""


def hybrid(*tools: str) -> Task:
    """The library with these tools simulated, by default those that read loans or members and one that writes."""
    return simulated(library(), tools or ("find_member", "list_loans", "place_hold"))


def undeclared(*tools: str) -> Task:
    """The same, but nobody has said what the simulated tools read and write."""
    task = hybrid(*tools)
    bare = tuple(tool.model_copy(update={"reads": None, "writes": None}) for tool in task.brief.tools)
    return identified(task.model_copy(update={"brief": task.brief.model_copy(update={"tools": bare})}))


class Place:
    """Where a store lives; `open` gives it as a new process would find it."""

    def __init__(self, kind: str, where: str):
        self.kind, self.where = kind, where
        self._memory = MemoryStore()

    def open(self) -> MapStore:
        return self._memory if self.kind == "memory" else open_store(self.where)


@contextmanager
def place(kind: str, folder: Path) -> Iterator[Place]:
    """A store of this kind, with whatever serves it in a process of its own."""
    if kind == "http":
        with owner(folder / "map.sqlite") as (url, _):
            yield Place(kind, url)
    elif kind == "redis":
        with redis_server(folder) as url:
            yield Place(kind, url)
    else:
        yield Place(kind, str(folder / "map.sqlite"))


@contextmanager
def owner(file: Path, port: int = 0) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """`synthagent serve map` on a free port, as a process."""
    command = [sys.executable, "-m", "synthagent.cli.main", "serve", "map", str(file), "--port", str(port)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        line = process.stderr.readline()
        assert "--map-store " in line, line + process.stderr.read()
        yield line.rsplit(" ", 1)[1].strip(), process
    finally:
        process.terminate()
        process.wait(timeout=10)
        process.stderr.close()


def redis_program() -> str | None:
    """Where Redis or Valkey is, if it is installed."""
    return shutil.which("redis-server") or shutil.which("valkey-server")


@contextmanager
def redis_server(folder: Path) -> Iterator[str]:
    """A Redis of our own on a free port, with nothing in it."""
    program = redis_program()
    if program is None and not os.environ.get("CI"):
        pytest.skip("neither redis-server nor valkey-server is installed")
    assert program is not None, "install redis-server (Debian) or valkey-server"
    port = free_port()
    command = [program, "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder), "--save", "",
               "--appendonly", "yes", "--appendfsync", "always"]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 10
        while time.monotonic() < until:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            time.sleep(0.02)
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        process.terminate()
        process.wait(timeout=10)


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


# ---- simulators


class Telling:
    """A simulator that says what it is told to, and remembers what it was asked."""

    name, prompt = "telling", "none"

    def __init__(self, *answers: Any, delay: float = 0.0):
        self.asked: list[tuple[SimulatedCall, list[Entry]]] = []
        self._answers, self._delay = list(answers), delay

    async def simulate(self, call: SimulatedCall, known: Sequence[Entry], draw: int = 0) -> Simulation:
        import anyio

        self.asked.append((call, list(known)))
        if self._delay:
            await anyio.sleep(self._delay)
        answer = self._answers.pop(0) if self._answers else f"answer {len(self.asked)}"
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, int):  # the entry of this number
            return Simulation(known[answer - 1])
        if isinstance(answer, Simulation):
            return answer
        return Simulation(None, True, orjson.dumps(answer).decode())


def babbling(store: MapStore, mode: MapMode = "state", who: str = "worker", **more: Any) -> ResponseMap:
    """A map whose simulator says something else every time."""
    return ResponseMap(store, ToolModel(Structured(Babble()), "scripted:random"), mode, who=who, **more)


@asynccontextmanager
async def opened(where: Place, **more: Any) -> AsyncIterator[ResponseMap]:
    """A babbling map on a store, as a new process would have it."""
    store = where.open()
    try:
        yield babbling(store, **more)
    finally:
        await store.aclose()


async def answers(world: LiveWorld, tools: ResponseMap, calls: Sequence[tuple[str, str]]) -> list[str]:
    """The responses to calls, one after another."""
    return [(await called(world, tools, name, raw))[0].response for name, raw in calls]


def entry(tool: str = "look", arguments: str = "{}", response: str = '"x"', state: str = "s", **more: Any) -> Entry:
    """An entry as a map would make it."""
    key = key_for("world", state, tool, arguments)
    found = {"key": key, "entry_id": id_of(key, more.get("ok", True), response), "alias_of": None,
             "world_id": "world", "state": state, "tool": tool, "arguments": arguments, "ok": True,
             "response": response, "who": "me", "model": "m", "prompt": "p", "made": 1.5}  # fmt: skip
    return Entry(**{**found, **more})


# ---- a worker to kill


def worker(where: str, calls: Sequence[tuple[str, str]]) -> "subprocess.Popen[str]":
    """A process that makes these calls in the hybrid library, printing each answer once it has it."""
    command = [sys.executable, "-m", "tests.maps", where, json.dumps(list(calls))]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[1])}
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)


async def work(where: str, calls: Sequence[tuple[str, str]]) -> None:
    store = open_store(where)
    tools = babbling(store, who=f"worker {os.getpid()}", lease=1.0)
    with prepare(hybrid()).blueprint.open() as world:
        for name, raw in calls:
            print(json.dumps((await answers(world, tools, [(name, raw)]))[0]), flush=True)
    await store.aclose()


if __name__ == "__main__":
    import anyio

    anyio.run(work, sys.argv[1], json.loads(sys.argv[2]))
