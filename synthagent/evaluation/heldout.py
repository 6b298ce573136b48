"""`synthagent:heldout`: a task set of our own that nobody trains on. Its seeds and its bytes are frozen.

Three domains that no recipe and no demonstration of ours trains on; half of the families short (one goal, one or two
facts), so that a small model can do something, half as `synth` makes them. Twins and branches share a family, and every
interval clusters by it. It is made by the procedural teacher when it is needed, and its hash is checked: scores on
other tasks are scores of something else.
"""

import asyncio
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from synthagent.errors import InputError
from synthagent.evaluation.items import SuiteFailed
from synthagent.schema.record import dump, line
from synthagent.schema.tasks import SCHEMA, Task
from synthagent.storage.atomic import make_folder
from synthagent.storage.digests import sha256
from synthagent.storage.task_file import read_tasks, write_tasks
from synthagent.synthesis import personas
from synthagent.synthesis.pipeline import Kept, verified
from synthagent.synthesis.procedural.domain import shipped
from synthagent.synthesis.procedural.teacher import Made, Range, families
from synthagent.synthesis.screening import objections

DOMAINS = ("restaurant", "theatre", "vet")
SHORT: Mapping[str, Range] = {"goals": (1, 1), "depth": (1, 1), "facts": (1, 2), "distractors": (0, 1), "traps": (1, 1)}
PARTS: Mapping[int, Mapping[str, Range]] = {7_160_001: SHORT, 7_160_002: {}}
"""Seed -> the shape of its families. The seeds are reserved: see `reserved`."""
EACH = 96
"""Tasks a part."""
SHA256 = "7f527af2343cc87218aedfbe75a7fcad15390ff5254c072d7fc24a90fa0e9cc3"
"""Of the set as a task file."""


def heldout(cache: Path) -> list[Task]:
    """The tasks. They are made once and kept in the folder `cache`.

    Raises `SuiteFailed` when this version of the generator makes others.
    """
    file = cache / f"heldout-{SHA256[:8]}.jsonl"
    if file.exists() and sha256(file) == SHA256:
        return list(read_tasks(file))
    tasks = made()
    found = sha256_of(tasks)
    if found != SHA256:
        raise SuiteFailed(
            f"the procedural teacher of this version makes other tasks (SHA-256 {found}, not {SHA256}): their scores "
            "are not comparable; install the version that the scores to compare with were measured with"
        )
    make_folder(cache)
    write_tasks(file, tasks)
    return tasks


def made() -> list[Task]:
    """The tasks as the generator makes them, not checked."""
    return [task for seed, knobs in PARTS.items() for task in _part(seed, knobs)]


def sha256_of(tasks: Iterable[Task]) -> str:
    """Of the tasks as a task file has them."""
    digest = hashlib.sha256()
    for task in tasks:
        digest.update(line({"schema": SCHEMA, **dump(task)}))
    return digest.hexdigest()


def _part(seed: int, knobs: Mapping[str, Range]) -> Iterator[Task]:
    domains = {name: domain for name, domain in shipped().items() if name in DOMAINS}
    made = families(domains, personas.shipped(), seed, "mixed", knobs)
    with asyncio.Runner() as runner:

        def screen(family: Made) -> list[str]:
            return [str(objection) for objection in runner.run(objections(family.tasks, family.compiled))]

        yield from (found.task for found in verified(made, screen, EACH) if isinstance(found, Kept))


def reserved(family: str) -> bool:
    """Whether a family is one of the held-out set's, or would be if the set were larger."""
    return any(family.startswith(f"{domain}-{seed}-") for domain in DOMAINS for seed in PARTS)


def refuse_heldout(tasks: Iterable[Task], where: str) -> None:
    """Raises `InputError` if training tasks are of the held-out set: what is learnt from measures nothing."""
    for task in tasks:
        if reserved(task.family):
            way_out = f"leave out the families made with the seeds {', '.join(map(str, PARTS))}"
            message = f"task {task.id}: its family {task.family} belongs to the suite synthagent:heldout"
            raise InputError(message, where=where, way_out=way_out)
