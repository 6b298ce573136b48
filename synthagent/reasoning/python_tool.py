"""A model writes Python; we run it and give back what it printed and its last expression's value, or its error.

The code is hostile. It never runs in this process: see docs/reference/python-tool.md for what each tier forbids.
"""

import contextlib
from collections.abc import AsyncIterator
from typing import Literal, Protocol, get_args

from pydantic import Field

from synthagent.errors import InputError
from synthagent.schema.record import Record
from synthagent.schema.tasks import Function, Tool

Tier = Literal["auto", "monty", "bwrap", "unsafe-local"]
SandboxedTier = Literal["monty", "bwrap"]
SANDBOXED: tuple[SandboxedTier, ...] = get_args(SandboxedTier)
"""What `auto` tries, in this order. `unsafe-local` has to be asked for."""

LONGEST_CODE = 200_000
"""Characters of code; longer code is not run."""
FLOOD = 1 << 20
"""Bytes printed after which a program may be stopped, rather than its output be cut."""
_CUT = "\n... (cut)"


class PythonLimits(Record):
    """What one run may use. A run that wants more ends with an error."""

    seconds: float = Field(default=5.0, gt=0, le=600)
    """Wall-clock time. A sandbox may take up to two seconds more to stop a run."""
    memory: int = Field(default=256 << 20, ge=64 << 20)
    """Bytes."""
    recursion: int = Field(default=500, ge=50, le=5000)
    """Calls within calls."""
    output: int = Field(default=10_000, ge=100)
    """Characters, of what is printed and of the value each. What is longer is cut."""


class PythonResult(Record):
    """What came of one run."""

    stdout: str = ""
    """What it printed, to either stream."""
    value: str | None = None
    """`repr` of the last expression; None if there is none, it is None, or the run failed."""
    error: str | None = None
    """The traceback, or why the run was stopped; its last line says what happened. None if all went well."""
    truncated: bool = False
    """Output, value or error was longer than the limit and has been cut; the text says so too."""
    seconds: float = 0.0
    """Wall-clock time, the interpreter's start included. The only figure that differs from run to run by nature."""


def python_tool(
    description: str = "Run Python code. Gives what it prints and the value of its last expression. Every call starts "
    "afresh: nothing is kept from earlier calls.",
) -> Tool:
    """The tool as an agent sees it: code, whose result is a text."""
    code = {"type": "string", "description": "The program."}
    parameters = {
        "type": "object", "properties": {"code": code}, "required": ["code"], "additionalProperties": False,
    }  # fmt: skip
    function = Function(name="run_python", description=description, parameters=parameters)
    return Tool(function=function, outputs={"type": "string"}, effect="read", reads=())


def told(result: PythonResult) -> str:
    """What the agent reads: what was printed, then the last expression's value or the error."""
    parts = [part.rstrip("\n") for part in (result.stdout, result.value or "", result.error or "") if part.strip()]
    return "\n".join(parts).encode("utf-8", "replace").decode() or "(no output)"


class PythonSandbox(Protocol):
    """Runs code. Each run has an interpreter of its own, and sees nothing of an earlier one."""

    async def run(self, code: str) -> PythonResult:
        """Runs the code. What it does wrong is a result, never an exception.

        Raises `ToolFailed` if the sandbox itself cannot work any more.
        """
        ...


@contextlib.asynccontextmanager
async def open_sandbox(tier: Tier = "auto", limits: PythonLimits | None = None) -> AsyncIterator[PythonSandbox]:
    """A sandbox while the block runs. `auto`: the first of `SANDBOXED` that works here, never `unsafe-local`.

    Raises `InputError`, with the way out, if the tier does not work on this machine.
    """
    limits = limits or PythonLimits()
    if tier == "auto":
        tier = await first_that_works()
    elif tier != "unsafe-local":
        await tried(tier)
    async with _opened(tier, limits) as sandbox:
        yield sandbox


async def tried(tier: SandboxedTier) -> str:
    """What a tier that works here consists of, found out by running something in it.

    Raises `InputError`, with the way out, if it does not work.
    """
    if tier == "monty":
        from synthagent.reasoning.python_monty import version
    else:
        from synthagent.reasoning.python_process import version
    found = await version()
    async with _opened(tier, PythonLimits()) as sandbox:
        result = await sandbox.run("print('in')\n6 * 7")
    if (result.stdout, result.value) != ("in\n", "42"):
        raise InputError(f"{tier} does not run Python here: {(result.error or 'a wrong answer').strip()[-500:]}")
    return found


async def first_that_works() -> SandboxedTier:
    """What `auto` stands for here. Raises `InputError` with what is wrong with each tier."""
    reasons = []
    for tier in SANDBOXED:
        try:
            await tried(tier)
        except InputError as error:
            reasons.append(f"{tier}: {error}")
        else:
            return tier
    raise InputError(
        "no sandbox for Python works here: " + "; ".join(reasons),
        way_out="pip install 'synthagent[sandbox]', or --unsafe-local on a machine that may be lost",
    )


@contextlib.asynccontextmanager
async def _opened(
    tier: Literal["monty", "bwrap", "unsafe-local"], limits: PythonLimits
) -> AsyncIterator[PythonSandbox]:
    if tier == "monty":
        from synthagent.reasoning.python_monty import monty

        async with monty(limits) as sandbox:
            yield sandbox
    else:
        from synthagent.reasoning.python_process import CPython

        yield CPython(limits, confined=tier == "bwrap")


def result_of(
    limits: PythonLimits, *, stdout: str, value: str | None = None, error: str | None = None, seconds: float
) -> PythonResult:
    """The result, cut to the limits: an error keeps its end, which says what happened."""
    most = limits.output
    texts = (stdout, value or "", error or "")
    if error is not None and len(error) > most:
        error = "(cut) ..." + error[-most:]
    return PythonResult(
        stdout=_cut(stdout, most),
        value=None if value is None or error is not None else _cut(value, most),
        error=error,
        truncated=any(len(text) > most for text in texts),
        seconds=seconds,
    )


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[:most] + _CUT


def refused(code: str) -> str | None:
    """Why code is not even handed to an interpreter."""
    if len(code) > LONGEST_CODE:
        return f"ValueError: the code is longer than {LONGEST_CODE} characters"
    if "\0" in code or any("\ud800" <= char <= "\udfff" for char in code):
        return "ValueError: the code holds a character that no source may hold"
    return None


def too_slow(limits: PythonLimits) -> str:
    """The error of a run that took too long, the same in every tier."""
    return f"TimeoutError: stopped after {limits.seconds:g} s"


def too_big(limits: PythonLimits) -> str:
    """The error of a run that wanted too much memory, where a tier can tell."""
    return f"MemoryError: more than {limits.memory >> 20} MiB"
