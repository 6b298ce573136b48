"""A task file and a run to ask things of."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.commands import Done, synthagent


@pytest.fixture(scope="session")
def cli() -> Callable[..., Done]:
    return synthagent


@pytest.fixture(scope="session")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight library tasks, not to be changed."""
    path = tmp_path_factory.mktemp("tasks") / "tasks.jsonl"
    assert synthagent("synth", "--out", path, "-n", 8, "--seed", 5, "--domains", "library").code == 0
    return path


@pytest.fixture(scope="session")
def played(tasks: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two agents over them, two tries each, not to be changed."""
    run_folder = tmp_path_factory.mktemp("runs") / "run"
    agents = ("--agent", "scripted:reference", "--agent", "scripted:refuse")
    assert synthagent("rollout", tasks, *agents, "-n", 2, "--out", run_folder).code == 0
    return run_folder
