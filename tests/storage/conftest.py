"""Small valid records, and a Python process of our own to kill."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import synthagent
from synthagent.errors import Blame
from synthagent.schema.checks import Called, CallPattern
from synthagent.schema.episodes import AgentEvent, Episode, FormEvent, Stop, ToolEvent
from synthagent.schema.scores import Scored, Unscored, Verdict
from synthagent.schema.tasks import (
    Brief,
    CallStep,
    Criterion,
    Fact,
    Function,
    Hidden,
    Provenance,
    Return,
    Rubric,
    Task,
    Tool,
    World,
    identified,
)
from synthagent.storage.index import Index
from synthagent.storage.manifest import Manifest


class Make:
    """Builders of minimal records; every argument has a plain default."""

    def task(self, name: str = "book", **changes: Any) -> Task:
        tool = Tool(
            function=Function(name="find", description="Find it.", parameters={"type": "object"}), effect="read"
        )
        task = Task(
            family=f"family-{name}",
            brief=Brief(instruction=f"Please find my {name}.", tools=(tool,)),
            hidden=Hidden(
                goal=f"I want the {name}.", facts=(Fact(id="f", topic="title", text="It is Emma.", value=1.0),)
            ),
            world=World(
                now="2026-01-05T09:00:00",
                ddl="CREATE TABLE books (id TEXT PRIMARY KEY, cents INTEGER) STRICT",
                rows={"books": (("b1", 1200), ("b2", None))},
                programs={"find": (Return(query="SELECT id FROM books ORDER BY id"),)},
            ),
            rubric=Rubric(subgoals=(Criterion(id="s", text="Found.", check=Called(called=CallPattern(tool="find"))),)),
            reference=(CallStep(call="find"),),
            provenance=Provenance(domain="library", features=("long_result",), legal=False),
        )
        return identified(task.model_copy(update=changes))

    def episode(self, task_id: str = "t1", sample: int = 0, agent: str = "small", **changes: Any) -> Episode:
        values: dict[str, Any] = {
            "events": (
                AgentEvent(text="Let me look — ünïcode and all."),
                ToolEvent(call_id="c", tool="find", arguments={"q": [1, 2.5, None]}, ok=True, response='["b1"]'),
                FormEvent(error="not a call"),
            ),
            "stop": Stop.USER_DONE,
            "turns": 1,
            "seconds": 0.25,
        }
        return Episode(task_id=task_id, sample=sample, agent=agent, **{**values, **changes})

    def scored(self, task_id: str = "t1", sample: int = 0, reward: float = 1.0, rubric_id: str = "r1") -> Scored:
        return Scored(
            task_id=task_id,
            sample=sample,
            rubric_id=rubric_id,
            reward=reward,
            gate=1,
            n=reward,
            i=None,
            subgoals=(Verdict(id="s", holds=reward > 0, events=(1,)),),
            blame=None if reward else Blame.AGENT,
        )

    def unscored(
        self, task_id: str = "t1", sample: int = 0, blame: Blame = Blame.INFRASTRUCTURE, rubric_id: str = "r1"
    ) -> Unscored:
        return Unscored(task_id=task_id, sample=sample, rubric_id=rubric_id, blame=blame, reason="ModelFailed")

    def manifest(self, **changes: Any) -> Manifest:
        values: dict[str, Any] = {
            "command": "synthagent eval",
            "agents": ("small",),
            "tasks_file": "tasks.jsonl",
            "tasks_sha256": "00",
            "version": "0.1",
            "n": 4,
        }
        return Manifest(**{**values, **changes})


@pytest.fixture(scope="session")
def make() -> Make:
    return Make()


@pytest.fixture(scope="session")
def table_rows() -> Callable[[Index], dict[str, list[tuple[Any, ...]]]]:
    """Everything an index holds, table by table."""
    return lambda index: {
        table: sorted(index.query(f"SELECT * FROM {table}"), key=repr)
        for table in ("tasks", "played", "scored", "episodes")
    }


@pytest.fixture(scope="session")
def start() -> Callable[..., subprocess.Popen[str]]:
    """Start a Python process that runs a script with arguments; its output is a pipe."""

    def started(script: str, *arguments: object) -> subprocess.Popen[str]:
        root = str(Path(synthagent.__file__).parent.parent)
        return subprocess.Popen(
            [sys.executable, "-W", "error", "-c", script, *map(str, arguments)],
            stdout=subprocess.PIPE,
            stdin=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": root},
            text=True,
        )

    return started
