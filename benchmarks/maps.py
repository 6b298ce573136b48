"""Response maps: hits and puts a second in the stores that need no server of others, and the model calls they save."""

import asyncio
import contextlib
import os
import random
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import astuple, replace
from hashlib import sha256
from pathlib import Path

import orjson

from benchmarks.figures import Figure, Target, against, cpu
from benchmarks.stages import Script, scripts
from synthagent.llm.babble import Babble
from synthagent.llm.structured import Structured
from synthagent.schema.tasks import Task
from synthagent.simulation.calling import called
from synthagent.simulation.episode import prepare
from synthagent.simulation.map_store import Entry, MapStore, MemoryStore, id_of
from synthagent.simulation.response_map import MapMode, ResponseMap, Simulation, key_of
from synthagent.simulation.simulated import SimulatedCall
from synthagent.simulation.tool_model import ToolModel
from synthagent.storage.maps.remote import RemoteStore
from synthagent.storage.maps.sqlite import SqliteStore
from synthagent.synthesis.simulating import simulated

ENTRIES = 20_000
SERVED = 8_000
REPEATS = 3
WORKERS, HOT = 64, 100
GROUP, STEPS, TASKS = 16, 8, 10
RESPONSE = orjson.dumps([{"loan_id": f"L-{n}", "title": "The Glass Harbour", "due": "2031-05-23"} for n in range(3)])


def maps() -> Iterator[Figure]:
    """Aims: hits 50,000/s in memory, 20,000/s in SQLite, 2,000/s served; puts 10,000/s; one model call a hot key."""
    calls, played = _calls(ENTRIES), scripts(TASKS)
    entries = [_entry(call) for call in calls]
    with asyncio.Runner() as runner, tempfile.TemporaryDirectory() as folder:
        yield _hits(
            "map_hits_memory", runner, _filled(runner, MemoryStore(), entries), calls, _dictionary(calls), 50_000
        )
        yield _puts(runner, Path(folder), entries)
        store = _filled(runner, SqliteStore.open(Path(folder, "map.sqlite")), entries)
        yield _hits("map_hits_sqlite", runner, store, calls, _selects(Path(folder), entries), 20_000)
        runner.run(store.aclose())
        yield _served(runner, Path(folder, "map.sqlite"), calls[:SERVED])
        yield runner.run(_single_flight(calls[:HOT]))
        yield from runner.run(_model_calls(played))


def _calls(count: int) -> list[SimulatedCall]:
    """Different calls of one simulated tool in one state."""
    stage = prepare(simulated(scripts(20)[0].stage.task, ()))
    with stage.blueprint.open() as world:
        posed = (world.begin(name, raw) for name, raw in scripts(20)[0].calls)
        call = next(call for call in posed if isinstance(call, SimulatedCall))
    return [replace(call, canonical=f'{{"name":"somebody {n}"}}') for n in range(count)]


def _entry(call: SimulatedCall) -> Entry:
    key, response = key_of(call), RESPONSE.decode()
    return Entry(key, id_of(key, True, response), None, call.world_id, call.state, call.tool.tool.name, call.canonical,
                 True, response, "[]", "bench", "bench", "bench", 0.0)  # fmt: skip


def _filled(runner: asyncio.Runner, store: MapStore, entries: Sequence[Entry]) -> MapStore:
    async def fill() -> None:
        for entry in entries:
            await store.put(entry)

    runner.run(fill())
    return store


def _hits(
    name: str, runner: asyncio.Runner, store: MapStore, calls: Sequence[SimulatedCall], floor: float, aim: float
) -> Figure:
    """Every call once, by a worker that has heard no answer yet."""

    async def ask_all(tools: ResponseMap) -> None:
        for call in calls:
            await tools.answer(call)

    rates = [len(calls) / cpu(lambda: runner.run(ask_all(ResponseMap(store, None, "frozen")))) for _ in range(REPEATS)]
    best = sorted(rates)[REPEATS // 2]
    return Figure(name, best, "1/s", floor, best / floor, Target("value", ">=", aim))


def _dictionary(calls: Sequence[SimulatedCall]) -> float:
    """A hash of a text and a look into a dictionary, a second."""
    known = {sha256(call.canonical.encode()).hexdigest(): call for call in calls}
    return len(calls) / cpu(lambda: [known[sha256(call.canonical.encode()).hexdigest()] for call in calls])


def _selects(folder: Path, entries: Sequence[Entry]) -> float:
    """Bare SELECTs of the same rows by key, a second."""
    db = sqlite3.connect(folder / "bare.sqlite")
    keys = [(entry.key,) for entry in entries]
    rate = len(keys) / cpu(
        lambda: [db.execute("SELECT body FROM entries WHERE key = ?", key).fetchone() for key in keys]
    )
    db.close()
    return rate


def _puts(runner: asyncio.Runner, folder: Path, entries: Sequence[Entry]) -> Figure:
    pairs = []
    for repeat in range(REPEATS):
        store = SqliteStore.open(folder / f"puts-{repeat}.sqlite")
        ours = len(entries) / cpu(lambda store=store: _filled(runner, store, entries))  # type: ignore[misc]
        runner.run(store.aclose())
        (folder / "bare.sqlite").unlink(missing_ok=True)
        pairs.append((ours, len(entries) / _bare_inserts(folder / "bare.sqlite", entries)))
    return against("map_puts_sqlite", "1/s", pairs, Target("value", ">=", 10_000))


def _bare_inserts(file: Path, entries: Sequence[Entry]) -> float:
    """Seconds that sqlite3 alone takes to insert the same rows, each a commit of its own."""
    db = sqlite3.connect(file, isolation_level=None)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = NORMAL")
    db.execute("CREATE TABLE entries (key TEXT NOT NULL UNIQUE, body BLOB NOT NULL)")
    rows = [(entry.key, orjson.dumps(astuple(entry))) for entry in entries]

    def insert() -> None:
        for row in rows:
            db.execute("INSERT INTO entries VALUES (?, ?) ON CONFLICT (key) DO NOTHING", row)

    spent = cpu(insert)
    db.close()
    return spent


# ---- served


def _served(runner: asyncio.Runner, file: Path, calls: Sequence[SimulatedCall]) -> Figure:
    """Hits of 64 workers in one process through an owner in another; the processor time of both is added up."""
    rates = []
    with _owner(file) as (url, process):

        async def ask_all() -> None:
            store = RemoteStore(url)
            left = iter(calls)
            tools = ResponseMap(store, None, "frozen")

            async def worker() -> None:
                for call in left:
                    await tools.answer(call)

            await asyncio.gather(*(worker() for _ in range(WORKERS)))
            await store.aclose()

        for _ in range(REPEATS):
            before = _seconds_of(process.pid)
            ours = cpu(lambda: runner.run(ask_all()))
            rates.append(len(calls) / (ours + _seconds_of(process.pid) - before))
    return Figure("map_hits_served", sorted(rates)[REPEATS // 2], "1/s", None, None, Target("value", ">=", 2_000))


@contextlib.contextmanager
def _owner(file: Path) -> Iterator[tuple[str, "subprocess.Popen[str]"]]:
    command = [sys.executable, "-m", "synthagent.cli.main", "serve", "map", str(file), "--port", "0"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        yield process.stderr.readline().rsplit(" ", 1)[1].strip(), process
    finally:
        process.terminate()
        process.wait()
        process.stderr.close()


def _seconds_of(pid: int) -> float:
    """Processor time of another process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


# ---- model calls


class _Slow:
    """A simulator that takes a moment, and counts."""

    name, prompt = "slow", ""

    def __init__(self) -> None:
        self.calls = 0

    async def simulate(self, call: SimulatedCall, known: Sequence[Entry], draw: int = 0) -> Simulation:
        del call, known, draw
        self.calls += 1
        await asyncio.sleep(0.001)
        return Simulation(None, True, str(self.calls))


async def _single_flight(calls: Sequence[SimulatedCall]) -> Figure:
    """Workers, each with a map of its own on one store, that all want the same keys in another order."""
    store, slow = MemoryStore(), _Slow()

    async def worker(number: int) -> None:
        tools = ResponseMap(store, slow, who=f"worker {number}")
        for call in random.Random(number).sample(calls, HOT):
            await tools.answer(call)

    await asyncio.gather(*(worker(number) for number in range(WORKERS)))
    return Figure("map_single_flight", slow.calls, "calls", float(HOT), slow.calls / HOT, Target("ratio", "<=", 1))


async def _model_calls(played: Sequence[Script]) -> list[Figure]:
    """Model calls an episode of groups of 16 whose members call the tools of one task, each in its own way."""
    found = {}
    store = MemoryStore()
    for name, mode in (("none", "none"), ("cold", "state"), ("warm", "state")):
        found[name] = await _played(played, store, mode)  # type: ignore[arg-type]
    floor = float(STEPS)
    return [
        Figure("map_calls_none", found["none"], "calls", floor, found["none"] / floor, Target("ratio", "<=", 1)),
        Figure("map_calls_cold", found["cold"], "calls", floor, found["cold"] / floor, Target("ratio", "<=", 0.5)),
        Figure("map_calls_warm", found["warm"], "calls", floor, found["warm"] / floor, Target("ratio", "<=", 0)),
    ]


async def _played(played: Sequence[Script], store: MapStore, mode: MapMode) -> float:
    model = Babble(seed=0)
    tools = ResponseMap(store, ToolModel(Structured(model), model.name), mode)
    for script in played:
        await asyncio.gather(*(_episode(script.stage.task, script.calls, sample, tools) for sample in range(GROUP)))
    return model.calls / (len(played) * GROUP)


async def _episode(task: Task, calls: Sequence[tuple[str, str]], sample: int, tools: ResponseMap) -> None:
    """So many calls out of those of the reference, in an order of this sample's own, now and then in capitals."""
    own = random.Random(sample)
    with prepare(simulated(task, ())).blueprint.open() as world:
        for _ in range(STEPS):
            name, raw = own.choice(calls)
            if own.random() < 0.25:
                raw = orjson.dumps(
                    {k: v.upper() if isinstance(v, str) else v for k, v in orjson.loads(raw).items()}
                ).decode()
            await called(world, tools, name, raw)
