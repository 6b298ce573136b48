"""The tasks of the demo: procedural, short enough for two cores, split by family.

A family stays if every member's demonstration fits into `MOST` tokens of the policy. Domains in `UNSEEN` are for
evaluation only.
"""

import hashlib
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path

import anyio

from synthagent.errors import InputError
from synthagent.rollouts.group import roll
from synthagent.schema.episodes import Limits
from synthagent.schema.tasks import Task
from synthagent.simulation.episode import Cast, facts_user, prepare
from synthagent.simulation.scripted_agents import scripted
from synthagent.storage.task_file import read_tasks, write_tasks
from synthagent.training.examples import tokens_of
from synthagent.training.hf_tokenizer import HFTokenizer, ends_of

MOST = 680
"""Tokens of a demonstration, opening included."""
UNSEEN = ("restaurant", "theatre", "vet")
FORM = "compact"
SIZES = {"test": 260, "dev": 120, "demos": 240}
"""Tasks of the training domains that are set aside; what is left is trained on."""


def short(tasks: Iterable[Task], tokenizer: HFTokenizer) -> Iterator[list[Task]]:
    """Families that fit, in order."""
    families: dict[str, list[Task]] = {}
    for task in tasks:
        families.setdefault(task.family, []).append(task)
    for members in families.values():
        if all(_length(task, tokenizer) <= MOST for task in members):
            yield members


def _length(task: Task, tokenizer: HFTokenizer) -> int:
    cast = lambda stage, _: Cast(scripted("careful", stage), facts_user(stage), "text", FORM)  # noqa: E731
    outcome = anyio.run(roll, prepare(task), cast, Limits(), 0, 0)
    return len(tokens_of(task, outcome.episode, tokenizer, FORM).ids)


def dealt(families: Iterable[list[Task]], sizes: dict[str, int], rest: str) -> dict[str, list[Task]]:
    """Part -> tasks: families in the order of their hashes, to each part until it has its size."""
    order = sorted(families, key=lambda members: hashlib.sha256(members[0].family.encode()).digest())
    found: dict[str, list[Task]] = {name: [] for name in (*sizes, rest)}
    for members in order:
        part = next((name for name, size in sizes.items() if len(found[name]) < size), rest)
        found[part] += members
    return found


def make(seen: Iterable[Path], unseen: Path, policy: Path, out: Path) -> dict[str, int]:
    """Writes train, demos, dev, test_seen and test_unseen, and says how many tasks each holds."""
    from transformers import AutoTokenizer

    inner = AutoTokenizer.from_pretrained(policy)
    tokenizer = HFTokenizer(inner, ends_of(inner))
    parts = dealt(short(chain.from_iterable(map(read_tasks, seen)), tokenizer), SIZES, "train")
    parts["test_seen"] = parts.pop("test")
    parts["test_unseen"] = dealt(short(read_tasks(unseen), tokenizer), {"test": 180}, "spare")["test"]
    if min(len(tasks) for tasks in parts.values()) < 100:
        raise InputError(f"too few short tasks: { ({name: len(tasks) for name, tasks in parts.items()}) }")
    for name, tasks in parts.items():
        write_tasks(out / f"{name}.jsonl", tasks)
    return {name: len(tasks) for name, tasks in parts.items()}
