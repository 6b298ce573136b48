"""What every server of ours does alike: it listens, turns strangers away, reads no more than it has to, and stops."""

import resource
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from synthagent.serve.access import checked_host, refusal

if TYPE_CHECKING:
    from aiohttp import web

LARGEST = 16 * 1024 * 1024
"""Bytes of one request, unless a server says otherwise."""

Handler = Callable[["web.BaseRequest", bytes], Awaitable["web.StreamResponse"]]
"""(request, its body) -> the answer. Raises `Refused` for what it does not take."""


class Refused(Exception):
    """A request that is answered with a status and a reason."""

    def __init__(self, status: int, reason: str, *, code: str = "", headers: Mapping[str, str] | None = None):
        super().__init__(reason)
        self.status, self.reason, self.code, self.headers = status, reason, code, headers or {}


@dataclass(slots=True)
class Rate:
    """So many requests a second from one address, with as many again at once after a pause (a token bucket)."""

    per_second: float
    clock: Callable[[], float] = time.monotonic
    _known: "OrderedDict[str, tuple[float, float]] | None" = None

    def takes(self, peer: str) -> bool:
        """Whether this address may ask now."""
        known = self._known = self._known if self._known is not None else OrderedDict()
        now = self.clock()
        left, then = known.pop(peer, (2 * self.per_second, now))
        left = min(left + (now - then) * self.per_second, 2 * self.per_second)
        allowed = left >= 1
        known[peer] = (left - allowed, now)
        while len(known) > _MOST_PEERS:
            known.popitem(last=False)
        return allowed

    def refusal(self) -> Refused:
        """What whoever asks too often is told."""
        reason = f"more than {self.per_second:g} requests a second"
        return Refused(429, reason, code="rate", headers={"Retry-After": "1"})


_MOST_PEERS = 10_000


_OTHER_FILES = 128
"""What a server has open besides connections: journals, a map, models."""


def make_room(connections: int) -> int:
    """Raises the soft limit of open files as far as so many connections need it, and children inherit it.

    How many of them there is room for: fewer where the hard limit, which only root may raise, says so.
    """
    wanted = connections + _OTHER_FILES
    soft, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return connections
    allowed = wanted if most == resource.RLIM_INFINITY else min(wanted, most)
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, most))
    return max(allowed - _OTHER_FILES, 0)


class Listening:
    """A server on one port. `async with Listening(...) as url:`, or `start` and `stop`."""

    def __init__(
        self, handler: Handler, host: str = "127.0.0.1", port: int = 0, token: str | None = None, *,
        largest: int = LARGEST, rate: Rate | None = None, cancelling: bool = False,
        refused: "Callable[[Refused], web.StreamResponse] | None" = None,
    ):  # fmt: skip
        """`cancelling`: whether who hangs up ends the work on its answer; `refused`: the answer to what is refused.

        Raises `InputError` for a host beyond loopback without a token.
        """
        self.url = ""
        self._handler, self._host, self._port, self._token = handler, checked_host(host, token), port, token
        self._largest, self._rate, self._cancelling = largest, rate, cancelling
        self._refused = refused or _refused
        self._runner: web.ServerRunner | None = None

    async def __aenter__(self) -> str:
        await self.start()
        return self.url

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listens. Raises `OSError` if the port is taken."""
        from aiohttp import web

        server = web.Server(self._serve, handler_cancellation=self._cancelling, access_log=None)
        self._runner = web.ServerRunner(server, shutdown_timeout=1.0)
        await self._runner.setup()
        await web.TCPSite(self._runner, self._host, self._port, backlog=4096).start()
        name = f"[{self._host}]" if ":" in self._host else self._host
        self.url = f"http://{name}:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        """Stops listening."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _serve(self, request: "web.BaseRequest") -> "web.StreamResponse":
        try:
            why = refusal(request.headers, self._token)
            if why is not None:
                raise Refused(403, why)
            if self._rate is not None and not self._rate.takes(request.remote or ""):
                raise self._rate.refusal()
            return await self._handler(request, await self._body(request))
        except Refused as refused:
            return self._refused(refused)

    async def _body(self, request: "web.BaseRequest") -> bytes:
        parts, size = [], 0
        async for part in request.content.iter_any():
            size += len(part)
            if size > self._largest:
                raise Refused(413, f"a request of more than {self._largest} bytes")
            parts.append(part)
        return b"".join(parts)


def _refused(refused: Refused) -> "web.StreamResponse":
    from aiohttp import web

    body = orjson.dumps(refused_error(refused))
    return web.Response(status=refused.status, body=body, content_type="application/json", headers=refused.headers)


def refused_error(refused: Refused) -> dict[str, Any]:
    """The body of a refusal."""
    return {"error": {"message": refused.reason, "type": "refused", "code": refused.code or None}}


def answer(value: Any, status: int = 200) -> "web.Response":
    """A JSON answer."""
    from aiohttp import web

    return web.Response(status=status, body=orjson.dumps(value), content_type="application/json")


def json_body(body: bytes) -> dict[str, Any]:
    """The JSON object of a request; an empty body is an empty object. Raises `Refused`."""
    try:
        found = orjson.loads(body) if body else {}
    except orjson.JSONDecodeError as error:
        raise Refused(400, f"the body is not JSON: {error}") from error
    if not isinstance(found, dict):
        raise Refused(400, "the body is no JSON object")
    return found
