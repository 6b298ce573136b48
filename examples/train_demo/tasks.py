"""The tasks of the demo: procedural, short enough for two cores, split by family.

A family stays if every member's demonstration fits into `MOST` tokens of the policy and no tool is missing in it. What
is learnt from holds fewer forbidden twins than legal ones: where half of all tasks are to be declined, a model that
hardly ever gets an action right learns to decline all of them (see docs/results/train-demo). The sets that are
evaluated hold both twins of each family.
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
from synthagent.simulation.agent import ToolForm
from synthagent.simulation.episode import Cast, facts_user, prepare
from synthagent.simulation.scripted_agents import scripted
from synthagent.storage.task_file import read_tasks, write_tasks
from synthagent.training.examples import tokens_of
from synthagent.training.hf_tokenizer import HFTokenizer, ends_of

MOST = 680
"""Tokens of a demonstration, opening included."""
FORM: ToolForm = "compact"
SIZES = {"test": 260, "dev": 120, "demos": 560}
"""Tasks of the training domains that are set aside, before `learnt_from`; what is left is trained on."""


def short(tasks: Iterable[Task], tokenizer: HFTokenizer) -> Iterator[list[Task]]:
    """Families that fit, in order."""
    families: dict[str, list[Task]] = {}
    for task in tasks:
        families.setdefault(task.family, []).append(task)
    for members in families.values():
        stuck = any("missing_tool" in task.provenance.features for task in members)
        if not stuck and all(_length(task, tokenizer) <= MOST for task in members):
            yield members


def learnt_from(tasks: list[Task]) -> list[Task]:
    """Without the forbidden twin of every other family."""
    return [task for task in tasks if task.provenance.legal or _hash(task.family)[0] % 2]


def _hash(family: str) -> bytes:
    return hashlib.sha256(family.encode()).digest()


def _length(task: Task, tokenizer: HFTokenizer) -> int:
    cast = lambda stage, _: Cast(scripted("careful", stage), facts_user(stage), "text", FORM)  # noqa: E731
    outcome = anyio.run(roll, prepare(task), cast, Limits(), 0, 0)
    return len(tokens_of(task, outcome.episode, tokenizer, FORM).ids)


def dealt(families: Iterable[list[Task]], sizes: dict[str, int], rest: str) -> dict[str, list[Task]]:
    """Part -> tasks: families in the order of their hashes, to each part until it has its size."""
    order = sorted(families, key=lambda members: _hash(members[0].family))
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
    parts |= {name: learnt_from(parts[name]) for name in ("demos", "train")}
    parts["test_unseen"] = dealt(short(read_tasks(unseen), tokenizer), {"test": 180}, "spare")["test"]
    if min(len(tasks) for tasks in parts.values()) < 100:
        raise InputError(f"too few short tasks: { ({name: len(tasks) for name, tasks in parts.items()}) }")
    for name, tasks in parts.items():
        write_tasks(out / f"{name}.jsonl", tasks)
    return {name: len(tasks) for name, tasks in parts.items()}
