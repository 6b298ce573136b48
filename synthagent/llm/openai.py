"""A model behind an OpenAI-compatible endpoint (OpenAI, vLLM, SGLang, llama.cpp, Ollama, gateways), over aiohttp.

One exchange a call: no retries, no pacing, no caching. Those are wrappers.
"""

import datetime
import email.utils
import errno
import io
import math
import time
import urllib.parse
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NoReturn

import orjson

from synthagent.errors import InputError, ModelFailed
from synthagent.llm.model import ChatReply, ChatRequest, ContextOverflow, TransientFailure
from synthagent.llm.replies import excerpt, is_overflow, parse_reply

if TYPE_CHECKING:
    import aiohttp

MAX_REPLY_BYTES = 8 * 1024 * 1024
_MAX_ERROR_BYTES = 64 * 1024
_PLAIN_BODY_BYTES = 1024 * 1024
"""aiohttp warns about larger bodies given as bytes, since writing them may block the loop."""
_OVERLOADED = frozenset({429, 503, 529})
_TRANSIENT = frozenset({408, 409, 425, 429})


class OpenAIChat:
    """A `ChatModel` that posts to `{base_url}/chat/completions`.

    `base_url` usually ends in `/v1`. `timeout` bounds one exchange and `connect_timeout` its connection, in seconds.
    `pool` is a session to share between models; it stays open on `aclose` (one made with
    `trust_env=True` goes through the environment's proxies; ours does not). `token_field` is what the endpoint calls
    the reply's limit: OpenAI's reasoning models want `max_completion_tokens`. `extra` goes into every request's body.

    There is no limit on connections: that is `paced`'s, which can adapt. Raises `InputError` for a base URL or a key
    that cannot be one. Reasons of `ModelFailed`: timeout, connection, rate_limited, http_<status>, bad_reply,
    bad_request, context_length, open_files, closed.
    """

    def __init__(
        self,
        model: str,
        base_url: str,
        api_key: str | None = None,
        *,
        timeout: float = 600.0,
        connect_timeout: float = 15.0,
        max_reply_bytes: int = MAX_REPLY_BYTES,
        pool: "aiohttp.ClientSession | None" = None,
        token_field: str = "max_tokens",
        extra: Mapping[str, Any] | None = None,
        now: Callable[[], float] = time.time,
    ):
        self.name = model
        self._where = f"{_checked(base_url, model)}/chat/completions"
        self._headers = {"Content-Type": "application/json", "Accept-Encoding": "identity"}
        if api_key is not None and api_key.strip():
            if not (api_key.strip().isascii() and api_key.strip().isprintable()):
                raise InputError("the API key holds characters that no HTTP header can carry", where=model)
            self._headers["Authorization"] = f"Bearer {api_key.strip()}"
        self._seconds, self._connect_seconds = timeout, connect_timeout
        self._max_reply_bytes = max_reply_bytes
        self._session, self._owned = pool, pool is None
        self._token_field = token_field
        self._extra = dict(extra or {})
        self._now = now
        self._closed = False
        self._call: Callable[[bytes | io.BytesIO], Any] | None = None

    async def complete(self, request: ChatRequest) -> ChatReply:
        """One exchange. Raises `ModelFailed`: `TransientFailure` where another try may help, `ContextOverflow`."""
        import aiohttp

        body = self._body(request)
        post = self._call or self._open()
        data = body if len(body) <= _PLAIN_BODY_BYTES else io.BytesIO(body)
        try:
            async with post(data) as response:
                if response.status == 200:
                    return parse_reply(await self._read(response, self._max_reply_bytes))
                await self._refuse(response, request)
        except TimeoutError as error:
            text = str(error) or f"no answer within {self._seconds:g} s from {self._where}"
            raise TransientFailure(f"{self.name}: {text}", reason="timeout", overloaded=True) from error
        except aiohttp.ClientResponseError as error:
            text = f"{self.name}: not HTTP as we know it: {excerpt(error.message)}"
            raise ModelFailed(text, reason="bad_reply") from error
        except (aiohttp.ClientError, OSError) as error:
            raise self._lost(error) from error

    async def aclose(self) -> None:
        """Closes the connections, unless they belong to a shared pool."""
        self._closed, self._call = True, None
        if self._owned and self._session is not None:
            await self._session.close()
            self._session = None

    def _body(self, request: ChatRequest) -> bytes:
        body: dict[str, Any] = {"model": self.name, "messages": request.messages}
        if request.tools:
            body["tools"] = request.tools
        if request.temperature is not None:
            body["temperature"] = request.temperature
        if request.max_tokens is not None:
            body[self._token_field] = request.max_tokens
        if request.seed is not None:
            body["seed"] = request.seed
        if request.stop:
            body["stop"] = request.stop
        try:
            return orjson.dumps({**body, **self._extra, **request.extra}, default=_plain)
        except (TypeError, ValueError) as error:  # a lone surrogate, an integer beyond 64 bits
            raise ModelFailed(f"{self.name}: the request is no JSON: {error}", reason="bad_request") from error

    def _open(self) -> Callable[[bytes | io.BytesIO], Any]:
        """The session is made at the first call, since it belongs to the loop that runs then."""
        import aiohttp
        import yarl

        if self._closed:
            raise ModelFailed(f"{self.name}: already closed", reason="closed")
        session = self._session
        if session is None:
            session = self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, ttl_dns_cache=300), cookie_jar=aiohttp.DummyCookieJar()
            )
        url = yarl.URL(self._where)
        timeout = aiohttp.ClientTimeout(total=self._seconds, sock_connect=self._connect_seconds)

        def post(data: bytes | io.BytesIO) -> Any:
            # A redirect would turn the POST into a GET and might carry the key elsewhere.
            return session.post(url, data=data, headers=self._headers, timeout=timeout, allow_redirects=False)

        self._call = post
        return post

    async def _read(self, response: "aiohttp.ClientResponse", most: int) -> bytes:
        """At most `most` bytes; what is larger is no reply, and its connection is dropped unread."""
        content = response.content
        first = await content.readany()
        if content.at_eof() and len(first) <= most:
            return first
        chunks, size = [first], len(first)
        while size <= most and (chunk := await content.readany()):
            chunks.append(chunk)
            size += len(chunk)
        if size > most:
            response.close()
            raise ModelFailed(
                f"{self.name}: the reply is larger than {most} bytes; it begins: {excerpt(b''.join(chunks))}",
                reason="bad_reply",
            )
        return b"".join(chunks)

    async def _refuse(self, response: "aiohttp.ClientResponse", request: ChatRequest) -> NoReturn:
        """Raises what a status other than 200 means."""
        status = response.status
        try:
            body = await self._read(response, _MAX_ERROR_BYTES)
        except ModelFailed:
            body = b"(a very long body)"
        if 400 <= status < 500 and status != 429 and is_overflow(body, request.max_tokens):
            raise ContextOverflow(f"{self.name}: the conversation does not fit the model's window: {excerpt(body)}")
        text = f"{self.name}: HTTP {status} from {self._where}: {excerpt(body)}"
        reason = "rate_limited" if status == 429 else f"http_{status}"
        if status in _TRANSIENT or status >= 500:
            wait = retry_after(response.headers.get("Retry-After"), self._now())
            raise TransientFailure(text, reason=reason, retry_after=wait, overloaded=status in _OVERLOADED)
        raise ModelFailed(text, reason=reason)

    def _lost(self, error: Exception) -> ModelFailed:
        import aiohttp

        text = f"{self.name}: {self._where}: {excerpt(str(error)) or type(error).__name__}"
        if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
            return ModelFailed(f"{text} (raise `ulimit -n`, or lower the concurrency)", reason="open_files")
        if isinstance(error, (aiohttp.ClientSSLError, aiohttp.InvalidURL)):
            return ModelFailed(text, reason="connection")
        return TransientFailure(text, reason="connection")


def _checked(base_url: str, model: str) -> str:
    """The base URL without its trailing slash. Raises `InputError` if it is none, or holds a password."""
    try:
        parts = urllib.parse.urlsplit(base_url)
        good = parts.scheme in ("http", "https") and parts.hostname and (parts.port is None or parts.port > 0)
    except ValueError:
        good = False
    if not good:
        raise InputError(f"'{base_url}' is no http(s) URL", where=model, way_out="like http://localhost:8000/v1")
    if parts.username or parts.password:
        raise InputError("a base URL must not hold a password", where=model, way_out="give it as the API key")
    if parts.query or parts.fragment:  # it would end up in front of the path, and a key of it in every record
        raise InputError("a base URL ends with its path", where=model, way_out="leave out what follows ? or #")
    return base_url.rstrip("/")


def _plain(value: Any) -> Any:
    """Mappings and sequences that orjson does not know as such."""
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is no JSON")


def retry_after(header: str | None, now: float) -> float | None:
    """Seconds to wait by a Retry-After header (RFC 9110, 10.2.3), given as seconds or as a date; `now` is Unix time.

    None for a missing or unreadable header, and never negative.
    """
    if header is None:
        return None
    try:
        seconds = float(header)
    except ValueError:
        try:
            date = email.utils.parsedate_to_datetime(header)
            # A date without a zone is GMT, as every HTTP date is.
            seconds = (date if date.tzinfo else date.replace(tzinfo=datetime.UTC)).timestamp() - now
        except (TypeError, ValueError, OverflowError):
            return None
    return max(0.0, seconds) if math.isfinite(seconds) else None
