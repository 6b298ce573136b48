"""`serve agent`: any agent's model behind an OpenAI-compatible endpoint, tool calls included, for whoever speaks that.

A model whose chat template knows no tools is told of them in the system prompt, and its calls are read out of its text,
as in an episode (`synthagent.simulation.telling`, `model_agent`): a harness sees calls either way.
"""

import asyncio
import itertools
import secrets
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import orjson

from synthagent.llm.model import ChatModel, ChatReply, ChatRequest, TransientFailure
from synthagent.serve.chat_answer import answered, completion, failure, stream
from synthagent.serve.chat_request import Asked, Refused, fresh_number, read_request
from synthagent.serve.listening import Listening
from synthagent.serve.listening import Refused as NotLetIn
from synthagent.simulation.agent import ToolForm
from synthagent.simulation.telling import TOOLS, telling, telling_fingerprint

if TYPE_CHECKING:
    from aiohttp import web

CHAT, MODELS, HEALTH = "/v1/chat/completions", "/v1/models", "/health"
MOST_WAITING = 1000
"""Requests that may wait for a place; further ones are sent away."""


class AgentEndpoint:
    """Serves a model. `async with AgentEndpoint(model, form, name) as url:`, or `start` and `stop`.

    The URL ends in `/v1`. The model stays open.
    """

    def __init__(
        self, model: ChatModel, form: ToolForm, name: str, host: str = "127.0.0.1", port: int = 0,
        token: str | None = None, *, in_flight: int = 8, waiting: int = MOST_WAITING, max_tokens: int | None = None,
        clock: Callable[[], float] = time.time, tell: Callable[[str], None] = lambda _: None,
    ):  # fmt: skip
        """`in_flight`: requests answered at once; `waiting`: further ones that may wait for a place.

        `max_tokens`: longest reply where a request does not say. `tell` hears of failures of the model.

        Raises `InputError` for a host beyond loopback without a token.
        """
        self.url = ""
        self.answers = 0
        """Requests that were answered."""
        self._model, self._form, self._name = model, form, name
        # Who hangs up does not want the answer any more: the model is not kept busy with it.
        self._listening = Listening(self._answer, host, port, token, cancelling=True, refused=self._turned_away)
        self._token = token
        self._max_tokens, self._clock, self._tell = max_tokens, clock, tell
        self._places, self._waiting, self._most_waiting = asyncio.Semaphore(in_flight), 0, waiting
        self._count, self._run = itertools.count(1), secrets.token_hex(4)

    async def __aenter__(self) -> str:
        await self.start()
        return self.url

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listens. Raises `OSError` if the port is taken."""
        await self._listening.start()
        self.url = f"{self._listening.url}/v1"

    async def stop(self) -> None:
        """Stops listening, and gives up what is under way."""
        await self._listening.stop()

    def _turned_away(self, refused: NotLetIn) -> "web.StreamResponse":
        """What was refused at the door, in OpenAI's form."""
        status, code = refused.status, refused.code or None
        if status == 403:
            status, code = (401, "invalid_api_key") if self._token is not None else (403, "forbidden")
        return _failed(Refused(refused.reason, status=status, code=code))

    async def _answer(self, request: "web.BaseRequest", body: bytes) -> "web.StreamResponse":
        from aiohttp import web

        asked_for = (request.method, request.path)
        if asked_for == ("GET", HEALTH):
            return web.Response(text="ok")
        if asked_for == ("GET", MODELS):
            return _json(200, {"object": "list", "data": [self._about()]})
        if asked_for != ("POST", CHAT):
            there = f"there is {CHAT} (POST), {MODELS} and {HEALTH}"
            return _failed(Refused(f"no {request.method} {request.path} here: {there}", status=404))
        try:
            asked = read_request(body, self._name)
            reply = await self._in_turn(asked)
        except Exception as error:  # whatever it is, torch's too: a harness must not take it for an answer
            return self._lost(error)
        self.answers += 1
        return await self._sent(request, asked, reply)

    async def _in_turn(self, asked: Asked) -> ChatReply:
        """The answer, once there is a place for the question. Raises what the model raises, `TransientFailure`."""
        if self._places.locked() and self._waiting >= self._most_waiting:
            raise TransientFailure(f"{self._waiting} requests are waiting already", reason="overloaded")
        self._waiting += 1
        try:
            await self._places.acquire()
        finally:
            self._waiting -= 1
        try:
            reply = await self._model.complete(self._request(asked))
        finally:
            self._places.release()
        return answered(reply, self._form, fresh_number(asked.messages), tools=bool(asked.tools))

    def _request(self, asked: Asked) -> ChatRequest:
        """What the model is asked: the same as in an episode that stands where this conversation stands."""
        return ChatRequest(
            messages=telling(asked.messages, asked.tools, self._form),
            tools=asked.tools or None if self._form == "native" else None,
            temperature=asked.temperature,
            max_tokens=asked.max_tokens or self._max_tokens,
            seed=asked.seed,
            stop=asked.stop,
            extra={} if asked.top_p in (None, 1.0) else {"top_p": asked.top_p},
        )

    async def _sent(self, request: "web.BaseRequest", asked: Asked, reply: ChatReply) -> "web.StreamResponse":
        from aiohttp import web

        answer_id, created = f"chatcmpl-{self._run}-{next(self._count)}", int(self._clock())
        if not asked.stream:
            return _json(200, completion(reply, self._name, answer_id, created))
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-cache"})
        await response.prepare(request)
        for event in stream(reply, self._name, answer_id, created, usage=asked.stream_usage):
            await response.write(event)
        await response.write_eof()
        return response

    def _lost(self, error: Exception) -> "web.Response":
        response = _failed(error)
        if response.status >= 500:
            self._tell(f"{self._name}: {type(error).__name__}: {error}")
        return response

    def _about(self) -> dict[str, Any]:
        """The model, with what decides what it is told."""
        told = {"tool_form": self._form, "prompts": {TOOLS: telling_fingerprint()}}
        return {"id": self._name, "object": "model", "created": 0, "owned_by": "synthagent", **told}


def _failed(error: Exception) -> "web.Response":
    status, body = failure(error)
    response = _json(status, body)
    if isinstance(error, TransientFailure) and error.retry_after is not None:
        response.headers["Retry-After"] = f"{max(0, round(error.retry_after))}"
    return response


def _json(status: int, value: Any) -> "web.Response":
    from aiohttp import web

    return web.Response(status=status, body=orjson.dumps(value), content_type="application/json")
