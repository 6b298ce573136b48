"""llama.cpp on this machine, by the extra `[local]` (xllamacpp): a GGUF file becomes an OpenAI-compatible endpoint.

In a process of its own: loading a model holds Python's lock for seconds, leaving the server while a call is under way
never returns, and what aborts in C++ takes its process with it (all seen with xllamacpp 2026.10).
"""

import contextlib
import json
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from synthagent.cores import usable_cores
from synthagent.errors import InputError

if TYPE_CHECKING:
    from anyio.abc import Process


@contextlib.asynccontextmanager
async def embedded(
    path: Path, *, threads: int | None = None, parallel: int = 4, context: int = 4096, name: str = "local"
) -> AsyncIterator[str]:
    """Serves a GGUF file on a free port of 127.0.0.1 while the block runs, and gives its base URL, ending in `/v1`.

    `threads` compute (default: the cores we may use; more make llama.cpp many times slower), `parallel` conversations
    are answered at once, further ones wait, each with a window of `context` tokens. `name` is the model's name there.

    Raises `InputError` if the file is no GGUF, cannot be loaded, or the extra is missing.
    """
    import anyio

    settings = {
        "path": _checked(path),
        "name": name,
        "threads": threads or usable_cores(),
        "parallel": parallel,
        "context": context,
    }
    program = Path(__file__).with_name("llama_server.py")
    # -P: this folder's modules must not shadow those that llama.cpp's package imports.
    command = [sys.executable, "-P", str(program), json.dumps(settings)]
    with tempfile.TemporaryFile() as log:
        # Leaving the block kills it; should we die without leaving, it ends with its standard input.
        async with await anyio.open_process(command, stderr=log) as process:
            try:
                yield _url(await _first_line(process), path, log)
            finally:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()


def _checked(path: Path) -> str:
    """The absolute path, if there is a GGUF file."""
    try:
        with path.open("rb") as file:
            magic = file.read(4)
    except OSError as error:
        raise InputError(f"cannot read the model: {error.strerror}", where=str(path)) from error
    if magic != b"GGUF":
        raise InputError("not a GGUF file", where=str(path))
    return str(path.resolve())


async def _first_line(process: "Process") -> dict[str, Any]:
    """What the server's process says of itself; empty if it died without a word."""
    import anyio

    heard = b""
    assert process.stdout is not None
    with contextlib.suppress(anyio.EndOfStream):
        while True:
            heard += await process.stdout.receive()
            for line in heard.splitlines(keepends=True):
                if line.startswith(b"{") and line.endswith(b"\n"):
                    answer: dict[str, Any] = json.loads(line)
                    return answer
    return {}


def _url(answer: dict[str, Any], path: Path, log: IO[bytes]) -> str:
    if "url" in answer:
        return str(answer["url"])
    if answer.get("error") == "missing":
        raise InputError(
            f"models on this machine need xllamacpp ({answer['detail']})", way_out="pip install 'synthagent[local]'"
        )
    log.seek(0)
    said = [line.strip() for line in log.read().decode("utf-8", "replace").splitlines() if line.strip()]
    why = "; ".join(said[:3]) or answer.get("detail") or "its process died"
    raise InputError(f"llama.cpp cannot load the model: {why[:500]}", where=str(path))
