"""The owner's side of a shared response map, whatever it is asked over.

What comes in within one turn of the loop is done in one commit, and answered only after it: what a worker has been told
is in the file.
"""

import asyncio
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from synthagent.errors import EpisodeFailure
from synthagent.simulation.map_store import MapStore
from synthagent.storage.maps.sqlite import SqliteStore
from synthagent.storage.maps.wire import perform


class Batches:
    """Does lists of operations on a store, for many at once."""

    def __init__(self, store: MapStore):
        self._store = store
        self._waiting: list[tuple[list[Any], asyncio.Future[list[Any]]]] = []
        self._working: set[asyncio.Task[None]] = set()

    async def done(self, operations: list[Any]) -> list[Any]:
        """As many results.

        Raises `EpisodeFailure` for a damaged entry, `MapUnavailable` for a store that is gone, `ValueError` for what
        is no operation.
        """
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[list[Any]] = loop.create_future()
        self._waiting.append((operations, answer))
        if len(self._waiting) == 1:
            loop.call_soon(self._start_batch)
        return await answer

    def _start_batch(self) -> None:
        waiting, self._waiting = self._waiting, []
        task = asyncio.get_running_loop().create_task(self._batch(waiting))
        self._working.add(task)
        task.add_done_callback(self._working.discard)

    async def _batch(self, waiting: list[tuple[list[Any], asyncio.Future[list[Any]]]]) -> None:
        done: list[tuple[asyncio.Future[list[Any]], list[Any] | Exception]] = []
        try:
            with self._together():
                done = [(answer, await self._all(operations)) for operations, answer in waiting]
        except Exception as error:  # the commit failed: nobody may be told that anything was kept
            done = [(answer, error) for _, answer in waiting]
        for promised, result in done:
            if promised.done():
                continue
            if isinstance(result, Exception):
                promised.set_exception(result)
            else:
                promised.set_result(result)

    async def _all(self, operations: list[Any]) -> list[Any] | Exception:
        try:
            return [await perform(self._store, operation) for operation in operations]
        except EpisodeFailure as error:  # an entry is damaged: who did not ask for it has nothing to do with it
            return error
        except (ValueError, TypeError, OverflowError, RecursionError) as error:  # this worker's mistake only
            return ValueError(f"not an operation: {type(error).__name__}: {error}")

    def _together(self) -> AbstractContextManager[None]:
        # A SQLite store never waits inside of an operation, so that one batch is one transaction.
        return self._store.together() if isinstance(self._store, SqliteStore) else nullcontext()
