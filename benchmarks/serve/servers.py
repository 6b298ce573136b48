"""Who is measured: how each server is started, and which client speaks to it."""

import sys
from dataclasses import dataclass
from pathlib import Path

_HERE = "benchmarks.serve"
_SERVE = ("-m", "synthagent.cli.main", "serve")


@dataclass(frozen=True, slots=True)
class Server:
    """One line-up of a server and its client."""

    name: str
    command: tuple[str, ...]
    client: tuple[str, ...]
    """What is run for the client, up to the address."""
    ours: bool = True
    """Whether it must carry all sessions; another's is asked for half as many, and again, until it does."""


def servers(tasks: Path, scripts: Path, sessions: int) -> list[Server]:
    """Those that this interpreter can run."""
    client = (sys.executable, "-m", f"{_HERE}.client")
    room = str(sessions + 1)
    return [
        Server(
            "synthagent http",
            (sys.executable, *_SERVE, "http", str(tasks), "--port", "0", "--sessions", room),
            (*client, "http"),
        ),
        Server("bare http", (sys.executable, "-m", f"{_HERE}.bare", str(scripts)), (*client, "bare")),
    ]


def of_openenv(python: str, tasks: Path, sessions: int) -> list[Server]:
    """Those that an interpreter with OpenEnv can run: ours and its echo, on OpenEnv's server both."""
    client = (sys.executable, "-m", f"{_HERE}.client")
    room = str(2 * sessions)  # it lets go of one only some time after its client has
    return [
        Server(
            "synthagent openenv",
            (python, *_SERVE, "openenv", str(tasks), "--port", "0", "--sessions", room),
            (*client, "openenv"),
            ours=False,
        ),
        Server("openenv echo", (python, "-m", f"{_HERE}.openenv_echo", room), (*client, "echo"), ours=False),
    ]


def of_verifiers(python: str) -> list[Server]:
    """Those that an interpreter with verifiers can run."""
    return [
        Server(
            "verifiers echo",
            (python, "-m", f"{_HERE}.verifiers_server"),
            (python, "-m", f"{_HERE}.verifiers_client"),
            ours=False,
        )
    ]
