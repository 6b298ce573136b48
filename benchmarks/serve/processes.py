"""Servers as processes of their own: started on a free port, looked at from outside, and stopped."""

import re
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from synthagent.errors import InputError
from synthagent.serve.listening import make_room

_SCHEDULED = 2
"""CPUCLOCK_SCHED: what the scheduler counted, in nanoseconds."""
_PATIENCE = 120.0
"""Seconds until a server must listen: some import a great deal."""
_ADDRESS = re.compile(r"(?:http|tcp)://[\d.]+:\d+(?=\s|/)")


@contextmanager
def started(command: Sequence[str], log: Path) -> Iterator[tuple[str, int]]:
    """A server's address and process id. It tells its address in the first line that has one.

    Raises `InputError` with what it said last, if it ends or says nothing.
    """
    with log.open("wb") as out:  # a file, since nobody reads along: a pipe would fill up
        process = subprocess.Popen(command, stdout=out, stderr=out)
    try:
        yield _address(process, command, log), process.pid
    finally:
        process.terminate()
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _address(process: "subprocess.Popen[bytes]", command: Sequence[str], log: Path) -> str:
    until = time.monotonic() + _PATIENCE
    while time.monotonic() < until:
        ended = process.poll() is not None
        said = log.read_text(encoding="utf-8", errors="replace")
        if found := _ADDRESS.search(said):
            return found[0]
        if ended:
            break
        time.sleep(0.05)
    last = log.read_text(encoding="utf-8", errors="replace").strip()[-400:]
    raise InputError(f"a server did not begin to listen: {last}", where=" ".join(map(str, command)))


def cpu_seconds(pid: int) -> float:
    """Processor time of all threads of a process, those that have ended included.

    By its clock, whose number is made as clock_getcpuclockid(3) makes it, which Python has not; `/proc/PID/stat` counts
    in steps of 10 ms. Raises `OSError` if there is no such process.
    """
    return time.clock_gettime((~pid << 3) | _SCHEDULED)


def megabytes(pid: int, what: str = "VmRSS") -> float:
    """What a process has in memory; `VmHWM`: the most that it ever had (proc(5), `status`)."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines():
        if line.startswith(f"{what}:"):
            return int(line.split()[1]) / 1024
    raise InputError(f"/proc/{pid}/status has no {what}", way_out="run this on Linux")


def check_room(connections: int) -> None:
    """Raises the limit of open files as far as so many connections need; children inherit it.

    Raises `InputError` if it may not be raised so far.
    """
    room = make_room(connections)
    if room < connections:
        raise InputError(
            f"{connections} connections need more open files than the hard limit allows: there is room for {room}",
            way_out="raise it (ulimit -Hn, or LimitNOFILE), or ask for fewer --sessions",
        )
