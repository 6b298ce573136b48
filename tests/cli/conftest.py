"""The command line as a user meets it: words in, exit code and text out."""

import contextlib
import io
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest

from synthagent.cli.main import run


@dataclass(frozen=True)
class Done:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return orjson.loads(self.out)


Cli = Callable[..., Done]


def invoked(*words: object) -> Done:
    """The `synthagent` command's own entry point, without the price of a new interpreter."""
    out, err, before = io.StringIO(), io.StringIO(), sys.argv
    sys.argv = ["synthagent", *map(str, words)]
    code = 0
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            run()
    except SystemExit as stop:
        code = int(stop.code or 0)
    finally:
        sys.argv = before
    return Done(code, out.getvalue(), err.getvalue())


@pytest.fixture(scope="session")
def cli() -> Cli:
    return invoked


@pytest.fixture(scope="session")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight library tasks, not to be changed."""
    path = tmp_path_factory.mktemp("tasks") / "tasks.jsonl"
    assert invoked("synth", "--out", path, "-n", 8, "--seed", 5, "--domains", "library").code == 0
    return path


@pytest.fixture(scope="session")
def played(tasks: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two agents over them, two tries each, not to be changed."""
    run_folder = tmp_path_factory.mktemp("runs") / "run"
    agents = ("--agent", "scripted:reference", "--agent", "scripted:refuse")
    assert invoked("rollout", tasks, *agents, "-n", 2, "--out", run_folder).code == 0
    return run_folder
