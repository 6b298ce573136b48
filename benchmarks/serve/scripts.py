"""What the load plays: tasks whose reference takes six turns, turn by turn as they go over a wire."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

import orjson

from synthagent.errors import InputError
from synthagent.schema.episodes import Limits
from synthagent.schema.messages import Message
from synthagent.schema.tasks import Task
from synthagent.serve.http_api import told
from synthagent.serve.sessions import Company, Session
from synthagent.simulation.episode import facts_user, prepare
from synthagent.simulation.scripted_agents import scripted
from synthagent.storage.task_file import write_tasks
from synthagent.synthesis import personas
from synthagent.synthesis.procedural import domain
from synthagent.synthesis.procedural.teacher import families
from tests.serve.driving import drive

STEPS = 6
"""Turns of every session, the last of which ends the episode."""
_LOOKED_AT = 2000
"""Tasks that are composed at the most in search of those with so many turns: about one of fourteen has them."""


@dataclass(frozen=True, slots=True)
class Script:
    """One task as its reference plays it. Worlds answer equal calls alike, so the turns can be sent blindly."""

    task_id: str
    turns: tuple[Message, ...]
    """`STEPS` assistant messages in OpenAI's form."""
    reward: float
    answers: tuple[Any, ...]
    """What came back: the opening with the tools, the answer to each turn, the score."""


def write_scripts(folder: Path, count: int) -> tuple[Path, Path]:
    """The first `count` tasks of seed 0 with `STEPS` turns, as `tasks.jsonl` and `scripts.json` in a folder.

    Raises `InputError` if there are not so many.
    """
    found = list(islice(_scripts(), count))
    if len(found) < count:
        raise InputError(
            f"{len(found)} of {_LOOKED_AT} tasks take {STEPS} turns, and not {count}", way_out="ask for fewer --tasks"
        )
    tasks, scripts = folder / "tasks.jsonl", folder / "scripts.json"
    write_tasks(tasks, [task for task, _ in found])
    scripts.write_bytes(orjson.dumps([script for _, script in found]))
    return tasks, scripts


def read_scripts(file: Path) -> list[Script]:
    """What `write_scripts` wrote."""
    return [Script(**one) for one in orjson.loads(file.read_bytes())]


def _scripts() -> Iterator[tuple[Task, Script]]:
    made = families(domain.shipped(), personas.shipped(), 0)
    with asyncio.Runner() as runner:
        for task in islice(chain.from_iterable(family.tasks for family in made), _LOOKED_AT):
            script = runner.run(_played(task))
            if len(script.turns) == STEPS:
                yield task, script


async def _played(task: Task) -> Script:
    """A task's reference in a session of ours, without a wire."""
    stage = prepare(task)
    session = Session(stage, Company(facts_user(stage), Limits()), agent="bench")
    turns: list[Message] = []
    opening = await session.start()
    answers: list[Any] = [{"messages": opening, "tools": session.tools}]

    async def turn(message: Message) -> tuple[tuple[Message, ...], bool]:
        step = await session.step(session.turn(message))
        turns.append(message)
        answers.append({"messages": step.messages, "done": step.done})
        return step.messages, step.done

    await drive(task, opening, scripted("reference", stage), turn)
    score = told(await session.close(), detail=True)
    return Script(task.id, tuple(turns), score["reward"], (*answers, score))
