"""These tests need verl: `make test-verl` brings it, into an environment of its own."""

from importlib.util import find_spec

import pytest

collect_ignore_glob = [] if find_spec("verl") and find_spec("ray") else ["test_*.py"]


def pytest_configure(config: pytest.Config) -> None:
    """What verl's dependencies warn of is theirs."""
    config.addinivalue_line("filterwarnings", "default")
