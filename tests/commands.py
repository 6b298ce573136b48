"""The command line as a user meets it: words in, exit code and text out."""

import contextlib
import io
import sys
from dataclasses import dataclass
from typing import Any

import orjson

from synthagent.cli.main import run


@dataclass(frozen=True)
class Done:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return orjson.loads(self.out)


def synthagent(*words: object) -> Done:
    """The `synthagent` command's own entry point, without the price of a new interpreter."""
    out, err, before = io.StringIO(), io.StringIO(), sys.argv
    sys.argv = ["synthagent", *map(str, words)]
    code = 0
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            run()
    except SystemExit as stop:
        code = int(stop.code or 0)
    finally:
        sys.argv = before
    return Done(code, out.getvalue(), err.getvalue())
