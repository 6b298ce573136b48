"""A response map that somebody else owns, whatever he is asked over.

What is asked within one turn of the loop goes out as one request. Every operation may be repeated without harm, so a
request that got no answer may be sent again.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from synthagent.errors import InputError
from synthagent.simulation.map_store import Entry
from synthagent.storage.maps.wire import entry_in, packed


class Line(Protocol):
    """The way to an owner."""

    where: str
    """The owner, for messages."""
    way_out: str
    """What to do when it is none."""
    patience: float
    """Seconds for which an owner that does not answer is asked again."""
    at_once: float
    """The same, where nobody waits for one that is being started again."""

    async def send(self, operations: Sequence[Any], patience: float) -> Any:
        """What the owner gives for a list of operations, as JSON data.

        Raises `EpisodeFailure` (infrastructure) if it stays away, or an entry is damaged; `InputError` if it refuses.
        """
        ...

    async def aclose(self) -> None:
        """Lets go of connections. Harmless when repeated."""
        ...


class AskedStore:
    """See `MapStore`. Raises as its line does."""

    def __init__(self, line: Line):
        self._line = line
        self._waiting: list[tuple[list[Any], asyncio.Future[Any]]] = []
        self._sending: set[asyncio.Task[None]] = set()

    async def ping(self) -> None:
        if await self._line.send([], min(self._line.at_once, self._line.patience)) != []:
            raise self._stranger()

    async def get(self, key: str) -> Entry | None:
        found = await self._asked("get", key)
        return None if found is None else entry_in(found, self._line.where, key=key)

    async def put(self, entry: Entry) -> Entry:
        return entry_in(await self._asked("put", packed(entry)), self._line.where, key=entry.key)

    async def of(self, groups: Sequence[str]) -> list[Entry]:
        return [entry_in(entry, self._line.where, groups=groups) for entry in await self._asked("of", list(groups))]

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
        return [(number, entry_in(entry, self._line.where), hits) for number, entry, hits in found]

    async def aclose(self) -> None:
        if self._sending:
            await asyncio.gather(*self._sending, return_exceptions=True)
        await self._line.aclose()

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
            results = await self._line.send([operation for operation, _ in waiting], self._line.patience)
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
        return InputError("the answer is not an owner's", where=self._line.where, way_out=self._line.way_out)
