"""The process behind `synthagent.reasoning.python_process`: one program, run under limits that it sets itself.

Run as a file; imports nothing of ours and may not be able to see it. Reads settings and code as JSON from standard
input. What the program prints goes to standard output. Standard error is `ready`, once the limits hold and before the
code runs, and in the last line the outcome as JSON: `{"value": ..., "error": ...}`. Without `ready` it was not run.
"""

import ast
import ctypes
import json
import linecache
import os
import random
import resource
import signal
import sys
import traceback
from typing import Any

_NAME = "main.py"
_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _FILTER = 1, 38, 22, 2


class _Program(ctypes.Structure):
    """`struct sock_fprog`."""

    _fields_ = [("length", ctypes.c_ushort), ("steps", ctypes.c_char_p)]


def confine(settings: dict[str, Any]) -> None:
    """Sets the limits, for good. Raises OSError or ValueError where the system has none of them."""
    limits = {
        resource.RLIMIT_CPU: settings["cpu"],
        resource.RLIMIT_AS: settings["memory"],
        resource.RLIMIT_FSIZE: settings["file"],
        resource.RLIMIT_NOFILE: 64,
        resource.RLIMIT_NPROC: settings["processes"],
        resource.RLIMIT_CORE: 0,
    }
    for which, most in limits.items():
        hard = resource.getrlimit(which)[1]
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(which, (most, most))
    call = ctypes.CDLL(None, use_errno=True).prctl
    if call(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0) or call(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")
    if settings["filter"]:
        steps = bytes.fromhex(settings["filter"])
        program = _Program(len(steps) // 8, steps)
        if call(_PR_SET_SECCOMP, _FILTER, ctypes.byref(program), 0, 0):
            raise OSError(ctypes.get_errno(), "no seccomp filter can be set")


def outcome(code: str, most: int) -> dict[str, str | None]:
    """Runs the code, and shows its last expression in at most so many characters."""
    linecache.cache[_NAME] = (len(code), None, code.splitlines(keepends=True), _NAME)
    space: dict[str, Any] = {"__name__": "__main__", "__builtins__": __builtins__}
    try:
        tree = ast.parse(code, _NAME)
        last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, _NAME, "exec"), space)  # noqa: S102 (what this process is for)
        if not isinstance(last, ast.Expr):
            return {"value": None, "error": None}
        value = eval(compile(ast.Expression(last.value), _NAME, "eval"), space)  # noqa: S307
        return {"value": None if value is None else str(repr(value))[:most], "error": None}
    except SystemExit as leaving:
        return {"value": None, "error": f"SystemExit: {leaving.code}" if leaving.code else None}
    except BaseException as error:
        return {"value": None, "error": _told(error)}


def _told(error: BaseException) -> str:
    """The traceback from the program's first line on; frames of this file are none of its business."""
    try:
        trace = error.__traceback__
        while trace is not None and trace.tb_frame.f_code.co_filename != _NAME:
            trace = trace.tb_next
        return "".join(traceback.format_exception(error.with_traceback(trace)))
    except BaseException:
        return type(error).__name__


def main() -> None:
    """Reads, confines itself, runs, reports."""
    settings = json.load(sys.stdin)
    random.seed(0)  # the same chance in every run
    try:
        confine(settings)
    except (OSError, ValueError) as error:
        sys.exit(f"its limits cannot be set: {error}")
    os.write(2, b"ready\n")
    words = os.dup(2)
    os.dup2(1, 2)  # what it prints, to either stream, in the order in which it does
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace", line_buffering=True)  # type: ignore[union-attr]
    sys.setrecursionlimit(settings["recursion"])
    report = outcome(settings["code"], settings["output"])
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except BaseException:
        report["error"] = report["error"] or "OSError: its output was closed"
    os.dup2(words, 2)
    os.write(2, b"\n" + json.dumps(report).encode() + b"\n")
    os._exit(0)  # whatever threads and exit handlers it has left


if __name__ == "__main__":
    main()
