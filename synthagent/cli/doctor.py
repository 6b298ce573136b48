"""doctor: what works here, and the way out where something does not."""

import importlib.util
import platform
import sqlite3
import sys
from collections.abc import Callable
from functools import partial

import anyio
import typer

from synthagent import __version__, plugins
from synthagent.cli.console import print_json, print_table
from synthagent.cli.endpoint import examined
from synthagent.errors import InputError, SynthAgentError
from synthagent.llm.local_models import MODELS, cache_dir, find
from synthagent.reasoning.python_tool import SANDBOXED, SandboxedTier, tried

EXTRAS = {"local": "xllamacpp", "audit": "numpy", "prices": "genai_prices"}


def run_doctor(endpoint: str | None, key_env: str | None, json: bool) -> None:
    """Prints a line for each thing that may or may not work; exits with 1 when something necessary does not."""
    rows = [_row("python", True, lambda: f"{platform.python_version()} on {platform.system()}")]
    rows.append(_row("synthagent", True, lambda: __version__))
    rows.append(_row("sqlite", True, _sqlite))
    rows.append(_row("domains", True, _domains))
    rows += [_row(f"extra {name}", False, partial(_module, module, name)) for name, module in EXTRAS.items()]
    rows += [_row(f"python tool {tier}", False, partial(_sandbox, tier)) for tier in SANDBOXED]
    rows += [_row(f"model {name}", False, partial(_model, name)) for name in MODELS]
    rows += [_row(f"plugins {group}", False, partial(_plugins, group)) for group in plugins.GROUPS]
    if endpoint:
        rows += examined(endpoint, key_env)
    if json:
        print_json(rows)
    else:
        print_table(rows, ("what", "works", "detail"))
    if any(row["necessary"] and not row["works"] for row in rows):
        raise typer.Exit(1)


def _row(what: str, necessary: bool, try_it: Callable[[], str]) -> dict[str, object]:
    try:
        return {"what": what, "works": True, "necessary": necessary, "detail": try_it()}
    except (SynthAgentError, OSError) as error:
        return {"what": what, "works": False, "necessary": necessary, "detail": str(error)}


def _sqlite() -> str:
    if sqlite3.sqlite_version_info < (3, 37):
        raise InputError(
            f"SQLite {sqlite3.sqlite_version} has no STRICT tables", way_out="a Python with SQLite 3.37 or newer"
        )
    return sqlite3.sqlite_version


def _domains() -> str:
    from synthagent.synthesis.procedural.domain import shipped

    return f"{len(shipped())}: {', '.join(shipped())}"


def _module(name: str, extra: str) -> str:
    if importlib.util.find_spec(name) is None:
        raise InputError(f"{name} is not installed", way_out=f"{sys.executable} -m pip install 'synthagent[{extra}]'")
    return f"{name} is installed"


def _sandbox(tier: SandboxedTier) -> str:
    return anyio.run(tried, tier)


def _plugins(group: str) -> str:
    return ", ".join(plugins.names(group)) or "none"


def _model(name: str) -> str:
    path = find(name, cache_dir())
    if path is None:
        raise InputError("not fetched yet", way_out=f"synthagent models fetch {name}")
    return str(path)
