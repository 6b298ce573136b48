"""What the parts cost alone: SQLite without guards, aiohttp without a client of ours, Python without a program."""

import asyncio
import itertools
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from time import perf_counter, process_time
from typing import Any

import aiohttp
import orjson

from synthagent.schema.tasks import Require, Run
from synthagent.simulation.guarded_sql import Guard
from synthagent.simulation.world import Blueprint


def deserialized(image: bytes, times: int) -> float:
    """Seconds that sqlite3 takes to restore an image into an open connection."""
    db = sqlite3.connect(":memory:")
    begun = process_time()
    for _ in range(times):
        db.deserialize(image)
    spent = process_time() - begun
    db.close()
    return spent / times


class BareWorld:
    """The SQL of some calls on a connection that knows a world's functions, but has no authorizer and no budget."""

    def __init__(self, blueprint: Blueprint, calls: Sequence[tuple[str, str]]):
        guard = Guard()
        guard.restore(blueprint.image)
        guard.clock.now = blueprint.now
        numbers = itertools.count()
        guard.clock.id_source = lambda: str(next(numbers))
        guard.db.set_authorizer(None)
        guard.db.set_progress_handler(None, 0)
        self._guard, self._db = guard, guard.db
        self._statements: list[tuple[str, dict[str, Any], bool]] = []
        for tool, raw in calls:
            program = blueprint.programs[tool]
            _, bound = program.bind(orjson.loads(raw))
            for step in program.steps:
                sql = step.require if isinstance(step, Require) else step.run if isinstance(step, Run) else step.query
                self._statements.append((sql, bound, not isinstance(step, Run)))

    def run(self) -> float:
        """Seconds for all statements, rows fetched; the state is as before afterwards."""
        execute = self._db.execute
        self._guard.save("run")
        begun = process_time()
        for sql, bound, fetches in self._statements:
            cursor = execute(sql, bound)
            if fetches:
                cursor.fetchall()
        spent = process_time() - begun
        self._guard.undo("run")
        self._guard.keep("run")
        return spent


async def exchanges(url: str, conversations: Sequence[Sequence[bytes]]) -> int:
    """Posts each conversation's bodies in turn, all conversations at once; gives the bytes that came back."""
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0), cookie_jar=aiohttp.DummyCookieJar()
    ) as session:

        async def converse(bodies: Sequence[bytes]) -> int:
            size = 0
            for body in bodies:
                async with session.post(url, data=body, headers={"Content-Type": "application/json"}) as response:
                    size += len(await response.read())
            return size

        return sum(await asyncio.gather(*map(converse, conversations)))


def wall(command: Sequence[str]) -> float:
    """Seconds from start to end of a program."""
    begun = perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return perf_counter() - begun


def python_alone() -> float:
    """Seconds that the interpreter takes to do nothing."""
    return wall([sys.executable, "-c", "pass"])
