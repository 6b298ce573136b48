"""A worker's own life, without a cluster: opened once, given jobs, closed by whoever opened it."""

from contextlib import asynccontextmanager

import anyio
import pytest

from synthagent.engines.worker import Ended, Hands, Worker
from synthagent.errors import EndpointDown, InputError

pytestmark = pytest.mark.anyio


def opening(log: list[str], fails: Exception | None = None):
    @asynccontextmanager
    async def opened():
        log.append("opened")
        if fails:
            raise fails
        async with anyio.create_task_group():  # must be left by the task that entered it

            async def do(payload: bytes) -> bytes:
                if payload == b"stop":
                    raise EndpointDown("nobody answers")
                return payload.upper()

            yield Hands(do, lambda: f"{len(log)}".encode())
        log.append("closed")

    return opened


async def test_it_is_opened_does_jobs_and_tells_at_the_end_what_it_came_to():
    log: list[str] = []
    worker = Worker(opening(log))
    assert await worker.open() == ("ok", b"")
    assert await worker.do(b"play") == ("ok", b"PLAY")
    assert await worker.close() == ("ok", b"1")
    assert log == ["opened", "closed"]


async def test_what_cannot_be_opened_is_told_with_its_class():
    worker = Worker(opening([], InputError("there is no such model", where="--agent")))
    kind, text = await worker.open()
    assert (kind, text) == ("InputError", b"--agent: there is no such model")
    assert isinstance(Ended(kind, text.decode()).cause(), InputError)


async def test_what_must_stop_the_run_is_told_and_the_worker_can_still_be_closed():
    log: list[str] = []
    worker = Worker(opening(log))
    await worker.open()
    kind, text = await worker.do(b"stop")
    assert (kind, text) == ("EndpointDown", b"nobody answers")
    assert not isinstance(Ended(kind, text.decode()).cause(), InputError)
    await worker.close()
    assert log == ["opened", "closed"]
