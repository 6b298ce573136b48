"""Servers that come as ASGI applications: what `Listening` does for our own, in front of somebody else's."""

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, Any

import orjson

from synthagent.serve.access import checked_host, refusal
from synthagent.serve.listening import LARGEST, Handler, Rate, Refused, refused_error

if TYPE_CHECKING:
    pass

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_POLICY_VIOLATION = 1008
"""RFC 6455, section 7.4.1."""


def guarded(app: App, token: str | None, *, largest: int = LARGEST, rate: Rate | None = None) -> App:
    """An application behind the access rules: token, Host, Origin, size and rate, for requests and websockets."""

    async def answered(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await app(scope, receive, send)
            return
        try:
            _admit(scope, token, rate)
            inside = receive if scope["type"] == "websocket" else replayed(await body_of(receive, largest), receive)
        except Refused as refused:
            await _refuse(scope, receive, send, refused)
            return
        await app(scope, inside, send)

    return answered


def _admit(scope: Scope, token: str | None, rate: Rate | None) -> None:
    headers = {name.decode("latin-1").title(): value.decode("latin-1") for name, value in scope["headers"]}
    why = refusal(headers, token)
    if why is not None:
        raise Refused(403, why)
    peer = (scope.get("client") or ("",))[0]
    if rate is not None and not rate.takes(peer):
        raise rate.refusal()


async def _refuse(scope: Scope, receive: Receive, send: Send, refused: Refused) -> None:
    if scope["type"] == "websocket":
        await receive()  # the wish to connect, which is answered with a no: HTTP 403
        await send({"type": "websocket.close", "code": _POLICY_VIOLATION, "reason": refused.reason[:100]})
    else:
        await _send(send, refused.status, orjson.dumps(refused_error(refused)), refused.headers)


async def body_of(receive: Receive, largest: int = LARGEST) -> bytes:
    """The body of a request. Raises `Refused` for one that is too large."""
    parts, size, more = [], 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            break
        size += len(message.get("body", b""))
        if size > largest:
            raise Refused(413, f"a request of more than {largest} bytes")
        parts.append(message.get("body", b""))
        more = message.get("more_body", False)
    return b"".join(parts)


def replayed(body: bytes, receive: Receive) -> Receive:
    """A body that was read, for whoever reads it again."""
    waiting = [body]

    async def again() -> MutableMapping[str, Any]:
        return {"type": "http.request", "body": waiting.pop(), "more_body": False} if waiting else await receive()

    return again


def bridged(handler: Handler) -> App:
    """A handler of ours as an ASGI application."""

    async def answered(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            asked: Any = _Asked(scope["method"], scope["path"])
            response: Any = await handler(asked, await body_of(receive))
        except Refused as refused:
            await _refuse(scope, receive, send, refused)
            return
        await _send(send, response.status, response.body, {"Content-Type": response.content_type})

    return answered


class _Asked:
    """All that our handlers look at in a request."""

    def __init__(self, method: str, path: str):
        self.method, self.path = method, path


async def _send(send: Send, status: int, body: bytes, headers: Any) -> None:
    told = {"content-type": "application/json", **{name.lower(): value for name, value in headers.items()}}
    told["content-length"] = str(len(body))
    raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in told.items()]
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": body})


class AsgiServer:
    """An ASGI application on one port, by uvicorn; used as `Listening` is."""

    def __init__(self, app: App, host: str = "127.0.0.1", port: int = 0, token: str | None = None, *,
                 rate: Rate | None = None):  # fmt: skip
        """Raises `InputError` for a host beyond loopback without a token."""
        self.url = ""
        self._app, self._host, self._port = guarded(app, token, rate=rate), checked_host(host, token), port
        self._server: Any = None
        self._serving: asyncio.Task[None] | None = None

    async def __aenter__(self) -> str:
        await self.start()
        return self.url

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listens. Raises `OSError` if the port is taken."""
        import uvicorn

        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        listening = socket.create_server((self._host, self._port), family=family, backlog=4096)
        config = uvicorn.Config(
            self._app, log_config=None, access_log=False, ws_max_size=LARGEST, timeout_graceful_shutdown=1,
            server_header=False,
        )  # fmt: skip
        self._server = uvicorn.Server(config)
        self._server.capture_signals = contextlib.nullcontext  # whoever starts us hears them, and stops us
        self._serving = asyncio.create_task(self._server.serve(sockets=[listening]))
        while not self._server.started and not self._serving.done():  # noqa: ASYNC110 (uvicorn has a flag, no event)
            await asyncio.sleep(0.01)
        if self._serving.done():
            await self._serving
            raise OSError("the server ended before it began")
        name = f"[{self._host}]" if ":" in self._host else self._host
        self.url = f"http://{name}:{listening.getsockname()[1]}"

    async def stop(self) -> None:
        """Stops listening."""
        if self._serving is not None:
            self._server.should_exit = True
            await asyncio.wait([self._serving])
            self._serving = None
