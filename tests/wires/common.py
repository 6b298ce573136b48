"""The same scripted agents on the same tasks for every wire, the run they are compared with, and where results go."""

import os
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import orjson

from synthagent import __version__
from synthagent.rollouts.group import roll
from synthagent.schema.episodes import Limits
from synthagent.schema.scores import Scored
from synthagent.schema.tasks import Task
from synthagent.scoring.reward import reward_hash
from synthagent.serve.sessions import PROTOCOL
from synthagent.simulation.agent import Agent
from synthagent.simulation.episode import Cast, facts_user, prepare
from synthagent.simulation.scripted_agents import scripted
from synthagent.storage.task_file import write_tasks
from synthagent.synthesis.personas import shipped as personas
from synthagent.synthesis.procedural.domain import shipped
from synthagent.synthesis.procedural.teacher import families

AGENTS = ("reference", "careful", "spam", "ask-all")
"""Who plays: the n-th task is played by the n-th of them, over and over."""
COUNT = 12
OUT = "SYNTHAGENT_WIRES_OUT"
"""Environment variable: the folder to which each test writes what it found."""


def some_tasks() -> list[Task]:
    """Tasks of different families, with different tools."""
    made = families(shipped(), personas(), 5)
    return [next(made).tasks[0] for _ in range(COUNT)]


def task_file(folder: Path) -> Path:
    """The same as a file."""
    write_tasks(folder / "tasks.jsonl", some_tasks())
    return folder / "tasks.jsonl"


def name_for(number: int) -> str:
    """Who plays the n-th task."""
    return AGENTS[number % len(AGENTS)]


def agent_for(number: int, task: Task) -> Agent:
    """The same, ready to play."""
    return scripted(name_for(number), prepare(task))


async def rolled() -> list[Scored]:
    """What a rollout comes to: try 0 of every task."""
    found = []
    for number, task in enumerate(some_tasks()):
        stage = prepare(task)
        cast = Cast(agent_for(number, task), facts_user(stage), PROTOCOL)
        outcome = await roll(stage, lambda *_, cast=cast: cast, Limits(), 0, 0)
        assert isinstance(outcome.score, Scored)
        found.append(outcome.score)
    return found


def scored(told: Mapping[str, Any]) -> Scored:
    """A score as a wire tells it."""
    verdicts = told["verdicts"]
    return Scored(
        task_id=told["task_id"], sample=told["sample"], rubric_id="", reward=told["reward"], gate=told["gate"],
        n=told["subgoals"], i=told["interactions"], forbidden=verdicts["forbidden"], subgoals=verdicts["subgoals"],
        interactions=verdicts["interactions"],
    )  # fmt: skip


async def agree(wire: str, peer: str, scores: Iterable[Scored]) -> None:
    """Asserts that a wire came to the reward hash of a rollout, and notes it."""
    found, expected = list(scores), await rolled()
    rewards = {score.task_id: score.reward for score in expected}
    assert {score.task_id: score.reward for score in found} == rewards
    assert len(set(rewards.values())) > 2, "these tasks tell good play from bad"
    assert reward_hash(found) == reward_hash(expected)
    known = __version__ if peer == "synthagent" else version(peer)
    note(wire, {"reward_hash": reward_hash(found), "peer": peer, "peer_version": known})


def note(wire: str, what: Mapping[str, Any]) -> None:
    """Writes what was found, if there is a place for it."""
    if folder := os.environ.get(OUT):
        Path(folder).mkdir(parents=True, exist_ok=True)
        (Path(folder) / f"{wire}.json").write_bytes(orjson.dumps(what))
