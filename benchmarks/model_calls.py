"""A thousand concurrent episodes of a model agent, against an aiohttp client that sends the same bodies.

Everybody has a process of their own: the endpoint (`synthagent.llm.stub`, 200 ms late), our side, and the bare client.
"""

import asyncio
import contextlib
import json
import random
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from time import process_time
from typing import Any

import aiohttp
import orjson

from benchmarks.figures import Figure, Target, against
from benchmarks.floors import exchanges
from benchmarks.stages import tasks
from synthagent.llm.model import ChatReply
from synthagent.llm.openai import OpenAIChat
from synthagent.llm.pacing import Limiter, paced
from synthagent.llm.retrying import retried
from synthagent.llm.scripted import calling
from synthagent.llm.stub import StubServer
from synthagent.rollouts.batch import Order, roll_batch
from synthagent.rollouts.group import Casting, Outcome
from synthagent.schema.episodes import Limits
from synthagent.simulation.episode import Cast, Stage, facts_user
from synthagent.simulation.model_agent import ModelAgent, Sampling, sampling_seed
from synthagent.storage.task_file import read_tasks, write_tasks

REPEATS = 3
LATENCY = 0.2
TASKS, SAMPLES, TURNS = 50, 20, 5
EPISODES, CALLS = TASKS * SAMPLES, TASKS * SAMPLES * TURNS
LIMITS = Limits(turns=TURNS, malformed=TURNS + 1)


def model_calls() -> Iterator[Figure]:
    """CPU of a model call, and the memory of a thousand episodes at once. Aim: 1.5 ms a call."""
    with tempfile.TemporaryDirectory() as folder, _endpoint() as url:
        file, bodies = Path(folder, "tasks.jsonl"), Path(folder, "bodies.json")
        write_tasks(file, tasks(TASKS))
        _child("record", url, file, bodies)
        runs = [(_child("ours", url, file), _child("bare", url, bodies)) for _ in range(REPEATS)]
    pairs = [(ours["cpu"] / CALLS * 1e3, bare["cpu"] / CALLS * 1e3) for ours, bare in runs]
    yield against("model_call", "ms", pairs, Target("ratio", "<=", 4))
    memory = [(ours["megabytes"], bare["megabytes"]) for ours, bare in runs]
    yield against("model_memory", "MB", memory, Target("value", "<=", 600))


# ---- the other processes


def _child(what: str, *arguments: object) -> dict[str, float]:
    """Runs a part of this module as a program and reads the JSON line that it prints."""
    command = [sys.executable, "-m", "benchmarks.model_calls", what, *map(str, arguments)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    found: dict[str, float] = json.loads(done.stdout)
    return found


@contextlib.contextmanager
def _endpoint() -> Iterator[str]:
    server = subprocess.Popen([sys.executable, "-m", "benchmarks.model_calls", "serve"], stdout=subprocess.PIPE)
    assert server.stdout is not None
    try:
        yield server.stdout.readline().decode().strip()
    finally:
        server.terminate()
        server.wait()
        server.stdout.close()


async def _serve() -> None:
    async with StubServer(_answer, latency=LATENCY, remember=False) as url:
        print(url, flush=True)
        await asyncio.get_running_loop().create_future()


def _answer(body: dict[str, Any]) -> str | ChatReply:
    """A question to the user, then one tool after another. Depends on the request alone, so that runs are alike."""
    turn = sum(message["role"] == "assistant" for message in body["messages"])
    if turn % TURNS == 0:
        return "May I have your name, please?"
    tools = [tool["function"] for tool in body["tools"] if tool["function"]["name"] != "transfer_to_human"]
    function = tools[turn % len(tools)]
    return calling((function["name"], dict.fromkeys(function["parameters"].get("properties", {}), "Emma")))


async def _play(url: str, file: Path) -> None:
    chat = OpenAIChat("stub", url)
    model = retried(paced(chat, Limiter(start=EPISODES, most=EPISODES)), rng=random.Random(0))

    def casting(stage: Stage, sample: int) -> Cast:
        seed = sampling_seed(0, stage.task.id, sample)
        return Cast(ModelAgent(model, "stub", "native", Sampling(), seed), facts_user(stage))

    async with contextlib.aclosing(model):
        await _roll(file, casting)


async def _record(url: str, file: Path) -> list[list[str]]:
    """Plays the same episodes and gives what was sent: a list of bodies a conversation."""
    recorders: list[_Recorder] = []
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        def casting(stage: Stage, sample: int) -> Cast:
            recorders.append(_Recorder(session))
            chat = OpenAIChat("stub", url, pool=recorders[-1])  # type: ignore[arg-type]
            seed = sampling_seed(0, stage.task.id, sample)
            return Cast(ModelAgent(chat, "stub", "native", Sampling(), seed), facts_user(stage))

        await _roll(file, casting)
    return [recorder.bodies for recorder in recorders]


async def _roll(file: Path, casting: Casting) -> None:
    turns: list[int] = []

    def sink(outcome: Outcome) -> None:
        turns.append(outcome.episode.turns)

    await roll_batch(read_tasks(file), Order("stub", casting, LIMITS, SAMPLES, 0, in_flight=EPISODES), sink)
    assert turns == [TURNS] * EPISODES, "an episode ended early"


class _Recorder:
    """A session that keeps the bodies it posts."""

    def __init__(self, session: aiohttp.ClientSession):
        self.bodies: list[str] = []
        self._session = session

    def post(self, url: Any, *, data: bytes, **options: Any) -> Any:
        self.bodies.append(data.decode())
        return self._session.post(url, data=data, **options)


def main(what: str, *arguments: str) -> None:
    """One of the other processes."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    if what == "serve":
        asyncio.run(_serve())
    url, *files = arguments[0], *map(Path, arguments[1:])
    if what == "record":
        files[1].write_bytes(orjson.dumps(asyncio.run(_record(url, files[0]))))
    sent = [[b.encode() for b in bodies] for bodies in orjson.loads(files[0].read_bytes())] if what == "bare" else []
    begun = process_time()
    if what == "ours":
        asyncio.run(_play(url, files[0]))
    if what == "bare":
        asyncio.run(exchanges(f"{url}/chat/completions", sent))
    spent = process_time() - begun
    print(json.dumps({"cpu": spent, "megabytes": _peak_megabytes()}))


def _peak_megabytes() -> float:
    """Our own peak. `ru_maxrss` will not do where it can be helped: it is never less than our parent's."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main(*sys.argv[1:])
