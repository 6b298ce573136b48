"""These tests drive the real harnesses: `make test-harness` installs them, and runs these."""

from pathlib import Path

import pytest

from synthagent.errors import InputError
from synthagent.evaluation.harness_setup import harness_dir, installed
from synthagent.evaluation.items import Item
from synthagent.evaluation.oracle import Kind, oracle
from tests.harnesses import Play, harness, order


def _there(name: str) -> bool:
    try:
        installed(name, harness_dir())
    except InputError:
        return False
    return True


collect_ignore = [f"test_{name}.py" for name in ("bfcl", "tau2") if not _there(name)]


@pytest.fixture
def play(tmp_path: Path) -> Play:
    """Plays a suite with a double to its end."""

    def run(suite: str, kind: Kind, **more: object) -> list[Item]:
        with oracle(suite, kind) as ends:
            return list(harness(suite).run(order(tmp_path / "out", ends, **more)))

    return run
