"""Tasks on disk, and the command line: as a call, and as a program of its own where one is to be killed or starved."""

import os
import resource
import subprocess
import sys
from collections.abc import Callable
from itertools import chain, islice
from pathlib import Path
from typing import Any

import orjson
import pytest

from synthagent.schema.tasks import Task
from synthagent.storage.task_file import write_tasks
from synthagent.synthesis import personas
from synthagent.synthesis.procedural import domain
from synthagent.synthesis.procedural.teacher import families
from tests.commands import Done, synthagent


@pytest.fixture(scope="session")
def tasks() -> tuple[Task, ...]:
    """Twelve small library tasks."""
    domains = {"library": domain.shipped()["library"]}
    made = families(domains, personas.shipped(), seed=23, difficulty="easy")
    return tuple(islice(chain.from_iterable(family.tasks for family in made), 12))


@pytest.fixture(scope="session")
def cli() -> Callable[..., Done]:
    return synthagent


@pytest.fixture(scope="session")
def file(tasks: tuple[Task, ...], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same tasks in a file, not to be changed."""
    path = tmp_path_factory.mktemp("tasks") / "tasks.jsonl"
    write_tasks(path, tasks)
    return path


Started = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start() -> Started:
    """Starts `synthagent` with these words. `largest_file`: bytes beyond which the system refuses to write."""

    def started(*words: object, largest_file: int | None = None) -> subprocess.Popen[str]:
        def starve() -> None:
            if largest_file is not None:
                resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))

        return subprocess.Popen(
            [sys.executable, "-W", "error", "-m", "synthagent.cli.main", *map(str, words)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "OPENAI_API_KEY": ""},
            text=True,
            preexec_fn=starve,
        )

    return started


def timeless(value: Any) -> Any:
    """Without `seconds` and `started`, at every level."""
    if isinstance(value, dict):
        return {key: timeless(item) for key, item in value.items() if key not in ("seconds", "started")}
    return [timeless(item) for item in value] if isinstance(value, list) else value


@pytest.fixture(scope="session")
def journals() -> Callable[[Path], tuple[list[bytes], list[bytes]]]:
    """What a run came to, whenever and in whatever order it was played: its episodes and its scores, sorted."""

    def read(run: Path) -> tuple[list[bytes], list[bytes]]:
        episodes = [orjson.loads(line) for line in (run / "episodes.jsonl").read_bytes().splitlines()]
        scores = [orjson.loads(line) for line in (run / "scores.jsonl").read_bytes().splitlines()]
        episodes.sort(key=lambda episode: (episode["task_id"], episode.get("sample", 0)))
        scores.sort(key=lambda line: (line["score"]["task_id"], line["score"]["sample"]))
        return [orjson.dumps(timeless(e)) for e in episodes], [orjson.dumps(timeless(s)) for s in scores]

    return read
