"""The tier `monty`: an interpreter of a subset of Python, written in Rust, that knows no files and no network.

By the extra `[sandbox]` (pydantic-monty). It runs in child processes of its own pool, which a watchdog kills; ours
adds operating system limits to them, and takes a new one for every run.
"""

import contextlib
import datetime
import shlex
import shutil
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synthagent.cores import usable_cores
from synthagent.errors import InputError, ToolFailed
from synthagent.reasoning.python_tool import FLOOD, PythonLimits, PythonResult, refused, result_of, too_big, too_slow

if TYPE_CHECKING:
    from pydantic_monty import AsyncMonty, AsyncMontySession

_NOW = datetime.datetime(2000, 1, 1)
"""What every run takes the time to be."""
_GRACE = 1.0
"""Seconds that the interpreter has to stop itself before its process is killed."""
_BESIDES = 512 << 20
"""Bytes of address space that a worker takes besides what its program allocates."""


async def version() -> str:
    """Which Monty it is. Raises `InputError` if it is not installed."""
    try:
        import pydantic_monty
    except ImportError as error:
        raise InputError(f"Monty is missing ({error})", way_out="pip install 'synthagent[sandbox]'") from error
    return f"pydantic-monty {pydantic_monty.__version__}"


@contextlib.asynccontextmanager
async def monty(limits: PythonLimits) -> AsyncIterator["Monty"]:
    """A pool of workers while the block runs. Raises `InputError` if Monty is missing."""
    await version()
    from pydantic_monty import AsyncMonty, MontyError
    from pydantic_monty._binary import find_monty_binary

    with tempfile.TemporaryDirectory(prefix="synthagent-monty-") as folder:
        try:
            worker = _worker(Path(folder), find_monty_binary(), limits)
            pool = AsyncMonty(
                binary_path=worker,
                min_processes=0,
                max_processes=usable_cores(),
                request_timeout=limits.seconds + _GRACE,
                max_checkouts_per_worker=1,
            )
            await pool.__aenter__()
        except (OSError, MontyError) as error:
            raise InputError(f"Monty does not start: {error}", way_out="pip install 'synthagent[sandbox]'") from error
        try:
            yield Monty(pool, limits)
        finally:
            await pool.__aexit__(None, None, None)


def _worker(folder: Path, binary: str, limits: PythonLimits) -> Path:
    """A program that becomes a worker: no environment, no core dumps, no files written, an end to time and memory.

    Also keeps the worker's last words off our terminal.
    """
    shell, env = shutil.which("sh") or "/bin/sh", shutil.which("env") or "/usr/bin/env"
    program = folder / "worker"
    program.write_text(
        f"#!{shell}\n"
        "ulimit -c 0 && ulimit -f 0 && ulimit -n 64 || exit 1\n"
        # Two turns in a worker's life: the code, and its value as text.
        f"ulimit -t {2 * int(limits.seconds + _GRACE + 1)} && "
        f"ulimit -v {(limits.memory + _BESIDES) // 1024} || exit 1\n"
        f'exec {shlex.quote(env)} -i {shlex.quote(binary)} "$@" 2>/dev/null\n'
    )
    program.chmod(0o700)
    return program


class Monty:
    """Runs code in Monty. Clock, sleep and chance are the same in every run."""

    def __init__(self, pool: "AsyncMonty", limits: PythonLimits):
        self._pool, self._limits = pool, limits

    async def run(self, code: str) -> PythonResult:
        """See `PythonSandbox`."""
        if why := refused(code):
            return PythonResult(error=why)
        heard = _Heard(self._limits.output)
        begun = time.perf_counter()
        value, error = await self._answer(code, heard)
        return result_of(self._limits, stdout=heard.text, value=value, error=error, seconds=time.perf_counter() - begun)

    async def _answer(self, code: str, heard: "_Heard") -> tuple[str | None, str | None]:
        """Value and error."""
        from pydantic_monty import MontyCrashedError, MontyRuntimeError, MontySyntaxError

        async with self._session() as session:
            try:
                result = await session.feed_run(code, print_callback=heard)
                return (None if result is None else await self._text(session, result)), None
            except MontyCrashedError as error:
                return None, too_slow(self._limits) if error.timed_out else "SystemError: the interpreter crashed"
            except (MontyRuntimeError, MontySyntaxError) as error:
                return None, self._told(error, heard)
            except Exception as error:
                # A value that this side cannot hold, for one. With a worker at hand it is the code's doing, whatever
                # it is: else code could pass its failure off as ours.
                return None, f"{type(error).__name__}: {error}"

    @contextlib.asynccontextmanager
    async def _session(self) -> AsyncIterator["AsyncMontySession"]:
        """A new worker. Raises `ToolFailed` if there is none to be had."""
        from pydantic_monty import MontyError

        async with contextlib.AsyncExitStack() as stack:
            try:
                session = await stack.enter_async_context(self._checkout())
            except (MontyError, OSError, RuntimeError) as error:
                raise ToolFailed(f"Monty gives no worker: {error}") from error
            yield session

    def _checkout(self) -> "AsyncMontySession":
        return self._pool.checkout(
            limits={
                "max_feed_duration_secs": self._limits.seconds,
                "max_memory": self._limits.memory,
                "max_recursion_depth": self._limits.recursion,
                "max_suspensions": 100,
            },
            os_policy={"datetime": _NOW, "sleep": "zero", "random_start": {"seed": 0}},
        )

    async def _text(self, session: "AsyncMontySession", value: Any) -> str:
        """`repr`, made over there: a small value that holds one list a million times is a very long text."""
        from pydantic_monty import MontyClassProxy, MontyRuntimeError

        if isinstance(value, MontyClassProxy):
            return f"<{value.name} object>"
        try:
            most = self._limits.output + 1
            text = await session.feed_run(f"repr(value)[:{most}]", inputs={"value": value})
        except MontyRuntimeError as error:
            return f"<{type(value).__name__} that cannot be shown: {type(error.exception()).__name__}>"
        return text if isinstance(text, str) else f"<{type(value).__name__}>"

    def _told(self, error: Any, heard: "_Heard") -> str:
        """The error as text without figures that differ from run to run."""
        said = str(error)
        if heard.flooded:
            return f"RuntimeError: stopped after printing {FLOOD} bytes"
        if "time limit exceeded" in said and isinstance(error.exception(), TimeoutError):
            return too_slow(self._limits)
        if "memory limit" in said and isinstance(error.exception(), MemoryError):
            return too_big(self._limits)
        return str(error.display("traceback"))


class _Heard:
    """What a program prints, no more than is wanted."""

    def __init__(self, most: int):
        self.text, self._most, self._bytes = "", most, 0

    @property
    def flooded(self) -> bool:
        return self._bytes > FLOOD

    def __call__(self, _: str, text: str) -> None:
        self._bytes += len(text.encode())
        self.text += text[: max(0, self._most + 1 - len(self.text))]
        if self.flooded:
            raise RuntimeError("flood")
