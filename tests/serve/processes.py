"""Servers of ours as processes of their own, as a user starts them."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

PROGRAM = [sys.executable, "-m", "synthagent.cli.main"]


@contextmanager
def serving(*words: object) -> Iterator[tuple[str, "subprocess.Popen[str]"]]:
    """`synthagent serve ...` on a free port, and its address. Stopped at the end."""
    process = subprocess.Popen([*PROGRAM, "serve", *map(str, words), "--port", "0"], stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        line = process.stderr.readline()
        assert "http://" in line, line + process.stderr.read()
        yield f"http://{line.partition('http://')[2].partition('/')[0]}", process
    finally:
        process.terminate()
        process.wait(timeout=60)
        process.stderr.close()
