"""A task set as a folder that the Hugging Face hub takes as a data set: JSONL a split, and a card.

Whatever differs in shape from task to task is a JSON string: Arrow would merge the tools of one task into another's.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
import yaml

from synthagent import __version__
from synthagent.schema.record import dump
from synthagent.schema.tasks import Task
from synthagent.simulation.agent import tools_for

FIELDS: Mapping[str, str] = {
    "task_id": "hash of the task's content",
    "family": "tasks that must stay in one split: twins and branches of one root",
    "domain": "where the task plays",
    "instruction": "what the user says first",
    "rules": "what binds the agent, a JSON list",
    "tools": "the task's tools in OpenAI's form, a JSON list",
    "task": "the whole task as one line of a task file, JSON: world, user, rubric and reference solution",
}


@dataclass(slots=True)
class Split:
    """What was written of a split."""

    name: str
    tasks: int = 0
    families: set[str] = field(default_factory=set)
    domains: Counter[str] = field(default_factory=Counter)
    teachers: set[str] = field(default_factory=set)
    licences: set[str] = field(default_factory=set)


def row_of(task: Task) -> dict[str, Any]:
    """One line."""
    return {
        "task_id": task.id,
        "family": task.family,
        "domain": task.provenance.domain,
        "instruction": task.brief.instruction,
        "rules": orjson.dumps(list(task.brief.rules)).decode(),
        "tools": orjson.dumps(tools_for(task.brief, "text")).decode(),
        "task": orjson.dumps(dump(task)).decode(),
    }


def write_split(name: str, tasks: Iterable[Task], write: Callable[[bytes], None]) -> Split:
    """Writes a split, a line each."""
    split = Split(name)
    for task in tasks:
        write(orjson.dumps(row_of(task)) + b"\n")
        split.tasks += 1
        split.families.add(task.family)
        split.domains[task.provenance.domain or "-"] += 1
        split.teachers.add(task.provenance.teacher or "-")
        split.licences.add(task.provenance.output_licence)
    return split


def card(name: str, splits: Sequence[Split]) -> str:
    """The card: what is in it, how it came about, how it is played, and what it must not be used for."""
    licences = sorted(set().union(*(split.licences for split in splits)) - {""})
    head = {
        "pretty_name": name,
        "language": ["en"],
        "tags": ["agent", "tool-use", "reinforcement-learning", "synthetic"],
        "configs": [
            {
                "config_name": "default",
                "data_files": [{"split": split.name, "path": f"data/{split.name}.jsonl"} for split in splits],
            }
        ],
    }
    if len(licences) == 1:
        head["license"] = licences[0].lower()
    rows = "\n".join(f"| {split.name} | {split.tasks} | {len(split.families)} |" for split in splits)
    domains: Counter[str] = sum((split.domains for split in splits), Counter())
    places = ", ".join(f"{domain} ({count})" for domain, count in sorted(domains.items()))
    teachers = ", ".join(sorted(set().union(*(split.teachers for split in splits))))
    fields = "\n".join(f"| `{field}` | {meaning} |" for field, meaning in FIELDS.items())
    return _CARD.format(
        head=yaml.safe_dump(head, sort_keys=False, allow_unicode=True).strip(), name=name, version=__version__,
        rows=rows, places=places, teachers=teachers, fields=fields,
        licences=", ".join(licences) or "not stated in the tasks: state one before you publish",
    )  # fmt: skip


_CARD = """---
{head}
---

# {name}

Tool-use tasks with mock worlds, simulated users and rubrics, made by SynthAgent {version}.

| split | tasks | families |
|---|---|---|
{rows}

Domains: {places}. Teachers: {teachers}. Licence of the teachers' output: {licences}.

| field | meaning |
|---|---|
{fields}

## Use

Write the field `task` of each row, a line each, into a file `tasks.jsonl`; then `synthagent rollout tasks.jsonl` plays
the tasks, and `synthagent serve` puts them behind MCP, OpenEnv or HTTP.

The field `task` holds what the agent must not see: the user's facts, the rubric and a reference solution. Show an agent
`instruction`, `rules` and `tools` only. Keep families whole when you split further. People, companies and data in the
tasks are invented.
"""
