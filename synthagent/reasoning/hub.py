"""One file of a data set on the Hugging Face hub, over plain HTTPS, kept in a cache.

`GET {endpoint}/datasets/{repo}/resolve/{revision}/{path}`: see the hub's documentation, "Downloading files". The
endpoint is `HF_ENDPOINT` where that is set, as for the hub's own client. No token is sent: only public data sets are
fetched.
"""

import hashlib
import os
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from synthagent.errors import InputError

ENDPOINT = "https://huggingface.co"
LARGEST = 256 << 20
"""Bytes of the largest file that is fetched."""
_BLOCK = 1 << 20
_SECONDS = 60.0


def fetch(
    repo: str, revision: str, path: str, sha256: str, cache: Path, environ: Mapping[str, str] | None = None
) -> Path:  # fmt: skip
    """The file, downloaded unless it is in the cache; there it is whole or not at all.

    `sha256`: of the file; empty: whatever comes. A revision that is a branch is fetched once and stays as it was.
    Raises `InputError` for names that are none, a hub that does not answer or has no such file, a file that is too
    large, and one with another hash, in the cache or from the hub.
    """
    target = cache / _plain(repo).replace("/", "--") / _plain(revision) / _plain(path)
    if not target.is_file():
        env = os.environ if environ is None else environ
        endpoint = (env.get("HF_ENDPOINT") or ENDPOINT).rstrip("/")
        _download(f"{endpoint}/datasets/{repo}/resolve/{revision}/{urllib.parse.quote(path)}", target, sha256)
    elif sha256 and (found := _digest(target)) != sha256:
        raise InputError(f"has the SHA-256 {found}, not {sha256}", where=str(target), way_out="remove it")
    return target


def _plain(name: str) -> str:
    """A name without surprises: it becomes a path and an address."""
    parts = name.split("/")
    if not name.isprintable() or any(part in ("", ".", "..") for part in parts) or set(name) & set("\\?#%: "):
        raise InputError(f"'{name}' is no name on the hub", way_out="such as google/frames-benchmark")
    return name


def _download(url: str, target: Path, sha256: str) -> None:
    part = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            found = _copied(url, part)
            if sha256 and found != sha256:
                raise InputError(f"has the SHA-256 {found}, not {sha256}", where=url, way_out="the data has changed")
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)
    except urllib.error.HTTPError as error:
        with error:
            raise InputError(f"HTTP {error.code} {error.reason}", where=url, way_out=_WAY_OUT) from error
    except (OSError, ValueError) as error:  # URLError is an OSError; an address that is none, a ValueError
        reason = getattr(error, "reason", None) or error
        raise InputError(f"cannot be fetched: {reason}", where=url, way_out=_WAY_OUT) from error


_WAY_OUT = "is there a network? HF_ENDPOINT names a mirror, and a file at hand will do as well"


def _copied(url: str, part: Path) -> str:
    """Copies what the address serves, and gives its SHA-256."""
    digest, size = hashlib.sha256(), 0
    request = urllib.request.Request(url, headers={"User-Agent": "synthagent"})
    if request.type not in ("http", "https"):
        raise InputError("no http(s) address", where=url, way_out="check HF_ENDPOINT")
    with urllib.request.urlopen(request, timeout=_SECONDS) as answer, part.open("wb") as out:
        while block := answer.read(_BLOCK):
            size += len(block)
            if size > LARGEST:
                raise InputError(f"larger than {LARGEST >> 20} MB", where=url)
            digest.update(block)
            out.write(block)
    return digest.hexdigest()


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
