"""Task files are hostile input: whatever is in a line, it is a task or a complaint that names its place."""

import random
from pathlib import Path
from typing import Any

import orjson
import pytest

from synthagent.errors import InputError, TaskFault
from synthagent.schema.record import dump
from synthagent.schema.tasks import SCHEMA, identified
from synthagent.simulation.episode import prepare
from synthagent.storage.task_file import read_tasks
from synthagent.synthesis.personas import shipped as personas
from synthagent.synthesis.procedural.domain import shipped
from synthagent.synthesis.procedural.teacher import families

BATCHES, EACH = 20, 20
HOSTILE: list[Any] = [
    None, True, False, 0, -1, 2**53, 2**63, -(2**63), 1e308, -0.0, "", "\0", "../../etc/passwd", "{{7*7}}", "$from",
    {}, [], [[]], [None], {"": ""}, {"$from": "0"}, {"$fact": "x"}, {"__class__": "x"}, {"op": "state"}, [0] * 1000,
    {"not": {"not": {"not": {}}}}, "x" * 100_000, "DROP TABLE members", "SELECT load_extension('x')", "\u202e\u2066",
    "!!python/object:os.system",
]  # fmt: skip
"""Put where something else stood."""


@pytest.fixture(scope="module")
def lines() -> list[dict[str, Any]]:
    made = families(shipped(), personas(), 11)
    return [{"schema": SCHEMA, **dump(next(made).tasks[0])} for _ in range(4)]


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The way to everything in a JSON value."""
    found = [path] if path else []
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        found += places(inner, (*path, key))
    return found


def edited(value: dict[str, Any], rng: random.Random) -> bytes:
    """A task in which a few values are replaced, doubled, moved or taken away, and perhaps some bytes."""
    data = orjson.loads(orjson.dumps(value))
    for _ in range(rng.randint(1, 3)):
        *way, last = rng.choice(places(data))
        holder = data
        for key in way:
            holder = holder[key]
        match rng.randrange(4):
            case 0:
                holder[last] = rng.choice(HOSTILE)
            case 1:
                del holder[last]
            case 2 if isinstance(holder, dict):
                holder[f"{last}_"] = holder.pop(last)
            case _:
                holder[last] = [holder[last]]
    data["id"] = data["world_id"] = ""
    raw = bytearray(orjson.dumps(data))
    if rng.random() < 0.3:
        for _ in range(rng.randint(1, 4)):
            place = rng.randrange(len(raw))
            raw[place : place + rng.randrange(3)] = rng.randbytes(rng.randrange(3))
    return bytes(raw).replace(b"\n", b" ").replace(b"\r", b" ")


@pytest.mark.parametrize("batch", range(BATCHES))
def test_a_line_is_a_task_or_a_complaint_that_names_its_place(lines, batch: int, tmp_path: Path):
    rng, path = random.Random(batch), tmp_path / "tasks.jsonl"
    good = orjson.dumps(lines[0])
    outcomes = {"task": 0, "refused": 0}
    for _ in range(EACH):
        path.write_bytes(good + b"\n" + edited(rng.choice(lines[1:]), rng) + b"\n")
        reading = read_tasks(path)
        next(reading)  # what is broken never takes the good ones with it
        try:
            rest = list(reading)
        except InputError as error:
            assert str(error).startswith(f"{path}:2: ")
            assert len(str(error)) < 5000
            outcomes["refused"] += 1
            continue
        for task in rest:
            assert identified(task) == task
            try:
                prepare(task)
            except TaskFault as fault:
                assert len(str(fault)) < 5000
            outcomes["task"] += 1
    assert min(outcomes.values()) > 0, "both happen, or nothing was tried"
