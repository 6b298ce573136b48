"""These tests need verl: `make test-verl` brings it, into an environment of its own."""

from importlib.util import find_spec

import pytest

THERE = bool(find_spec("verl") and find_spec("ray"))
collect_ignore_glob = [] if THERE else ["test_*.py"]


def pytest_configure(config: pytest.Config) -> None:
    """What verl's dependencies warn of is theirs. Elsewhere nothing changes: the filter is of the whole session."""
    if THERE:
        config.addinivalue_line("filterwarnings", "default")
