"""Who may look: on loopback whoever is on this machine, with a token whoever has it; and what a page may load.

A browser cannot be told to send a header of its own, so a token may also come once in the address (`?token=`): it is
then kept in a cookie that scripts cannot read and other sites cannot use.
"""

import hashlib
import hmac
from collections.abc import Callable, Mapping
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs

SAFE = ("GET", "HEAD")
"""Methods that change nothing."""
COOKIE = "synthagent_token"


class Door:
    """Lets requests in, or says why not."""

    def __init__(self, token: str | None, is_loopback: Callable[[str], bool]):
        """`is_loopback`: whether a host name stays on this machine."""
        self.token, self._is_loopback = token, is_loopback

    def refusal(self, headers: Mapping[str, str], query: str = "", method: str = "GET") -> str | None:
        """Why a request is turned away; None if it may pass. Header names are in lower case.

        Without a token the request must name loopback as its host, or a page elsewhere could reach us under a name of
        its own (DNS rebinding). What a page of another origin sends is turned away in any case.
        """
        host = headers.get("host", "")
        if self.token is None and not self._is_loopback(_name(host)):
            return "this server answers on loopback only"
        origin = headers.get("origin")
        if origin is not None and origin.partition("://")[2] != host:
            return "pages of other origins are not answered"
        if method not in SAFE and (why := _forged(headers)):
            return why
        if self.token is not None and not (self._stamped(headers) or any(map(self._fits, _tokens(headers, query)))):
            return "the token is missing or wrong: open the address that was printed"
        return None

    def cookie(self, query: str) -> str | None:
        """The cookie to set for a request that carries the right token in its address."""
        given = parse_qs(query).get("token", [""])[-1]
        if self.token is None or not self._fits(given):
            return None
        return f"{COOKIE}={_stamp(self.token)}; HttpOnly; SameSite=Strict; Path=/"

    def _fits(self, given: str) -> bool:
        return self.token is not None and hmac.compare_digest(given.encode(), self.token.encode())

    def _stamped(self, headers: Mapping[str, str]) -> bool:
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
        except CookieError:
            return False
        return cookie is not None and hmac.compare_digest(cookie.value.encode(), _stamp(self.token or "").encode())


def _forged(headers: Mapping[str, str]) -> str | None:
    """Why a request that changes something may be another site's; None if no browser would send it for one.

    A browser says where a request comes from (`Sec-Fetch-Site`, and `Origin` with every POST). One that says neither
    still cannot send JSON to another origin without asking us first, which we answer with a refusal.
    """
    if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return "pages of other sites change nothing here"
    if headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        return "what changes something is sent as application/json"
    return None


def _name(host: str) -> str:
    return host.rpartition(":")[0] if not host.endswith("]") and ":" in host else host


def _stamp(token: str) -> str:
    """What stands in the cookie: a token may hold letters that a cookie cannot."""
    return hmac.new(token.encode(), b"viewer", hashlib.sha256).hexdigest()


def _tokens(headers: Mapping[str, str], query: str) -> list[str]:
    return [headers.get("authorization", "").removeprefix("Bearer "), *parse_qs(query).get("token", [])]
