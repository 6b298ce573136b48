"""One run of a harness's own Python: confined, with one door to its models, watched until it ends.

The harness gets an empty folder, an order in it, and nothing else to write to. What it leaves there is read as data.
"""

import contextlib
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from synthagent.errors import InputError
from synthagent.evaluation.drivers.confine import REFUSED
from synthagent.evaluation.gateway import Gateway
from synthagent.evaluation.harness_setup import DRIVERS, Installed
from synthagent.evaluation.items import SuiteFailed
from synthagent.reasoning.syscalls import filter_program

_SYSTEM = ("/usr", "/lib", "/lib64", "/lib32", "/bin", "/etc/ld.so.cache", "/etc/localtime", "/etc/ssl/certs")
_PORT = 8080
"""On the loopback of the harness's own namespace, where nothing else listens."""
_LIMITS = {
    "RLIMIT_AS": 16 << 30,
    "RLIMIT_FSIZE": 4 << 30,
    "RLIMIT_NOFILE": 4096,
    "RLIMIT_CORE": 0,
}
_POLL = 0.2


@dataclass(frozen=True, slots=True)
class Watch:
    """Who is told of a run's progress, and when it is given up."""

    tell: Callable[[str], None] = lambda _: None
    stall: float = 1800.0
    """Seconds without an answer from a model and without a finished entry, after which the run has failed."""


@dataclass(frozen=True, slots=True)
class Drive:
    """One start of a driver."""

    installed: Installed
    driver: Path
    """What its Python runs: a file that imports nothing of ours."""
    order: Mapping[str, Any]
    """What the driver reads from `order.json` in its folder; `base`, where models are reached, is added."""
    work: Path
    """The one folder that the harness may write to."""
    log: Path
    """Where what it prints goes."""
    collect: Callable[[], int]
    """Takes over what it has finished, and says how many entries that is: called while it runs, so that nothing is
    lost with whoever waits for it."""
    total: int
    unsafe_local: bool = False
    """Without namespaces, and so with our files and our network in its reach: has to be asked for."""
    watch: Watch = field(default_factory=Watch)


def drive(job: Drive, gateway: Gateway) -> int:
    """Runs the driver to its end and gives its exit code.

    Raises `SuiteFailed` when a model's endpoint is lost or nothing moves any more: the driver is stopped, what it has
    finished lies in `work`. Raises `InputError` where it cannot be confined.
    """
    if sys.platform != "linux":
        raise InputError("harnesses run on Linux only")
    # The path of a Unix socket may have 107 bytes: not in the user's folders.
    with tempfile.TemporaryDirectory(prefix="synthagent-") as near:
        socket, root = Path(near) / "models", Path(near) / "root"
        root.mkdir()
        with gateway.serving(None if job.unsafe_local else socket) as place:
            port = int(place) if job.unsafe_local else _PORT
            order = {**job.order, "base": f"http://127.0.0.1:{port}"}
            (job.work / "order.json").write_text(json.dumps(order))
            started = _started_openly if job.unsafe_local else _confined_start(socket, root)
            with job.log.open("ab") as log, started(job, log) as process:
                _watched(job, gateway, process)
                code = process.wait()
    if code == REFUSED and (why := _last_word(job.log)).startswith("confine:"):
        raise InputError(
            f"the harness cannot be confined here: {why.removeprefix('confine: ')}",
            way_out="allow user namespaces, or accept that model text runs with your rights: unsafe_local=yes",
        )
    return code


def _watched(job: Drive, gateway: Gateway, process: "subprocess.Popen[bytes]") -> None:
    """Tells of progress until the process ends. Raises `SuiteFailed`."""
    told, moved, looked = -1, time.monotonic(), 0.0
    while process.poll() is None:
        time.sleep(_POLL)
        now = time.monotonic()
        if now - looked > 1:
            looked = now
            if (count := job.collect()) != told:
                told, moved = count, now
                job.watch.tell(f"{count} of {job.total} entries")
        if gateway.fatal:
            raise SuiteFailed(f"a model's endpoint was lost: {gateway.fatal}")
        idle = now - max(moved, gateway.last_answer)
        if not gateway.in_flight and idle > job.watch.stall:
            raise SuiteFailed(f"nothing has moved for {idle:.0f} s; the harness was stopped; see {job.log}")


def environment(home: str) -> dict[str, str]:
    """All that the harness's environment holds: nothing of the user's."""
    return {
        "HOME": home,
        "TMPDIR": home,
        "PATH": "/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "PYTHONHASHSEED": "0",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUTF8": "1",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "NO_PROXY": "*",
    }


_Start = Callable[[Drive, Any], "contextlib.AbstractContextManager[subprocess.Popen[bytes]]"]


def _confined_start(socket: Path, root: Path) -> _Start:
    @contextmanager
    def start(job: Drive, log: Any) -> Iterator["subprocess.Popen[bytes]"]:
        # Its sockets reach loopback only; it has to become the harness, and what else it could become sees no more.
        program = filter_program(allowed=("socket", "execve"))
        settings = {
            "root": str(root),
            "read": [*_SYSTEM, *_interpreter(job.installed), str(job.driver.parent), str(socket.parent)],
            "write": [str(job.work)],
            "socket": str(socket),
            "port": _PORT,
            "scratch": 64 << 20,
            "cwd": str(job.work),
            "command": _command(job),
            "environment": environment("/tmp"),
            "limits": _LIMITS,
            "filter": program.hex() if program else None,
        }
        command = [str(job.installed.python), "-I", "-B", str(DRIVERS / "confine.py")]
        with _process(command, log, stdin=subprocess.PIPE, env=environment("/tmp"), cwd="/") as process:
            assert process.stdin is not None
            with contextlib.suppress(BrokenPipeError):
                process.stdin.write(json.dumps(settings).encode())
                process.stdin.close()
            yield process

    return start


@contextmanager
def _started_openly(job: Drive, log: Any) -> Iterator["subprocess.Popen[bytes]"]:
    """Limits and an empty environment only."""
    home = job.work / "home"
    home.mkdir(exist_ok=True)
    with _process(_command(job), log, stdin=subprocess.DEVNULL, env=environment(str(home)), cwd=job.work) as process:
        for name, most in _LIMITS.items():
            with contextlib.suppress(ProcessLookupError):
                resource.prlimit(process.pid, getattr(resource, name), (most, most))
        yield process


@contextmanager
def _process(command: list[str], log: Any, **how: Any) -> Iterator["subprocess.Popen[bytes]"]:
    process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True, **how)
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if process.stdin:
            process.stdin.close()


def _command(job: Drive) -> list[str]:
    return [str(job.installed.python), "-s", "-B", str(job.driver), str(job.work / "order.json")]


def _interpreter(found: Installed) -> list[str]:
    """What must be in sight for the environment's Python to start: its folder, every link on the way, the real one."""
    paths, python = [str(found.folder)], found.python
    while python.is_symlink():
        python = python.parent / python.readlink()
        if python.is_symlink() and found.folder not in python.parents:
            paths.append(str(python))
    real = python.resolve()
    base = str(real.parent.parent)
    return paths if base in ("/", "/usr") else [*paths, base]


def _last_word(log: Path) -> str:
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1].strip() if lines else ""


def last_words(log: Path, most: int = 300) -> str:
    """The end of what a harness printed, on one line, for a message."""
    try:
        text = log.read_text(errors="replace")[-4000:]
    except OSError:
        return ""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())[-most:]
