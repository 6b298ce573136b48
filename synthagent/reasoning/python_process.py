"""CPython in a process of its own: the tiers `bwrap` (in namespaces, by bubblewrap) and `unsafe-local` (limits only).

Each run is a new process in a new process group, which is killed as a whole when its time is up. Limits on memory,
processor time, processes and file size and a filter of system calls are set by the process before it reads the code.
"""

import contextlib
import math
import os
import shutil
import signal
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import PIPE
from typing import TYPE_CHECKING, Any

import orjson

from synthagent.cores import usable_cores
from synthagent.errors import InputError, ToolFailed
from synthagent.reasoning.python_tool import FLOOD, PythonLimits, PythonResult, refused, result_of, too_big, too_slow
from synthagent.reasoning.syscalls import filter_program

if TYPE_CHECKING:
    import anyio
    from anyio.abc import ByteReceiveStream, Process

_CHILD = Path(__file__).with_name("python_child.py")
_GRACE = 1.0
"""Seconds beyond the limit that an interpreter has to start."""
_FILE = 8 << 20
"""Bytes of the largest file, and of all of `/tmp`."""
_PROCESSES = 256
"""Processes and threads of our user; root is exempt, whom the filter of system calls holds back."""
_SEEN = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/etc/ld.so.cache")
"""What an interpreter needs of the system besides itself, read-only."""
_ENVIRONMENT = {"HOME": "/tmp", "LANG": "C.UTF-8", "PATH": "/usr/bin:/bin", "PYTHONHASHSEED": "0", "TZ": "UTC"}
# Nothing from the folder, the user or site-packages; no bytecode; the environment for the hash seed only.
_FLAGS = ("-P", "-s", "-S", "-B")

_ESCAPES = """
import os, socket
def works(act):
    try:
        act()
    except OSError:
        return False
    return True
found = []
if works(lambda: open('/etc/passwd').read()): found.append('reads files')
if works(lambda: open(os.__file__, 'a')): found.append('writes files')
if works(lambda: socket.create_connection(('127.0.0.1', 9), 1)): found.append('has a network')
if works(lambda: os.fork() or os._exit(0)): found.append('starts processes')
', '.join(found)
"""


async def version() -> str:
    """Which bubblewrap it is. Raises `InputError` if it is missing, or what should be shut is open."""
    import anyio

    if filter_program() is None:
        raise InputError("no filter of system calls was written for this machine's processor", way_out="use monty")
    program = shutil.which("bwrap")
    if program is None:
        raise InputError("bubblewrap is not installed", way_out="apt install bubblewrap, or your system's like")
    try:
        result = await CPython(PythonLimits(), confined=True).run(_ESCAPES)
        said = await anyio.run_process([program, "--version"], check=False)
    except (OSError, ToolFailed) as error:
        raise InputError(f"bubblewrap does not work here: {error}", way_out="use monty") from error
    if result.value != "''":
        raise InputError(f"bubblewrap holds nothing here: {result.error or result.value}", way_out="use monty")
    return said.stdout.decode(errors="replace").strip()


@dataclass
class CPython:
    """Runs code in this machine's CPython, standard library only. Hash seed and `random` are the same in every run."""

    limits: PythonLimits
    confined: bool
    """In namespaces, by bubblewrap; else the code can read and write what we can."""
    _slots: "anyio.CapacityLimiter | None" = field(default=None, repr=False)

    async def run(self, code: str) -> PythonResult:
        """See `PythonSandbox`."""
        import anyio

        if why := refused(code):
            return PythonResult(error=why)
        if self._slots is None:
            self._slots = anyio.CapacityLimiter(usable_cores())
        async with self._slots:
            begun = time.perf_counter()
            ended = await self._ended(code)
            seconds = time.perf_counter() - begun
        # The code writes nothing before this word, so it cannot pass its own failure off as ours.
        if "ready\n" not in ended.stderr:
            raise ToolFailed(f"the sandbox did not start: {ended.stderr.strip()[-500:] or 'it took too long'}")
        if ended.late:
            return result_of(self.limits, stdout=ended.stdout, error=too_slow(self.limits), seconds=seconds)
        if ended.flooded:
            flood = f"RuntimeError: stopped after printing {FLOOD} bytes"
            return result_of(self.limits, stdout=ended.stdout, error=flood, seconds=seconds)
        report = ended.report
        value: str | None = report.get("value")
        error: str | None = report.get("error")
        if not report and ended.code in (-signal.SIGXCPU, 128 + signal.SIGXCPU):
            error = too_slow(self.limits)
        elif not report:
            error = f"SystemError: the interpreter ended without a result (exit code {ended.code})"
        elif error is not None and error.rstrip().endswith("MemoryError"):
            error = f"{error.rstrip()[:-11]}{too_big(self.limits)}"
        return result_of(self.limits, stdout=ended.stdout, value=value, error=error, seconds=seconds)

    async def _ended(self, code: str) -> "_Ended":
        """What is left of the process."""
        import anyio

        settings = self._settings(code)
        process = await anyio.open_process(
            self._command(), stdin=PIPE, stdout=PIPE, stderr=PIPE, start_new_session=True,
            env=_ENVIRONMENT, cwd="/",
        )  # fmt: skip
        out, words = _Kept(FLOOD), _Kept(8 * self.limits.output + 65_536)
        late = True
        try:
            with anyio.move_on_after(self.limits.seconds + _GRACE):
                async with anyio.create_task_group() as group:
                    group.start_soon(out.keep, process.stdout, group.cancel_scope)
                    group.start_soon(words.keep, process.stderr, group.cancel_scope)
                    assert process.stdin is not None
                    with contextlib.suppress(anyio.BrokenResourceError, anyio.ClosedResourceError, OSError):
                        await process.stdin.send(settings)
                        await process.stdin.aclose()
                if not (out.full or words.full):
                    await process.wait()
                late = False
        finally:
            await _killed(process)
        return _Ended(out.text, words.text, process.returncode, late=late, flooded=out.full or words.full)

    def _settings(self, code: str) -> bytes:
        program = filter_program()
        return orjson.dumps(
            {
                "code": code,
                "cpu": math.ceil(self.limits.seconds) + 1,
                "memory": self.limits.memory,
                "file": _FILE if self.confined else 0,
                "processes": _PROCESSES,
                "recursion": self.limits.recursion,
                "output": self.limits.output + 1,
                "filter": program.hex() if program else None,
            }
        )

    def _command(self) -> list[str]:
        # The interpreter itself, not the link in a virtual environment.
        python = str(Path(sys.executable).resolve())
        if not self.confined:
            return [python, *_FLAGS, str(_CHILD)]
        base = str(Path(sys.base_prefix).resolve())
        command = [shutil.which("bwrap") or "bwrap", "--unshare-all", "--unshare-user", "--die-with-parent"]
        command += ["--uid", "65534", "--gid", "65534", "--hostname", "sandbox", "--cap-drop", "ALL", "--clearenv"]
        for name, text in _ENVIRONMENT.items():
            command += ["--setenv", name, text]
        for path in _SEEN:
            command += ["--ro-bind-try", path, path]
        command += ["--ro-bind", base, base, "--ro-bind", str(_CHILD), "/child.py"]
        for device in ("/dev/null", "/dev/urandom"):
            command += ["--dev-bind-try", device, device]
        command += ["--size", str(_FILE), "--tmpfs", "/tmp", "--chdir", "/tmp", "--remount-ro", "/"]
        return [*command, "--", python, *_FLAGS, "/child.py"]


async def _killed(process: "Process") -> None:
    """Kills the whole group, whether or not its first process is still there, and waits for that one."""
    import anyio

    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    with anyio.CancelScope(shield=True):
        await process.wait()
        await process.aclose()


@dataclass(frozen=True)
class _Ended:
    """A process that is no more."""

    stdout: str
    stderr: str
    code: int | None
    late: bool
    flooded: bool

    @property
    def report(self) -> dict[str, Any]:
        """The last line of standard error, if it is what `python_child` writes; the code may have written it too."""
        lines = self.stderr.strip().splitlines()
        with contextlib.suppress(orjson.JSONDecodeError, IndexError):
            found: dict[str, Any] = orjson.loads(lines[-1])
            whole = isinstance(found, dict) and found.keys() == {"value", "error"}
            if whole and all(text is None or isinstance(text, str) for text in found.values()):
                return found
        return {}


class _Kept:
    """What comes out of a pipe, up to a number of bytes; more ends the run."""

    def __init__(self, most: int):
        self._bytes, self._most = bytearray(), most

    @property
    def full(self) -> bool:
        return len(self._bytes) >= self._most

    @property
    def text(self) -> str:
        return self._bytes.decode("utf-8", "replace")

    async def keep(self, stream: "ByteReceiveStream | None", scope: "anyio.CancelScope") -> None:
        import anyio

        assert stream is not None
        with contextlib.suppress(anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError):
            while not self.full:
                self._bytes += await stream.receive()
            scope.cancel()
