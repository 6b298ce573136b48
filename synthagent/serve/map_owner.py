"""`serve map`: one process owns a response map, many workers use it over HTTP.

Requests that come in within one turn of the loop are done in one commit, and answered only after it: what a worker has
been told is in the file.
"""

import asyncio
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import orjson

from synthagent.errors import EpisodeFailure
from synthagent.serve.listening import Listening, answer
from synthagent.simulation.map_store import MapStore, MapUnavailable
from synthagent.storage.maps.sqlite import SqliteStore
from synthagent.storage.maps.wire import DAMAGED, HEALTH, MOST_OPERATIONS, PATH, perform

if TYPE_CHECKING:
    from aiohttp import web


class MapOwner:
    """Serves a store. `async with MapOwner(store) as url:`, or `start` and `stop`."""

    def __init__(self, store: MapStore, host: str = "127.0.0.1", port: int = 0, token: str | None = None):
        """Raises `InputError` for a host beyond loopback without a token."""
        self._store = store
        self._server = Listening(self._serve, host, port, token)
        self._waiting: list[tuple[list[Any], asyncio.Future[list[Any]]]] = []
        self._working: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return self._server.url

    async def __aenter__(self) -> str:
        await self.start()
        return self.url

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listens. Raises `OSError` if the port is taken."""
        await self._server.start()

    async def stop(self) -> None:
        """Stops listening; the store stays open."""
        await self._server.stop()

    async def _serve(self, request: "web.BaseRequest", body: bytes) -> "web.StreamResponse":
        from aiohttp import web

        if request.path == HEALTH:
            return web.Response(text="ok")
        if request.method != "POST" or request.path != PATH:
            return web.Response(status=404, text=f"there is {PATH} (POST) and {HEALTH}")
        try:
            operations = orjson.loads(body)
            if not isinstance(operations, list) or len(operations) > MOST_OPERATIONS:
                raise ValueError(f"a list of at most {MOST_OPERATIONS} operations is wanted")
            results = await self._done(operations)
        except MapUnavailable as error:
            return web.Response(status=503, text=str(error))
        except EpisodeFailure as error:
            return web.Response(status=DAMAGED, text=str(error))
        except ValueError as error:
            return web.Response(status=400, text=str(error))
        return answer(results)

    async def _done(self, operations: list[Any]) -> list[Any]:
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
