"""These tests need the peers themselves: `make test-wires` brings each into an environment of its own."""

from importlib.util import find_spec

import pytest

NEEDS = {
    "test_mcp_wire.py": "mcp",
    "test_openenv_wire.py": "openenv",
    "test_verifiers_wire.py": "verifiers",
    "test_openapi.py": "schemathesis",
}
collect_ignore = [file for file, module in NEEDS.items() if not find_spec(module)]


def pytest_configure(config: pytest.Config) -> None:
    """What the peers warn of is theirs. Where there is none, nothing changes: the filter is of the whole session."""
    if len(collect_ignore) < len(NEEDS):
        config.addinivalue_line("filterwarnings", "default")
