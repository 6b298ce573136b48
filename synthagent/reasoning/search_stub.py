"""A stub of Serper, Tavily and SearXNG over real HTTP on loopback: for tests and demonstrations."""

import inspect
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import orjson

from synthagent.llm.stub import Misbehave, Seen, misbehave
from synthagent.reasoning.search import Hit

if TYPE_CHECKING:
    from aiohttp import web

Dialect = Literal["serper", "tavily", "searxng"]
Served: TypeAlias = Sequence[Hit] | Misbehave
Handler: TypeAlias = Callable[[str], Served | Awaitable[Served]]


class SearchStub:
    """Answers queries in a provider's own form: query -> hits or misbehaviour, plain or async.

    Entering starts it on a free port of 127.0.0.1 and gives its address; leaving stops it and raises what the handler
    raised, if anything. A request that the provider would not take is answered by its 400, one with another key than
    `key` by its refusal. `seen` keeps the requests; a GET's body is its query.
    """

    def __init__(self, dialect: Dialect, handler: Handler | None = None, *, key: str = "a-key"):
        self.seen: list[Seen] = []
        self._dialect, self._key = dialect, key
        self._handler = handler or (lambda query: [Hit(query, "http://example.org/", f"All about {query}.")])
        self._errors: list[Exception] = []
        self._runner: web.ServerRunner | None = None

    async def __aenter__(self) -> str:
        from aiohttp import web

        self._runner = web.ServerRunner(web.Server(self._serve, access_log=None), shutdown_timeout=0.01)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        return f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def __aexit__(self, kind: object, error: object, trace: object) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
        if self._errors and kind is None:
            raise self._errors[0]

    async def _serve(self, request: "web.BaseRequest") -> "web.StreamResponse":
        from aiohttp import web

        content = await request.content.read()
        body = dict(request.query) if request.method == "GET" else orjson.loads(content or b"null")
        self.seen.append(Seen(request.path, dict(request.headers), body))
        status, answer = _checked(self._dialect, request, body, self._key)
        if status == 200:
            served = await self._handled(answer)
            if isinstance(served, Misbehave):
                return await misbehave(request, served)
            answer = _answer(self._dialect, answer, served)
        return web.Response(status=status, body=orjson.dumps(answer), content_type="application/json")

    async def _handled(self, query: str) -> Served:
        try:
            served = self._handler(query)
            return await served if inspect.isawaitable(served) else served
        except Exception as error:  # the test's own mistake: shown to the test when the server stops
            self._errors.append(error)
            return Misbehave(500, body={"message": repr(error)})


def _checked(dialect: Dialect, request: "web.BaseRequest", body: Any, key: str) -> tuple[int, Any]:
    """200 and the query, or a refusal in the provider's own form."""
    body = body if isinstance(body, dict) else {}
    if request.path != "/search" or request.method != ("GET" if dialect == "searxng" else "POST"):
        return 404, {"message": f"no {request.method} {request.path} here"}
    if dialect == "serper":
        if request.headers.get("X-API-KEY") != key:
            return 403, {"message": "Unauthorized.", "statusCode": 403}
        return (200, body["q"]) if body.get("q") else (400, {"message": "Missing query parameter", "statusCode": 400})
    if dialect == "tavily":
        if request.headers.get("Authorization") != f"Bearer {key}":
            return 401, {"detail": {"error": "Unauthorized: missing or invalid API key."}}
        if not body.get("query") or len(body["query"]) > 400:
            return 400, {"detail": {"error": "Query is missing, or longer than 400 characters."}}
        return 200, body["query"]
    if body.get("format") != "json":
        return 403, {"error": "format"}
    return (200, body["q"]) if body.get("q") else (400, {"error": "No query"})


def _answer(dialect: Dialect, query: str, hits: Sequence[Hit]) -> dict[str, Any]:
    if dialect == "serper":
        rows = [
            {"title": hit.title, "link": hit.url, "snippet": hit.snippet, "position": place}
            for place, hit in enumerate(hits, start=1)
        ]
        return {"searchParameters": {"q": query, "type": "search", "engine": "google"}, "organic": rows, "credits": 1}
    results = [{"title": hit.title, "url": hit.url, "content": hit.snippet, "score": 0.5} for hit in hits]
    if dialect == "tavily":
        return {"query": query, "answer": None, "images": [], "results": results, "response_time": 0.1}
    return {
        "query": query, "number_of_results": 0, "results": results, "answers": [], "corrections": [], "infoboxes": [],
        "suggestions": [], "unresponsive_engines": [],
    }  # fmt: skip
