"""These tests need torch and transformers: `make test-train` brings both."""

from importlib.util import find_spec
from pathlib import Path

import pytest

THERE = bool(find_spec("torch") and find_spec("transformers"))
collect_ignore_glob = [] if THERE else ["test_*.py"]


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """What is computed is the same on every run, and small models are no faster with more."""
    if THERE:
        import torch

        torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model of random weights."""
    from tests.tiny import save_tiny

    return save_tiny(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def undecided(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model that has learnt to press a button, and presses either side as often as the other."""
    from tests.learners import undecided

    return undecided(tiny, tmp_path_factory.mktemp("undecided"))
