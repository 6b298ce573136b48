"""A stub of an OpenAI-compatible chat endpoint over real HTTP on loopback: for tests, demonstrations and benchmarks.

`async with StubServer(handler) as url:` in a test; `python -m synthagent.llm.stub` where the server must not share the
client's process.
"""

import argparse
import asyncio
import contextlib
import inspect
import itertools
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import orjson

from synthagent.errors import InputError
from synthagent.llm.model import ChatReply
from synthagent.llm.scripted import calling

if TYPE_CHECKING:
    from aiohttp import web

FIXED_TEXT = "Certainly. I have looked into it, and this is what I found."


@dataclass(frozen=True, slots=True)
class Misbehave:
    """Anything but a good answer."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Any = b""
    """Bytes and text are sent as they are, all else as JSON."""
    stall: float = 0.0
    """Seconds before anything is sent; `math.inf`: for ever."""
    drop: Literal["never", "before", "inside"] = "never"
    """Cut the connection before the headers, or halfway through the body."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One request that the stub got."""

    path: str
    headers: Mapping[str, str]
    body: Any
    """Decoded JSON; None if it was none."""


Served: TypeAlias = str | ChatReply | Misbehave
Handler: TypeAlias = Callable[[dict[str, Any]], Served | Awaitable[Served]]


class StubServer:
    """Serves `POST .../chat/completions` from a handler: request body -> text, reply or misbehaviour, plain or async.

    Entering starts it on a free port of 127.0.0.1 and gives its base URL, which ends in `/v1`; leaving stops it and
    raises what the handler raised, if anything. `latency` in seconds is added to every answer, without using CPU.
    `seen` keeps the requests unless `remember` is false; `in_flight` and `peak` count those under way.
    """

    def __init__(self, handler: Handler | None = None, *, latency: float = 0.0, port: int = 0, remember: bool = True):
        self.seen: list[Seen] = []
        self.in_flight = self.peak = 0
        self.url = ""
        self._handler = handler or (lambda _: FIXED_TEXT)
        self._latency, self._port, self._remember = latency, port, remember
        self._errors: list[Exception] = []
        self._count = itertools.count()
        self._runner: web.ServerRunner | None = None

    async def __aenter__(self) -> str:
        await self.start()
        return self.url

    async def __aexit__(self, kind: object, error: object, trace: object) -> None:
        await self.stop()
        if self._errors and kind is None:
            raise self._errors[0]

    async def start(self) -> None:
        """Listens. Raises `OSError` if the port is taken."""
        from aiohttp import web

        # The bare server: no routes, no middleware, no access log, so that it can outpace the client it measures.
        self._runner = web.ServerRunner(web.Server(self._serve, access_log=None), shutdown_timeout=0.01)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port, backlog=4096).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/v1"

    async def stop(self) -> None:
        """Cuts every connection and stops listening."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _serve(self, request: "web.BaseRequest") -> "web.StreamResponse":
        from aiohttp import web

        self.in_flight += 1
        self.peak = max(self.peak, self.in_flight)
        try:
            if request.method == "GET" and request.path.endswith("/models"):
                return _json(200, {"object": "list", "data": [{"id": "stub", "object": "model"}]})
            body = _loads(await request.content.read())  # not `read()`, which refuses more than 1 MB
            if self._remember:
                self.seen.append(Seen(request.path, dict(request.headers), body))
            if request.method != "POST" or not request.path.endswith("/chat/completions"):
                return _json(404, {"error": {"message": f"no {request.method} {request.path} here"}})
            if not isinstance(body, dict) or not isinstance(body.get("messages"), list):
                return _json(400, {"error": {"message": "'messages' is required"}})
            served = await self._handled(body)
            if self._latency:
                await asyncio.sleep(self._latency)
            if isinstance(served, Misbehave):
                return await misbehave(request, served)
            text = orjson.dumps(completion(served, next(self._count), str(body.get("model")), request.content_length))
            return web.Response(body=text, content_type="application/json")
        finally:
            self.in_flight -= 1

    async def _handled(self, body: dict[str, Any]) -> Served:
        try:
            served = self._handler(body)
            return await served if inspect.isawaitable(served) else served
        except Exception as error:  # the test's own mistake: shown to the test when the server stops
            self._errors.append(error)
            return Misbehave(500, body={"error": {"message": repr(error)}})


def completion(reply: str | ChatReply, number: int, model: str, prompt_bytes: int | None) -> dict[str, Any]:
    """A reply in OpenAI's form. Tokens are guessed at four bytes each where the reply does not count them."""
    reply = ChatReply(content=reply) if isinstance(reply, str) else reply
    message: dict[str, Any] = {"role": "assistant", "content": reply.content or None}
    size = len(reply.content)
    if reply.tool_calls:
        message["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in reply.tool_calls
        ]
        size += sum(len(call.name) + len(call.arguments) for call in reply.tool_calls)
    prompt = reply.usage.prompt or (prompt_bytes or 0) // 4
    written = reply.usage.completion or (size + 3) // 4
    return {
        "id": f"chatcmpl-{number}",
        "object": "chat.completion",
        "created": 0,
        "model": model,
        "choices": [{"index": 0, "message": message, "finish_reason": reply.finish_reason}],
        "usage": {"prompt_tokens": prompt, "completion_tokens": written, "total_tokens": prompt + written},
    }


def scripted_handler(path: Path) -> Handler:
    """A handler that serves a file's lines in turn, over and over.

    A line is a JSON string, or an object with `content` and `calls`: a list of [name, arguments]. Raises `InputError`.
    """
    replies: list[Served] = []
    for number, text in enumerate(path.read_bytes().splitlines(), 1):
        try:
            replies.append(_scripted(_loads(text)))
        except (TypeError, ValueError) as error:
            raise InputError(f"no reply: {error}", where=f"{path}:{number}") from error
    if not replies:
        raise InputError("the script is empty", where=str(path))
    turns = itertools.cycle(replies)
    return lambda _: next(turns)


def _scripted(entry: Any) -> Served:
    if isinstance(entry, str):
        return entry
    if not isinstance(entry, dict):
        raise TypeError("neither a JSON string nor an object")
    calls = [(str(name), arguments) for name, arguments in entry.get("calls", ())]
    content = str(entry.get("content", ""))
    return calling(*calls, content=content) if calls else content


async def misbehave(request: "web.BaseRequest", how: Misbehave) -> "web.StreamResponse":
    """Answers a request as badly as asked."""
    from aiohttp import web

    if how.stall:
        await (asyncio.get_running_loop().create_future() if how.stall == float("inf") else asyncio.sleep(how.stall))
    body = how.body.encode() if isinstance(how.body, str) else how.body
    body = body if isinstance(body, bytes) else orjson.dumps(body)
    if how.drop == "never":
        return web.Response(status=how.status, headers=how.headers, body=body)
    response = web.StreamResponse(status=how.status, headers=how.headers)
    if how.drop == "inside":
        response.content_length = max(2, len(body))
        await response.prepare(request)
        await response.write(body[: len(body) // 2] or b"{")
    if request.transport is not None:
        request.transport.close()
    return response


def _json(status: int, value: Any) -> "web.Response":
    from aiohttp import web

    return web.Response(status=status, body=orjson.dumps(value), content_type="application/json")


def _loads(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return None


async def _run(server: StubServer) -> None:
    async with server as url:
        print(url, flush=True)
        await asyncio.get_running_loop().create_future()


def main(arguments: list[str] | None = None) -> None:
    """Serves until it is killed; prints its base URL first."""
    parser = argparse.ArgumentParser(prog="python -m synthagent.llm.stub", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0: any free one")
    parser.add_argument("--latency", type=float, default=0.0, help="seconds before every answer")
    parser.add_argument("--script", type=Path, help="a file of replies, served in turn")
    chosen = parser.parse_args(arguments)
    handler = scripted_handler(chosen.script) if chosen.script else None
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_run(StubServer(handler, latency=chosen.latency, port=chosen.port, remember=False)))


if __name__ == "__main__":
    main()
