"""These tests need Ray: `make test-ray` brings it, into an environment of its own."""

import logging
import os
from importlib.util import find_spec

import pytest

collect_ignore_glob = [] if find_spec("ray") else ["test_*.py"]


def pytest_configure(config: pytest.Config) -> None:
    """What Ray's dependencies warn of is theirs. Elsewhere nothing changes: the filter is of the whole session."""
    if find_spec("ray"):
        config.addinivalue_line("filterwarnings", "default")
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        logging.getLogger("ray").setLevel(logging.ERROR)
