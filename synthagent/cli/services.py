"""--search and --python: the services behind tools, checked before a run and open for as long as it takes."""

import os
import secrets
import socket
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import cast, get_args

import anyio

from synthagent.errors import InputError
from synthagent.reasoning.backends import FORMS, open_search
from synthagent.reasoning.mapped_search import mapped_search
from synthagent.reasoning.python_tool import Tier, first_that_works, open_sandbox, tried
from synthagent.reasoning.services import Services
from synthagent.reasoning.tasks import services_of
from synthagent.schema.tasks import Service, Task
from synthagent.scoring.answers import check_installed, specs_in
from synthagent.scoring.scorer import criteria_of
from synthagent.serve.access import TOKEN_ENV
from synthagent.simulation.response_map import MapMode, Tools
from synthagent.storage.maps import open_store


@dataclass(frozen=True, slots=True)
class Serving:
    """What answers tools that are real services."""

    search: str | None = None
    """A word for `open_search`; None: nothing searches."""
    python: Tier | None = None
    """None: nothing runs Python."""
    reasoning: bool = False
    """Whether there are reasoning tasks."""


NOTHING = Serving()


def serving(search: str | None, python: str, *, unsafe_local: bool = False) -> Serving:
    """What the options say. Raises `InputError`."""
    if python not in get_args(Tier):
        raise InputError(f"--python: '{python}' is not one of {', '.join(get_args(Tier))}")
    if unsafe_local and python not in ("auto", "unsafe-local"):
        raise InputError(f"--unsafe-local: --python {python} asks for something else", way_out="give one of them")
    return Serving(search, "unsafe-local" if unsafe_local else cast(Tier, python))


def fitted(asked: Serving, tasks: Iterable[Task]) -> Serving:
    """What of it the tasks need, `auto` replaced by the tier that works here.

    Raises `InputError` for a service that a task needs and that is not given, or does not work here, and where answers
    could not be compared as mathematics.
    """
    needs: set[Service] = set()
    reasoning = math = False
    for task in tasks:
        needs |= services_of(task)
        reasoning |= task.kind == "reasoning"
        math |= any(spec.kind == "math" for one in criteria_of(task.rubric) for spec in specs_in(one.check))
    if math:
        check_installed()
    search, python = asked.search, asked.python
    if "search" in needs and search is None:
        raise InputError("there are tasks that search, and nothing to search in", way_out=f"give --search: {FORMS}")
    if "search" in needs and search is not None:
        anyio.run(_openable, search)
    if "python" in needs:
        if python is None:
            raise InputError("there are tasks that run Python", way_out=f"give --python: {', '.join(get_args(Tier))}")
        python = anyio.run(_working, python)
    return Serving(search if "search" in needs else None, python if "python" in needs else None, reasoning)


async def _openable(search: str) -> None:
    await open_search(search).aclose()


async def _working(tier: Tier) -> Tier:
    """The tier that `auto` stands for; any other if it works. Raises `InputError`."""
    if tier == "unsafe-local":
        return tier
    if tier != "auto":
        await tried(tier)
        return tier
    return await first_that_works()


@asynccontextmanager
async def served(with_: Serving, simulated: Tools | None, mode: MapMode, store: str) -> AsyncIterator[Tools | None]:
    """Whoever answers tools, services and the `simulated` ones, while the block runs.

    `mode` and `store`: of the response map, which keeps the hits of searches too. Raises `InputError`.
    """
    if with_.search is None and with_.python is None:
        yield simulated
        return
    async with AsyncExitStack() as stack:
        python = await stack.enter_async_context(open_sandbox(with_.python)) if with_.python else None
        search = None
        if with_.search is not None:
            kept = open_store("memory" if mode == "none" else store, os.environ.get(TOKEN_ENV))
            stack.push_async_callback(kept.aclose)
            who = f"{socket.gethostname()}/{os.getpid()}/{secrets.token_hex(4)}"
            search = mapped_search(open_search(with_.search), kept, "frozen" if mode == "frozen" else "state", who=who)
            stack.push_async_callback(search.aclose)
        yield Services(simulated, python, search)
