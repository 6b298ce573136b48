"""`serve mcp --task ID`: one episode over stdin and stdout, for the client that started this process."""

import asyncio
import sys
from collections.abc import AsyncIterator
from typing import Any

from synthagent.errors import InputError
from synthagent.serve.listening import LARGEST
from synthagent.serve.mcp_episode import McpEpisode, server_of


async def serve_stdio(episode: McpEpisode) -> None:
    """Serves until stdin ends. Nothing but the protocol goes to stdout. Raises `InputError`."""
    server = server_of(episode)
    from mcp.server.stdio import stdio_server

    # Lines are read by the loop and not by a thread, which could not be interrupted by a signal.
    lines: Any = _Lines(await _stdin())
    async with stdio_server(stdin=lines) as (read, write):
        await server.run(read, write, server.create_initialization_options())


async def _stdin() -> asyncio.StreamReader:
    reader = asyncio.StreamReader(limit=LARGEST)
    try:
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    except ValueError as error:
        raise InputError(f"stdin: {error}", way_out="let an MCP client start this command") from error
    return reader


class _Lines:
    def __init__(self, reader: asyncio.StreamReader):
        self._reader = reader

    async def __aiter__(self) -> AsyncIterator[str]:
        while line := await self._reader.readline():
            yield line.decode("utf-8", errors="replace")
