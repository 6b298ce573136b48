"""`serve map`: one process owns a response map, many workers use it over HTTP."""

from typing import TYPE_CHECKING

import orjson

from synthagent.errors import EpisodeFailure
from synthagent.serve.listening import Listening, answer
from synthagent.simulation.map_store import MapStore, MapUnavailable
from synthagent.storage.maps.batches import Batches
from synthagent.storage.maps.wire import DAMAGED, HEALTH, MOST_OPERATIONS, PATH

if TYPE_CHECKING:
    from aiohttp import web


class MapOwner:
    """Serves a store. `async with MapOwner(store) as url:`, or `start` and `stop`."""

    def __init__(self, store: MapStore, host: str = "127.0.0.1", port: int = 0, token: str | None = None):
        """Raises `InputError` for a host beyond loopback without a token."""
        self._batches = Batches(store)
        self._server = Listening(self._serve, host, port, token)

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
            results = await self._batches.done(operations)
        except MapUnavailable as error:
            return web.Response(status=503, text=str(error))
        except EpisodeFailure as error:
            return web.Response(status=DAMAGED, text=str(error))
        except ValueError as error:
            return web.Response(status=400, text=str(error))
        return answer(results)
