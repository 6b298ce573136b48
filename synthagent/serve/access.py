"""Who may talk to a server of ours: on loopback whoever is on this machine, elsewhere whoever has the token."""

import hmac
import ipaddress
from collections.abc import Mapping

from synthagent.errors import InputError

TOKEN_ENV = "SYNTHAGENT_TOKEN"
_NAMES = ("localhost",)


def checked_host(host: str, token: str | None) -> str:
    """The address to listen on. Raises `InputError` for one beyond loopback without a token."""
    if not is_loopback(host) and not token:
        raise InputError(
            f"--host {host} is reachable from other machines", way_out=f"set {TOKEN_ENV} to a secret first"
        )
    return host


def is_loopback(host: str) -> bool:
    """Whether a host name stays on this machine."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host in _NAMES


def refusal(headers: Mapping[str, str], token: str | None) -> str | None:
    """Why a request is turned away; None if it may pass.

    Without a token the request must name loopback as its host, or a page in a browser could reach us under a name of
    its own (DNS rebinding). Pages of other origins are turned away in any case.
    """
    if token is not None:
        given = headers.get("Authorization", "")
        return (
            None if hmac.compare_digest(given.encode(), f"Bearer {token}".encode()) else "the token is missing or wrong"
        )
    host = headers.get("Host", "")
    name = host.rpartition(":")[0] if not host.endswith("]") and ":" in host else host
    if not is_loopback(name):
        return "this server answers on loopback only"
    origin = headers.get("Origin")
    if origin is not None and not is_loopback(origin.rpartition("//")[2].rpartition(":")[0] or origin):
        return "requests of web pages are not answered"
    return None
