"""A response map that another process owns: `synthagent serve map`, over HTTP.

A request that got no answer is sent again until the owner is back, or patience is over.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

import orjson

from synthagent.errors import EpisodeFailure, InputError
from synthagent.storage.maps.asked import AskedStore
from synthagent.storage.maps.wire import AT_ONCE, DAMAGED, PATH

PATIENCE = 30.0
"""Seconds for which an owner that does not answer is asked again."""


class RemoteStore(AskedStore):
    """See `MapStore`. Raises `EpisodeFailure` (infrastructure) if the owner stays away, `InputError` if it refuses."""

    def __init__(self, url: str, token: str | None = None, patience: float = PATIENCE):
        super().__init__(_Http(url.rstrip("/") + PATH, token, patience))


class _Http:
    way_out = "is it `synthagent serve map`, and is SYNTHAGENT_TOKEN its token?"
    at_once = AT_ONCE

    def __init__(self, url: str, token: str | None, patience: float):
        self.where, self.patience = url, patience
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._session: Any = None

    async def aclose(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def send(self, operations: Sequence[Any], patience: float) -> Any:
        import aiohttp

        body = orjson.dumps(operations)
        if self._session is None:
            self._session = aiohttp.ClientSession(headers=self._headers)
        loop = asyncio.get_running_loop()
        timeout = aiohttp.ClientTimeout(total=patience)
        give_up, wait = loop.time() + patience, 0.05
        while True:
            try:
                post = self._session.post(self.where, data=body, allow_redirects=False, timeout=timeout)
                async with post as response:
                    if response.status == 200:
                        return orjson.loads(await response.read())
                    text = (await response.text(errors="replace"))[:200]
                    if response.status == DAMAGED:
                        raise EpisodeFailure(f"{self.where}: {text}", reason="map_damaged")
                    if response.status < 500:
                        raise InputError(f"HTTP {response.status}: {text}", where=self.where, way_out=self.way_out)
                    problem = f"HTTP {response.status}: {text}"
            except (aiohttp.ClientError, OSError, TimeoutError, orjson.JSONDecodeError) as error:
                problem = str(error) or type(error).__name__
            if loop.time() + wait > give_up:
                raise EpisodeFailure(f"{self.where}: {problem}", reason="map_unavailable")
            await asyncio.sleep(wait)
            wait = min(2 * wait, 1.0)
