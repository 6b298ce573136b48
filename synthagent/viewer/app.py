"""The server: JSON over what was opened, the pages' files, and the rules of the door, as one Starlette application."""

import base64
import hashlib
import re
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import anyio
import orjson
from anyio import to_thread

from synthagent.errors import InputError, SynthAgentError
from synthagent.schema.record import Json
from synthagent.viewer.answers import Answers
from synthagent.viewer.door import Door
from synthagent.viewer.figures import Prices
from synthagent.viewer.keeping import Keeping
from synthagent.viewer.library import Library, Missing
from synthagent.viewer.play import Plays, Seat

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

STATIC = Path(__file__).parent / "static"
PAGE = "index.html"
LARGEST_BODY = 1 << 20
LIVE_EVERY = 1.0
"""Seconds between two looks at whether a run has grown."""
THREADS = 8

T = TypeVar("T")
_IMPORT_MAP = re.compile(r'<script type="importmap">(.*?)</script>', re.DOTALL)


def policy() -> str:
    """The Content-Security-Policy of every answer: our own files, and of inline scripts the import map alone."""
    found = _IMPORT_MAP.search((STATIC / PAGE).read_text(encoding="utf-8"))
    assert found is not None, "the page has an import map"
    digest = base64.b64encode(hashlib.sha256(found[1].encode()).digest()).decode()
    return (
        f"default-src 'none'; script-src 'self' 'sha256-{digest}'; style-src 'self'; img-src 'self' data:; "
        "connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
    )


class Viewer:
    """Everything that answers. `app` is the ASGI application."""

    def __init__(
        self, library: Library, door: Door, seat: Seat | None, prices: Prices | None = None,
        keeping: Keeping | None = None,
    ):  # fmt: skip
        """`seat`: opens episodes to be played by hand; None: nobody may. `prices`: model -> price. `keeping`: where
        episodes that were played are kept; None: nowhere."""
        self.library, self.door, self.keeping = library, door, keeping
        self.answers = Answers(
            library, playing=seat is not None, prices=prices or {}, keeping=keeping.folder if keeping else None
        )
        self.plays = Plays(seat) if seat is not None else None
        self.closing = anyio.Event()
        """Set when the server stops: what listens for news is sent away."""

    def app(self) -> "Starlette":
        """The application, its routes and its door."""
        from starlette.applications import Starlette
        from starlette.middleware import Middleware
        from starlette.routing import Mount, Route
        from starlette.staticfiles import StaticFiles

        answers = self.answers
        plain: dict[str, Callable[[Any, Any], Json]] = {
            "/api/library": answers.library_list,
            "/api/runs/{run}": answers.run,
            "/api/runs/{run}/episodes": answers.episodes,
            "/api/runs/{run}/episode": answers.episode,
            "/api/runs/{run}/entries": answers.entries,
            "/api/runs/{run}/exchange": answers.exchange,
            "/api/compare": answers.compare,
            "/api/versus": answers.versus,
            "/api/tasks/{set}": answers.tasks,
            "/api/tasks/{set}/{task}": answers.task,
            "/api/rejected/{set}": answers.rejected,
            "/api/rejected/{set}/{place:int}": answers.one_rejected,
            "/api/training/{name}": answers.training,
            "/api/training/{name}/{step:int}": answers.tries,
            "/api/training/{name}/{step:int}/{place:int}": answers.one_try,
        }
        routes: list[Any] = [Route(path, partial(self._json, answer)) for path, answer in plain.items()]
        routes += [
            Route("/api/live", self._live),
            Route("/export/{run}/episode.html", partial(self._export, answers.export, "episode.html")),
            Route("/export/{run}/report.html", partial(self._export, answers.report, "report.html")),
            Route("/api/play", self._play, methods=["POST"]),
            Route("/api/play/{id}/turn", self._turn, methods=["POST"]),
            Route("/api/play/{id}/close", self._close, methods=["POST"]),
            Route("/api/play/{id}/keep", self._keep, methods=["POST"]),
            Route("/", self._page),
            Mount("/static", StaticFiles(directory=STATIC)),
        ]
        handlers: dict[Any, Any] = {SynthAgentError: _told, OSError: _told, sqlite3.Error: _told}
        guard = Middleware(_Guard, door=self.door, policy=policy())
        return Starlette(routes=routes, middleware=[guard], exception_handlers=handlers, lifespan=self._lifespan)

    @asynccontextmanager
    async def _lifespan(self, _: Any) -> AsyncIterator[None]:
        try:
            yield
        finally:
            if self.plays is not None:
                await self.plays.aclose()
            self.library.close()

    async def _json(self, answer: Callable[[Any, Any], Json], request: "Request") -> "Response":
        asked = dict(request.query_params)
        return _answer(await to_thread.run_sync(partial(answer, request.path_params, asked)))

    async def _page(self, request: "Request") -> "Response":
        from starlette.responses import FileResponse, RedirectResponse

        if "token" in request.query_params:  # the cookie has it now: out of the address and the history
            return RedirectResponse("/", 303)
        return FileResponse(STATIC / PAGE)

    async def _export(self, answer: Callable[[Any, Any], str], name: str, request: "Request") -> "Response":
        from starlette.responses import HTMLResponse

        asked = dict(request.query_params)
        text = await to_thread.run_sync(partial(answer, request.path_params, asked))
        return HTMLResponse(text, headers={"Content-Disposition": f'attachment; filename="{name}"'})

    async def _live(self, _: "Request") -> "Response":
        from starlette.responses import StreamingResponse

        return StreamingResponse(self._news(), media_type="text/event-stream")

    async def _news(self) -> AsyncIterator[bytes]:
        """Server-sent events: the summary of every run that has grown since the last look."""
        sizes: dict[str, tuple[int, ...]] = {}
        yield b": here\n\n"
        while not self.closing.is_set():
            for name in self.library.names("run"):
                run = self.library.run(name)
                now = await to_thread.run_sync(run.sizes)
                if sizes.get(name, now) != now:
                    told = await to_thread.run_sync(run.summary)
                    yield b"data: " + orjson.dumps({"name": name, **told}) + b"\n\n"
                sizes[name] = now
            with anyio.move_on_after(LIVE_EVERY):
                await self.closing.wait()

    async def _play(self, request: "Request") -> "Response":
        body = await _body(request)
        plays, task_id, name = self._plays(), str(body.get("task", "")), str(body.get("set", ""))
        task = await to_thread.run_sync(self.library.tasks(name).task, task_id)
        return _answer(await plays.open(task), 201)

    async def _turn(self, request: "Request") -> "Response":
        return _answer(await self._plays().turn(request.path_params["id"], await _body(request)))

    async def _close(self, request: "Request") -> "Response":
        from synthagent.viewer.episodes import whole

        task, outcome = await self._plays().close(request.path_params["id"])
        return _answer(await to_thread.run_sync(whole, task, outcome.episode, outcome.score))

    async def _keep(self, request: "Request") -> "Response":
        if self.keeping is None:
            raise InputError("nothing that was played is kept here")
        plays, id_ = self._plays(), request.path_params["id"]
        task, outcome = plays.over(id_)
        try:
            kept = await to_thread.run_sync(self.keeping.keep, task, outcome)
        except BaseException:
            plays.put_back(id_, task, outcome)
            raise
        name = await to_thread.run_sync(self.library.admit, self.keeping.folder)
        return _answer({"run": name, **kept}, 201)

    def _plays(self) -> Plays:
        if self.plays is None:
            raise InputError("playing is switched off")
        return self.plays


class _Guard:
    """In front of everything: the door, and the headers of every answer."""

    def __init__(self, app: Any, door: Door, policy: str):
        self._app, self._door = app, door
        self._headers = {
            "content-security-policy": policy, "x-content-type-options": "nosniff", "referrer-policy": "no-referrer",
            "cross-origin-opener-policy": "same-origin", "cross-origin-resource-policy": "same-origin",
            "cache-control": "no-cache",
        }  # fmt: skip

    async def __call__(self, scope: Any, receive: Any, send: Callable[[Any], Awaitable[None]]) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        query = scope["query_string"].decode("latin-1")
        extra = [(name.encode(), value.encode()) for name, value in self._headers.items()]
        if cookie := self._door.cookie(query):
            extra.append((b"set-cookie", cookie.encode()))

        async def sent(message: Any) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], *extra]}
            await send(message)

        why = self._door.refusal(headers, query, scope["method"])
        if why is not None:
            await _answer({"error": why}, 403)(scope, receive, sent)
            return
        await self._app(scope, receive, sent)


async def _told(_: "Request", error: Exception) -> "Response":
    if isinstance(error, SynthAgentError):
        return _answer({"error": str(error)}, 404 if isinstance(error, Missing) else 400)
    return _answer({"error": f"cannot be read: {error}"}, 500)


async def _body(request: "Request") -> dict[str, Any]:
    data = b""
    async for part in request.stream():
        data += part
        if len(data) > LARGEST_BODY:
            raise InputError(f"a request of more than {LARGEST_BODY} bytes")
    try:
        found = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise InputError(f"the body is not JSON: {error}") from error
    if not isinstance(found, dict):
        raise InputError("the body is no JSON object")
    return found


def _answer(value: Json, status: int = 200) -> "Response":
    from starlette.responses import Response

    # Keys that are no text do not occur; NaN becomes null, which a browser can read.
    return Response(orjson.dumps(value), status_code=status, media_type="application/json")
