"""No call is paid for twice: replies by the content of their request, in one SQLite file with one owner.

The key holds everything that shapes an answer (model, address, messages, tools, parameters, which draw), never who
asks or why. Only answers are kept, no failures. A reply is in the file before anybody sees it.
"""

import asyncio
import hashlib
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

from synthagent.errors import InputError, ModelFailed
from synthagent.llm.model import ChatModel, ChatReply, ChatRequest
from synthagent.owned import owned
from synthagent.schema.messages import ToolCall, Usage

_SCHEMA = "synthagent.calls/1"
_TABLES = ("CREATE TABLE replies (key TEXT PRIMARY KEY, stage TEXT, reply BLOB) WITHOUT ROWID",)


def key_of(model: str, address: str, request: ChatRequest) -> str:
    """SHA-256 over everything that shapes the answer, as hex; the order of keys within objects does not matter.

    Raises `ModelFailed("bad_request")` for what is no JSON, as the client does: it could not be sent either.
    """
    parts = {
        "model": model,
        "address": address,
        "messages": list(request.messages),
        "tools": list(request.tools or ()),
        "temperature": request.temperature,
        "max_tokens": request.max_tokens,
        "seed": request.seed,
        "stop": list(request.stop),
        "extra": dict(request.extra),
        "sample": request.sample,
    }
    try:
        text = orjson.dumps(parts, option=orjson.OPT_SORT_KEYS, default=_plain)
    except (TypeError, ValueError) as error:  # a lone surrogate, an integer beyond 64 bits
        raise ModelFailed(f"{model}: the request is no JSON: {error}", reason="bad_request") from error
    return hashlib.sha256(text).hexdigest()


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is no JSON")


class CallCache:
    """A file of replies. Use `open`; one process at a time."""

    def __init__(self, path: Path, db: sqlite3.Connection):
        self.path = path
        self.hits = self.misses = 0
        self.under_way: dict[str, asyncio.Future[None]] = {}
        """Key -> done when whoever asks for it has an answer, or has failed."""
        self._db = db

    @classmethod
    def open(cls, path: Path) -> "CallCache":
        """The cache in this file, which is made if it is not there.

        Raises `InputError` when the file is no such cache, is damaged, or another process has it open.
        """
        db = owned(path, _SCHEMA, _TABLES, "calls")
        return cls(path, db)

    def find(self, key: str) -> ChatReply | None:
        """The reply that was kept, marked as cached; None for one that is not there or cannot be read.

        Raises `InputError` when the file is damaged.
        """
        try:
            row = self._db.execute("SELECT reply FROM replies WHERE key = ?", (key,)).fetchone()
        except sqlite3.Error as error:
            raise InputError(
                f"the file of calls cannot be read: {error}", where=str(self.path), way_out="remove or rename it"
            ) from error
        found = restored(row[0]) if row else None
        if found is None:
            self.misses += 1
        else:
            self.hits += 1
        return found

    def keep(self, key: str, stage: str, reply: ChatReply) -> None:
        """Keeps a reply for good. Raises `InputError` when the disk refuses."""
        try:
            row = (key, stage, orjson.dumps(stored(reply)))
            self._db.execute("INSERT OR REPLACE INTO replies VALUES (?, ?, ?)", row)
        except (sqlite3.Error, TypeError) as error:
            raise InputError(f"a reply cannot be kept: {error}", where=str(self.path)) from error

    def paid(self) -> Usage:
        """Tokens of every answer in the file: each was paid for once. Raises `InputError` when the file is damaged."""
        usage = "json_extract(CAST(reply AS TEXT), '$.usage[{}]')"
        sums = ", ".join(f"coalesce(sum(max(0, {usage.format(n)})), 0)" for n in (0, 1))
        try:
            prompt, completion = self._db.execute(f"SELECT {sums} FROM replies").fetchone()
        except sqlite3.Error as error:
            raise InputError(f"the file of calls cannot be read: {error}", where=str(self.path)) from error
        return Usage(prompt=int(prompt), completion=int(completion))

    def close(self) -> None:
        """Closes the file. Harmless when repeated."""
        self._db.close()


def stored(reply: ChatReply) -> dict[str, Any]:
    return {
        "content": reply.content,
        "tool_calls": [[call.id, call.name, call.arguments] for call in reply.tool_calls],
        "finish_reason": reply.finish_reason,
        "usage": [reply.usage.prompt, reply.usage.completion],
    }


def restored(raw: Any) -> ChatReply | None:
    """What `stored` made; None for anything else, since files are hostile too."""
    try:
        data = orjson.loads(raw)
        calls = tuple(ToolCall(id=id_, name=name, arguments=text) for id_, name, text in data["tool_calls"])
        prompt, completion = data["usage"]
        usage = Usage(prompt=prompt, completion=completion)
        content, finish = data["content"], data["finish_reason"]
        if not isinstance(content, str) or not isinstance(finish, str) or min(usage.prompt, usage.completion) < 0:
            return None
        return ChatReply(content, calls, finish, usage, cached=True)
    except (ValueError, KeyError, TypeError):
        return None


def cached(model: ChatModel, cache: CallCache, *, address: str) -> "Cached":
    """The same model, asked only what it has not been asked before. `address`: the endpoint, a part of the key."""
    return Cached(model, cache, address)


class Cached:
    """See `cached`. Equal requests at the same time are one call."""

    def __init__(self, model: ChatModel, cache: CallCache, address: str):
        self.name = model.name
        self._model, self._cache, self._address = model, cache, address

    async def complete(self, request: ChatRequest) -> ChatReply:
        """The kept answer, or the model's, which is kept. Raises what the model raises, which is not kept."""
        key, under_way = key_of(self.name, self._address, request), self._cache.under_way
        while (other := under_way.get(key)) is not None:
            # Whoever asks is done one way or the other; if that was a failure, this one tries itself.
            await asyncio.shield(other)
        found = self._cache.find(key)
        if found is not None:
            return found
        done = asyncio.get_running_loop().create_future()
        under_way[key] = done
        try:
            reply = await self._model.complete(request)
            self._cache.keep(key, request.stage, reply)
        finally:
            del under_way[key]
            done.set_result(None)
        return reply

    async def aclose(self) -> None:
        """Closes the model; the cache stays open, since others may share it."""
        await self._model.aclose()
