"""Searching the web through a provider, over aiohttp: paced, tried again where that may help, every mishap named."""

import time
import urllib.parse
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn

import orjson

from synthagent.errors import InputError, ModelFailed
from synthagent.llm.model import TransientFailure
from synthagent.llm.openai import retry_after
from synthagent.llm.pacing import Limiter, Rate
from synthagent.llm.replies import excerpt
from synthagent.llm.retrying import Backoff, Tries
from synthagent.reasoning.providers import Asking, Found, NoEngine, Provider
from synthagent.reasoning.search import Hit, SearchFailed, SearchSettings, cleaned, hits_of

if TYPE_CHECKING:
    import aiohttp

_MAX_REPLY_BYTES = 4 * 1024 * 1024
_TRANSIENT = frozenset({408, 425, 429})
_OVERLOADED = frozenset({429, 503, 529})
_AT_ONCE = (8, 32)
"""Queries under way: at first, and at most."""


class WebSearch:
    """A `SearchBackend` that asks a provider.

    `key`: what the provider's environment variable holds; unused where it has none. `url`: another address than the
    provider's own, such as a gateway's. `timeout` bounds one exchange and `connect_timeout` its connection, in
    seconds. `pace` and `rate` may be shared between backends that share a provider. Raises `InputError` for an
    address, a key or settings that cannot be ones.

    Of a provider's answers, 429, 5xx, lost connections and time-outs are tried again as `tries` says; 401 and 403
    raise `InputError`, since a key that is refused once is refused for the whole run.
    """

    def __init__(
        self, provider: Provider, settings: SearchSettings | None = None, key: str = "", *, url: str | None = None,
        timeout: float = 30.0, connect_timeout: float = 10.0, tries: Tries | None = None, pace: Limiter | None = None,
        rate: Rate | None = None, now: Callable[[], float] = time.time,
    ):  # fmt: skip
        self.settings = settings or SearchSettings()
        self._provider, self._key = provider, _checked_key(key, provider)
        self._url = _checked_url(url or provider.url, provider)
        self.name = provider.name if provider.url else f"{provider.name}:{self._url}"
        self._seconds, self._connect_seconds = timeout, connect_timeout
        self._tries = tries or Tries(Backoff(attempts=5, total=120.0))
        self._pace, self._rate = pace or Limiter(*_AT_ONCE), rate
        self._now = now
        self._session: aiohttp.ClientSession | None = None
        self._closed = False
        provider.asking("", self.settings, self._key)  # settings that it cannot be told are told now

    async def search(self, query: str) -> tuple[Hit, ...]:
        """See `SearchBackend.search`. An empty query is not sent."""
        words = cleaned(query)
        if not words:
            return ()
        asking = self._provider.asking(words, self.settings, self._key)
        try:
            found = await self._tries.of(lambda: self._paced(asking))
        except ModelFailed as error:  # what the client's common pieces raise
            raise SearchFailed(str(error), reason=error.reason) from error
        return hits_of(found, self.settings)

    async def aclose(self) -> None:
        """Closes the connections."""
        self._closed = True
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _paced(self, asking: Asking) -> list[Found]:
        async with self._pace:
            if self._rate is None:
                return await self._exchange(asking)
            await self._rate.take(0)
            try:
                return await self._exchange(asking)
            except TransientFailure as failure:
                if failure.retry_after and failure.overloaded:
                    self._rate.pause(failure.retry_after)
                raise

    async def _exchange(self, asking: Asking) -> list[Found]:
        import aiohttp

        session = self._opened()
        timeout = aiohttp.ClientTimeout(total=self._seconds, sock_connect=self._connect_seconds)
        headers = {"Accept": "application/json", "Accept-Encoding": "identity", **asking.headers}
        data = None if asking.body is None else orjson.dumps(dict(asking.body))
        if data is not None:
            headers["Content-Type"] = "application/json"
        try:
            # A redirect might carry the key elsewhere.
            async with session.request(
                "GET" if data is None else "POST", f"{self._url}{asking.path}", params=asking.params or None,
                data=data, headers=headers, timeout=timeout, allow_redirects=False,
            ) as response:  # fmt: skip
                body = await self._read(response)
                if response.status == 200:
                    return self._results(body)
                self._refuse(response, body)
        except TimeoutError as error:
            text = f"{self.name}: no answer within {self._seconds:g} s from {self._url}"
            raise TransientFailure(text, reason="timeout", overloaded=True) from error
        except aiohttp.ClientResponseError as error:
            text = f"{self.name}: not HTTP as we know it: {excerpt(error.message)}"
            raise SearchFailed(text, reason="bad_reply") from error
        except (aiohttp.ClientError, OSError) as error:
            text = f"{self.name}: {self._url}: {excerpt(str(error)) or type(error).__name__}"
            if isinstance(error, (aiohttp.ClientSSLError, aiohttp.InvalidURL)):
                raise SearchFailed(text, reason="connection") from error
            raise TransientFailure(text, reason="connection") from error

    def _opened(self) -> "aiohttp.ClientSession":
        """The session is made at the first query, since it belongs to the loop that runs then."""
        import aiohttp

        if self._closed:
            raise SearchFailed(f"{self.name}: already closed", reason="closed")
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, ttl_dns_cache=300), cookie_jar=aiohttp.DummyCookieJar()
            )
        return self._session

    async def _read(self, response: "aiohttp.ClientResponse") -> bytes:
        chunks, size = [], 0
        while chunk := await response.content.readany():
            chunks.append(chunk)
            size += len(chunk)
            if size > _MAX_REPLY_BYTES:
                response.close()
                raise SearchFailed(f"{self.name}: an answer of more than {_MAX_REPLY_BYTES} bytes", reason="bad_reply")
        return b"".join(chunks)

    def _results(self, body: bytes) -> list[Found]:
        try:
            return self._provider.read(orjson.loads(body))
        except NoEngine as error:
            text = f"{self.name}: no engine behind it answered: {excerpt(str(error))}"
            raise TransientFailure(text, reason="engines", overloaded=True) from error
        except ValueError as error:  # orjson's is one
            raise SearchFailed(f"{self.name}: {error}: {excerpt(body)}", reason="bad_reply") from error

    def _refuse(self, response: "aiohttp.ClientResponse", body: bytes) -> NoReturn:
        """Raises what a status other than 200 means."""
        status = response.status
        if status in (401, 403):
            raise InputError(f"{self._provider.refused}: HTTP {status}: {excerpt(body)}", where=self.name)
        text = f"{self.name}: HTTP {status} from {self._url}: {excerpt(body)}"
        if status in _TRANSIENT or status >= 500:
            raise TransientFailure(
                text, reason="rate_limited" if status == 429 else f"http_{status}",
                retry_after=retry_after(response.headers.get("Retry-After"), self._now()),
                overloaded=status in _OVERLOADED,
            )  # fmt: skip
        # Serper says "Not enough credits" with a 400.
        spent = status in self._provider.spent or (status == 400 and b"credits" in body)
        raise SearchFailed(text, reason="quota" if spent else "bad_request" if status == 400 else f"http_{status}")


def _checked_key(key: str, provider: Provider) -> str:
    key = key.strip()
    if provider.url and not key:
        raise InputError(f"{provider.name} wants a key", way_out=f"set {provider.variable}")
    if not (key.isascii() and (key.isprintable() or not key)):
        raise InputError(f"{provider.variable} holds characters that no HTTP header can carry", where=provider.name)
    return key


def _checked_url(url: str, provider: Provider) -> str:
    """The address without its trailing slash. Raises `InputError` if it is none, or holds a password."""
    try:
        parts: Any = urllib.parse.urlsplit(url)
        good = parts.scheme in ("http", "https") and parts.hostname and (parts.port is None or parts.port > 0)
    except ValueError:
        good = False
    if not good:
        raise InputError(f"'{url}' is no http(s) URL", where=provider.name, way_out="like http://localhost:8080")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise InputError("an address holds no password and no query", where=provider.name)
    return url.rstrip("/")
