"""What a Ray cluster costs on one machine: `python -m benchmarks.ray_engine --out FILE`, with the extra `ray`.

Agents are scripted and answer at once, so that nothing but our own work and Ray's is measured; the floor is the same
work in one process. A model call takes a hundred to a thousand times as long as an episode here.
"""

import argparse
import asyncio
import resource
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import orjson

from synthagent.cli.engines import Engine
from synthagent.cli.rollout import run_rollout
from synthagent.cli.synth import run_synth
from synthagent.engines.cluster import Crew, joined
from synthagent.simulation.map_store import Entry, id_of, key_for
from synthagent.storage.maps.keeper import let_go, store_of, word_for

WORKERS = 2


def timed(work: Any) -> tuple[float, float]:
    """Seconds on the clock, and of this process's own processor time."""
    begun, before = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF)
    work()
    after = resource.getrusage(resource.RUSAGE_SELF)
    return time.monotonic() - begun, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def entry(number: int) -> Entry:
    """Some answer."""
    arguments = f'{{"number":{number}}}'
    key = key_for("world", "state", "tool", arguments)
    response = f'{{"answer":"{"x" * 300}"}}'
    return Entry(key, id_of(key, True, response), None, "world", "state", "tool", arguments, True, response)


async def map_rates(path: Path, count: int, at_once: int) -> tuple[float, float]:
    """Entries put and got a second by `at_once` tasks of one process that each wait for their answer."""
    word = word_for(path)
    store = store_of(word)
    await store.ping()

    async def rate(one: Any) -> float:
        left = iter(range(count))

        async def lane() -> None:
            for number in left:
                await one(number)

        begun = time.monotonic()
        await asyncio.gather(*(lane() for _ in range(at_once)))
        return count / (time.monotonic() - begun)

    found = await rate(lambda number: store.put(entry(number))), await rate(lambda number: store.get(entry(number).key))
    await let_go(word)
    return found


def measured(tasks: int, n: int, entries: int) -> dict[str, float]:
    """Rates here and on the cluster, whose start is measured by itself."""
    from synthagent.cli.casting import others

    found: dict[str, float] = {}
    ray = Engine(Crew(None, WORKERS))
    with TemporaryDirectory() as folder:
        home = Path(folder)
        file = home / "tasks.jsonl"
        for name, engine in (("here", Engine()), ("ray", ray)):
            out = file if name == "here" else home / "again.jsonl"
            wall, _ = timed(lambda out=out, engine=engine: run_synth(
                out, tasks, 3, None, "mixed", None, [], {}, True, True, engine))  # fmt: skip
            found[f"synth_{name}_seconds"] = wall
        with_ = others("facts", None, "state", None, file, 0.0)
        for name, engine in (("here", Engine()), ("ray", ray)):
            run = home / name
            wall, own = timed(lambda run=run, engine=engine: run_rollout(
                file, ["scripted:reference"], with_, n, "text", None, 0, run, False, None, {"in_flight": 32}, True,
                engine))  # fmt: skip
            found[f"rollout_{name}_seconds"] = wall
            found[f"rollout_{name}_own_cpu_ms_per_episode"] = 1000 * own / (tasks * n)
            found["episode_kilobytes"] = (run / "episodes.jsonl").stat().st_size / (tasks * n) / 1024
        wall, _ = timed(lambda: joined(ray.crew).__enter__())
        found["cluster_start_seconds"] = wall
        found["map_puts_a_second"], found["map_gets_a_second"] = asyncio.run(
            map_rates(home / "map.sqlite", entries, 64)
        )
    found["rollout_episodes"], found["synth_tasks"] = tasks * n, tasks
    return {name: round(value, 3) for name, value in found.items()}


def main() -> None:
    """Measures, prints and writes."""
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--out", type=Path)
    words.add_argument("--tasks", type=int, default=400)
    words.add_argument("-n", type=int, default=16)
    words.add_argument("--entries", type=int, default=20_000)
    asked = words.parse_args()
    found = measured(asked.tasks, asked.n, asked.entries)
    for name, value in found.items():
        print(f"{name:48} {value:12.3f}")
    if asked.out:
        asked.out.write_bytes(orjson.dumps(found, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))


if __name__ == "__main__":
    main()
