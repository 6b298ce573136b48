"""A response map that another process owns: `synthagent serve map`, over HTTP.

What is asked within one turn of the loop goes out as one request. Every operation may be repeated without harm, so a
request that got no answer is sent again until the owner is back, or patience is over.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from synthagent.errors import EpisodeFailure, InputError
from synthagent.simulation.map_store import Entry
from synthagent.storage.maps.wire import AT_ONCE, DAMAGED, PATH, entry_in, packed

PATIENCE = 30.0
"""Seconds for which an owner that does not answer is asked again."""


class RemoteStore:
    """See `MapStore`. Raises `EpisodeFailure` (infrastructure) if the owner stays away, `InputError` if it refuses."""

    def __init__(self, url: str, token: str | None = None, patience: float = PATIENCE):
        self._url = url.rstrip("/") + PATH
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._patience = patience
        self._waiting: list[tuple[list[Any], asyncio.Future[Any]]] = []
        self._sending: set[asyncio.Task[None]] = set()
        self._session: Any = None

    async def ping(self) -> None:
        if await self._posted(b"[]", min(AT_ONCE, self._patience)) != []:
            raise self._stranger()

    async def get(self, key: str) -> Entry | None:
        found = await self._asked("get", key)
        return None if found is None else entry_in(found, self._url, key=key)

    async def put(self, entry: Entry) -> Entry:
        return entry_in(await self._asked("put", packed(entry)), self._url, key=entry.key)

    async def of(self, groups: Sequence[str]) -> list[Entry]:
        return [entry_in(entry, self._url, groups=groups) for entry in await self._asked("of", list(groups))]

    async def lease(self, name: str, holder: str, seconds: float) -> bool:
        return bool(await self._asked("lease", name, holder, seconds))

    async def release(self, name: str, holder: str) -> None:
        await self._asked("release", name, holder)

    async def count(self, hits: Mapping[str, int]) -> None:
        await self._asked("count", dict(hits))

    async def sizes(self, worlds: Sequence[str]) -> dict[str, int]:
        return dict(await self._asked("sizes", list(worlds)))

    async def dump(self, after: int, most: int) -> list[tuple[int, Entry, int]]:
        found = await self._asked("dump", after, most)
        return [(number, entry_in(entry, self._url), hits) for number, entry, hits in found]

    async def aclose(self) -> None:
        if self._sending:
            await asyncio.gather(*self._sending, return_exceptions=True)
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _asked(self, *operation: Any) -> Any:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Any] = loop.create_future()
        self._waiting.append((list(operation), answer))
        if len(self._waiting) == 1:
            loop.call_soon(self._send)
        return await answer

    def _send(self) -> None:
        waiting, self._waiting = self._waiting, []
        task = asyncio.get_running_loop().create_task(self._exchange(waiting))
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def _exchange(self, waiting: list[tuple[list[Any], asyncio.Future[Any]]]) -> None:
        try:
            results = await self._posted(orjson.dumps([operation for operation, _ in waiting]), self._patience)
            if not isinstance(results, list) or len(results) != len(waiting):
                raise self._stranger()
        except Exception as error:  # whatever it is: nobody may be left waiting for an answer
            for _, answer in waiting:
                if not answer.done():
                    answer.set_exception(error)
            return
        for (_, answer), result in zip(waiting, results, strict=True):
            if not answer.done():  # whoever asked may have been cancelled
                answer.set_result(result)

    def _stranger(self) -> InputError:
        return InputError("the answer is not an owner's", where=self._url, way_out=_WAY_OUT)

    async def _posted(self, body: bytes, patience: float) -> Any:
        import aiohttp

        if self._session is None:
            self._session = aiohttp.ClientSession(headers=self._headers)
        loop = asyncio.get_running_loop()
        timeout = aiohttp.ClientTimeout(total=patience)
        give_up, wait = loop.time() + patience, 0.05
        while True:
            try:
                post = self._session.post(self._url, data=body, allow_redirects=False, timeout=timeout)
                async with post as response:
                    if response.status == 200:
                        return orjson.loads(await response.read())
                    text = (await response.text(errors="replace"))[:200]
                    if response.status == DAMAGED:
                        raise EpisodeFailure(f"{self._url}: {text}", reason="map_damaged")
                    if response.status < 500:
                        raise InputError(f"HTTP {response.status}: {text}", where=self._url, way_out=_WAY_OUT)
                    problem = f"HTTP {response.status}: {text}"
            except (aiohttp.ClientError, OSError, TimeoutError, orjson.JSONDecodeError) as error:
                problem = str(error) or type(error).__name__
            if loop.time() + wait > give_up:
                raise EpisodeFailure(f"{self._url}: {problem}", reason="map_unavailable")
            await asyncio.sleep(wait)
            wait = min(2 * wait, 1.0)


_WAY_OUT = "is it `synthagent serve map`, and is SYNTHAGENT_TOKEN its token?"
