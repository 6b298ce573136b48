"""A worker of a cluster: opened once, then given jobs. Runs in a process of its own and knows nothing of Ray."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from synthagent.errors import InputError, SynthAgentError


@dataclass(frozen=True, slots=True)
class Hands:
    """What a worker works with while it is open."""

    do: Callable[[bytes], Awaitable[bytes]]
    """Does one job. May be called by many tasks at once. Raises only what must stop the whole run."""
    told: Callable[[], bytes]
    """What it came to, asked at the end."""


_INPUT = (InputError.__name__, "MapUnavailable")
"""Errors for which what was asked for is to be mended."""
Opening = Callable[[], AbstractAsyncContextManager[Hands]]
"""Opens what jobs need (models, maps, sandboxes) for as long as a worker lives; it is sent to the workers."""


class Ended(SynthAgentError):
    """A worker cannot go on, and no other could: what was asked for is wrong, or is not there."""

    def __init__(self, kind: str, text: str):
        super().__init__(text)
        self.kind = kind
        """The class of the error that ended it."""

    def cause(self) -> SynthAgentError:
        """The error that ended it, as far as the command has to tell: what is to be mended by whom."""
        return InputError(str(self)) if self.kind in _INPUT else SynthAgentError(str(self))


class Worker:
    """Its methods give ("ok", bytes), or the class and the text of an error of ours that stops the run."""

    def __init__(self, opening: Opening):
        self._opening = opening
        self._hands: asyncio.Future[Hands] | None = None
        self._closing = asyncio.Event()
        self._life: asyncio.Task[None] | None = None

    async def open(self) -> tuple[str, bytes]:
        """Opens what jobs need. Whatever is opened is closed by the same task, as task groups and scopes demand."""
        self._hands = asyncio.get_running_loop().create_future()
        self._life = asyncio.create_task(self._lived(self._hands))
        try:
            await asyncio.shield(self._hands)
        except SynthAgentError as error:
            return _ended(error)
        return "ok", b""

    async def do(self, payload: bytes) -> tuple[str, bytes]:
        """Does one job."""
        assert self._hands is not None
        try:
            return "ok", await (await asyncio.shield(self._hands)).do(payload)
        except SynthAgentError as error:
            return _ended(error)

    async def close(self) -> tuple[str, bytes]:
        """Closes what is open and gives what it came to."""
        if self._hands is None or self._life is None:
            return "ok", b""
        told = (await asyncio.shield(self._hands)).told()
        self._closing.set()
        await self._life
        return "ok", told

    async def _lived(self, hands: "asyncio.Future[Hands]") -> None:
        try:
            async with self._opening() as found:
                hands.set_result(found)
                await self._closing.wait()
        except BaseException as error:
            if hands.done():
                raise
            hands.set_exception(error)


def _ended(error: SynthAgentError) -> tuple[str, bytes]:
    return type(error).__name__, str(error).encode()
