"""A model that computes in this process, put into a thread of its own: a server's loop goes on answering meanwhile."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from anyio.from_thread import BlockingPortal, start_blocking_portal

from synthagent.llm.model import ChatModel, ChatReply, ChatRequest


class _Threaded:
    """Passes requests on to the loop of another thread. Giving one up gives it up there."""

    def __init__(self, model: ChatModel, portal: BlockingPortal):
        self.name = model.name
        self._model, self._portal = model, portal

    async def complete(self, request: ChatRequest) -> ChatReply:
        return await asyncio.wrap_future(self._portal.start_task_soon(self._model.complete, request))

    async def aclose(self) -> None:
        await asyncio.wrap_future(self._portal.start_task_soon(self._model.aclose))


@asynccontextmanager
async def threaded(model: ChatModel) -> AsyncIterator[ChatModel]:
    """The model, all of whose work is done in one thread, which ends with the block. Needs asyncio's loop."""
    with start_blocking_portal() as portal:
        yield _Threaded(model, portal)
