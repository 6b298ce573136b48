"""`serve mcp --http`: many MCP clients at once, one path and one episode each.

`POST /sessions`, as of `serve http`, opens an episode; `/mcp/SESSION` is its MCP server. The path names the episode
because nothing else does in every version of MCP: since 2026-07-28 each request stands alone, without a session id.
"""

import asyncio
from collections import OrderedDict
from typing import Any

from synthagent.serve.asgi import App, Receive, Scope, Send, bridged
from synthagent.serve.http_api import HttpApi
from synthagent.serve.listening import LARGEST, Refused
from synthagent.serve.mcp_episode import McpEpisode, server_of
from synthagent.serve.pool import Pool, Unknown

PREFIX = "/mcp/"
MOST_FINISHED = 1024
"""Finished episodes that still answer, so that a client may read its reward twice and say goodbye."""


class McpHttp:
    """The application. Give it to `AsgiServer`, and `aclose` it afterwards."""

    def __init__(self, pool: Pool, *, detail: bool = True):
        self._pool, self._detail = pool, detail
        self._api: App = bridged(HttpApi(pool, detail=detail).handle)
        self._hosted: OrderedDict[str, _Hosted] = OrderedDict()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] == "lifespan":
            await _no_lifespan(receive, send)
        elif scope["type"] == "http" and scope["path"].startswith(PREFIX):
            try:
                hosted = await self._found(scope["path"].removeprefix(PREFIX), scope["method"])
            except Refused as refused:
                await bridged(_refusing(refused))(scope, receive, send)
                return
            await hosted.manager.handle_request(scope, receive, send)
        else:
            await self._api(scope, receive, send)

    async def _found(self, id_: str, method: str) -> "_Hosted":
        if method != "POST":  # there is nothing that the server says unasked, and no session of MCP's own to delete
            raise Refused(405, "an MCP client sends POST here", code="method", headers={"Allow": "POST"})
        hosted = self._hosted.get(id_)
        try:
            opened = self._pool.find(id_)
        except Unknown as error:
            if hosted is None or hosted.episode.outcome is None:
                raise Refused(404, f"{error}; POST /sessions opens one", code="unknown_session") from error
            return hosted
        if hosted is None:
            hosted = _Hosted(McpEpisode(self._pool, opened, detail=self._detail))
            self._hosted[id_] = hosted
            await self._tidy()
        await hosted.ready.wait()
        return hosted

    async def _tidy(self) -> None:
        """Forgets what was given up, and the finished ones that are too many."""
        there = {id_: hosted for id_, hosted in self._hosted.items() if not self._pool.has(id_)}
        finished = [id_ for id_, hosted in there.items() if hosted.episode.outcome is not None]
        gone = there.keys() - finished
        for id_ in [*gone, *finished[: max(0, len(finished) - MOST_FINISHED)]]:
            await self._hosted.pop(id_).stop()

    async def aclose(self) -> None:
        """Ends every MCP server; the episodes are the pool's."""
        for hosted in self._hosted.values():
            await hosted.stop()
        self._hosted.clear()


class _Hosted:
    """An episode's MCP server, in a task of its own for as long as it may be asked."""

    def __init__(self, episode: McpEpisode):
        from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

        self.episode = episode
        self.manager: Any = StreamableHTTPSessionManager(
            server_of(episode), json_response=True, stateless=True, max_request_body_size=LARGEST
        )
        self.ready, self._over = asyncio.Event(), asyncio.Event()
        self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        async with self.manager.run():
            self.ready.set()
            await self._over.wait()

    async def stop(self) -> None:
        self._over.set()
        await asyncio.wait([self._task])


def _refusing(refused: Refused) -> Any:
    async def handler(_: Any, __: bytes) -> Any:
        raise refused

    return handler


async def _no_lifespan(receive: Receive, send: Send) -> None:
    """Nothing to begin and nothing to end."""
    for event in ("startup", "shutdown"):
        await receive()
        await send({"type": f"lifespan.{event}.complete"})
