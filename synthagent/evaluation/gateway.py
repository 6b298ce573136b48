"""The one door of a harness to its models: it forwards chat requests, holds the keys, and counts what came back.

The harness names a role, not a model; the door knows which endpoint plays it. So no key and no address enters the
environment of code that is not ours, and whether an endpoint was alive is known here, whatever the harness makes of it.
"""

import asyncio
import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from synthagent.errors import InputError
from synthagent.evaluation.items import Endpoint
from synthagent.llm.replies import excerpt, is_overflow

if TYPE_CHECKING:
    import aiohttp
    from aiohttp import web

OVERFLOW = "context_length_exceeded"
"""What every harness finds in the error of a prompt that did not fit, whatever the endpoint called it."""
_HOPELESS = (401, 403, 404, 405)
_LOST_IN_A_ROW = 6
_GIVEN_UP = ("abort", "error")
"""Finish reasons of an endpoint that did not come to the end of its answer: vLLM's and OpenRouter's."""


@dataclass(slots=True)
class Tally:
    """What one role's endpoint did."""

    answered: int = 0
    overflowed: int = 0
    failed: int = 0
    """Requests without an answer after all attempts, and requests that the endpoint refused."""
    lost_in_a_row: int = 0
    last: str = ""
    """What the last failure was."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long the door waits for an endpoint."""

    seconds: float = 900.0
    """For one answer."""
    pauses: Sequence[float] = (1.0, 3.0, 9.0)
    """Before each further attempt, when there was no answer, or one that asks to come back later."""


@dataclass(slots=True)
class Gateway:
    """Serves `POST /ROLE/v1/chat/completions` on a Unix socket or on loopback, in a thread of its own."""

    roles: Mapping[str, Endpoint]
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    patience: Patience = field(default_factory=Patience)
    tallies: dict[str, Tally] = field(init=False)
    fatal: str | None = field(default=None, init=False)
    """Why it makes no sense to go on; None as long as it does."""
    last_answer: float = field(default_factory=time.monotonic, init=False)
    in_flight: int = field(default=0, init=False)
    _session: "aiohttp.ClientSession | None" = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        self.tallies = {role: Tally() for role in self.roles}
        for endpoint in self.roles.values():
            if endpoint.key_env and not self.environ.get(endpoint.key_env):
                raise InputError(f"{endpoint.key_env} is not set", way_out=f"it is the key for {endpoint.url}")

    @contextmanager
    def serving(self, where: Path | None = None) -> Iterator[str]:
        """Serves while the block runs: on the Unix socket `where`, else on a free port of 127.0.0.1.

        Yields the path or the port. Raises `OSError` if it cannot be listened on.
        """
        listener = socket.socket(socket.AF_UNIX) if where else socket.socket()
        listener.bind(str(where) if where else ("127.0.0.1", 0))
        place = str(where) if where else str(listener.getsockname()[1])
        up, down = threading.Event(), _Latch()
        thread = threading.Thread(target=lambda: asyncio.run(self._serve(listener, up, down)), daemon=True)
        thread.start()
        try:
            if not up.wait(60):
                raise OSError(f"the door to the models did not open at {place}")
            yield place
        finally:
            down.set()
            thread.join(30)
            listener.close()

    async def _serve(self, listener: socket.socket, up: threading.Event, down: "_Latch") -> None:
        import aiohttp
        from aiohttp import web

        down.belong()
        timeout = aiohttp.ClientTimeout(total=self.patience.seconds)
        async with aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(limit=0)) as self._session:
            runner = web.ServerRunner(web.Server(self._answer, access_log=None), shutdown_timeout=0.01)
            await runner.setup()
            await web.SockSite(runner, listener, backlog=512).start()
            up.set()
            await down.wait()
            await runner.cleanup()
        await asyncio.sleep(0.05)  # connections are closed by the loop, after those that close them

    async def _answer(self, request: "web.BaseRequest") -> "web.StreamResponse":
        role, _, rest = request.path.lstrip("/").partition("/")
        if request.method == "GET" and rest == "v1/models":
            return _json(200, {"object": "list", "data": [{"id": role, "object": "model"}]})
        if request.method != "POST" or rest != "v1/chat/completions" or role not in self.roles:
            return _json(404, _error(f"no {request.method} {request.path} here", "not_found"))
        body = orjson.loads(await request.content.read())
        body["model"] = self.roles[role].model
        body.pop("store", None)  # about the log of one vendor; strict servers refuse what they do not know
        self.in_flight += 1
        try:
            return await self._forward(role, orjson.dumps(body), body.get("max_tokens"))
        finally:
            self.in_flight -= 1
            self.last_answer = time.monotonic()

    async def _forward(self, role: str, body: bytes, max_tokens: int | None) -> "web.StreamResponse":
        tally = self.tallies[role]
        for pause in (*self.patience.pauses, None):
            status, text = await self._attempt(self.roles[role], body)
            if status == 200 and _is_completion(text):
                tally.answered += 1
                tally.lost_in_a_row = 0
                return _raw(200, text)
            if pause is None or not (status == 429 or status >= 500 or status == 200):
                break
            await asyncio.sleep(pause)
        if 400 <= status < 500 and is_overflow(text, max_tokens):
            tally.overflowed += 1
            tally.lost_in_a_row = 0
            return _json(400, _error(f"{OVERFLOW}: {excerpt(text)}", OVERFLOW))
        return self._lost(role, status, text)

    def _lost(self, role: str, status: int, text: bytes) -> "web.StreamResponse":
        """Counts a request that got no answer; many in a row, or a refusal for good, end the run."""
        tally, endpoint = self.tallies[role], self.roles[role]
        tally.failed += 1
        tally.lost_in_a_row += 1
        tally.last = f"{endpoint.url} ({role}): " + (f"HTTP {status}: " if status != 599 else "") + excerpt(text)
        if status in _HOPELESS or tally.lost_in_a_row >= _LOST_IN_A_ROW:
            self.fatal = self.fatal or tally.last
        # Whatever the endpoint said, 502: a harness may take a 429 for a reason to wait for hours.
        return _json(502, _error(f"no answer from {tally.last}", "endpoint"))

    async def _attempt(self, endpoint: Endpoint, body: bytes) -> tuple[int, bytes]:
        """Status and body; 599 where there was no answer at all."""
        import aiohttp

        assert self._session is not None
        headers = {"content-type": "application/json"}
        if endpoint.key_env:
            headers["authorization"] = f"Bearer {self.environ[endpoint.key_env]}"
        url = f"{endpoint.url.rstrip('/')}/chat/completions"
        try:
            async with self._session.post(url, data=body, headers=headers) as response:
                return response.status, await response.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return 599, f"{type(error).__name__}: {error}".encode()


class _Latch:
    """An event that one thread sets and the loop of another waits for."""

    def __init__(self) -> None:
        self._set = threading.Event()
        self._wake: Callable[[], None] = lambda: None

    def belong(self) -> None:
        loop, self._event = asyncio.get_running_loop(), asyncio.Event()
        event = self._event

        def wake() -> None:
            loop.call_soon_threadsafe(event.set)

        self._wake = wake
        if self._set.is_set():
            self._event.set()

    def set(self) -> None:
        self._set.set()
        with contextlib.suppress(RuntimeError):  # the loop has ended by itself
            self._wake()

    async def wait(self) -> None:
        await self._event.wait()


def _is_completion(body: bytes) -> bool:
    with contextlib.suppress(orjson.JSONDecodeError, KeyError, IndexError, TypeError):
        choice = orjson.loads(body)["choices"][0]
        return isinstance(choice["message"], dict) and choice.get("finish_reason") not in _GIVEN_UP
    return False


def _error(message: str, code: str) -> dict[str, Any]:
    return {"error": {"message": message, "type": "invalid_request_error", "code": code}}


def _json(status: int, value: Any) -> "web.Response":
    return _raw(status, orjson.dumps(value))


def _raw(status: int, body: bytes) -> "web.Response":
    from aiohttp import web

    # Clients in harnesses retry on their own; once is enough.
    headers = {"x-should-retry": "false"}
    return web.Response(status=status, body=body, content_type="application/json", headers=headers)
