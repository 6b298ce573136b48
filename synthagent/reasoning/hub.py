"""Files of data sets on the Hugging Face Hub over plain HTTPS: pinned by revision and hash, kept in a cache.

`HF_ENDPOINT` names another address than the Hub's own, and `HF_TOKEN` a token for sets that want one; the token goes to
the endpoint only, and not to where it redirects.
"""

import hashlib
import os
import re
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any, NoReturn

import orjson

from synthagent.errors import InputError

ENDPOINT = "https://huggingface.co"
READABLE = (".jsonl", ".json", ".parquet")
"""Suffixes of the files that `problem_file` reads."""
_REPO = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_SECONDS = 60.0
"""Without a word from the endpoint."""
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Place:
    """A file of a data set."""

    repo: str
    revision: str
    """A commit, so that it is the same file for ever."""
    path: str


def is_hub_id(text: str) -> bool:
    """Whether the words are a data set's: `OWNER/NAME`, with `@REVISION` and `:FILE` if it is said."""
    return _REPO.fullmatch(text.partition(":")[0].partition("@")[0]) is not None


def locate(text: str, environ: Mapping[str, str] = os.environ) -> Place:
    """The file that `OWNER/NAME[@REVISION][:FILE]` means, its revision as a commit.

    Raises `InputError` where the set is not there, and where it is not clear which of its files is meant.
    """
    where, _, path = text.partition(":")
    repo, _, revision = where.partition("@")
    address = f"{_endpoint(environ)}/api/datasets/{repo}/revision/{urllib.parse.quote(revision or 'main', safe='')}"
    try:
        with _opened(address, environ) as reply:
            told: Any = orjson.loads(reply.read())
        commit, files = str(told["sha"]), [str(file["rfilename"]) for file in told["siblings"]]
    except (OSError, HTTPException) as error:
        _refuse(error, address, repo)
    except (orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise InputError(f"not the answer of a hub: {error!r}", where=address) from error
    if path:
        if path not in files:
            raise InputError(f"there is no file '{path}'", where=f"{repo}@{commit}", way_out=_some(files))
        return Place(repo, commit, path)
    fit = [file for file in files if file.endswith(READABLE)]
    if len(fit) != 1:
        raise InputError(
            f"which of its {len(fit)} files?", where=f"{repo}@{commit}", way_out=f"say {repo}:FILE, one of {_some(fit)}"
        )
    return Place(repo, commit, fit[0])


def fetch(
    repo: str, revision: str, path: str, sha256: str | None, cache: Path, environ: Mapping[str, str] = os.environ
) -> Path:
    """The file in the cache, fetched if it is not there; `sha256` of its bytes: None takes what comes.

    Raises `InputError` where it cannot be had, and where its bytes are others than those that are wanted.
    """
    target = cache.joinpath("datasets", *repo.split("/"), revision, *path.split("/"))
    if ".." in target.parts:
        raise InputError(f"'{path}' is no path within a data set", where=repo)
    if target.is_file():
        _agree(target, _sha256(target), sha256)
        return target
    quoted = (urllib.parse.quote(revision, safe=""), urllib.parse.quote(path))
    address = f"{_endpoint(environ)}/datasets/{repo}/resolve/{quoted[0]}/{quoted[1]}"
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        found = _written(address, part, environ)
        _agree(target, found, sha256)
        part.replace(target)
    except (OSError, HTTPException) as error:
        _refuse(error, address, repo)
    finally:
        part.unlink(missing_ok=True)
    return target


def _written(address: str, part: Path, environ: Mapping[str, str]) -> str:
    """Writes what the address gives, and gives its SHA-256."""
    digest = hashlib.sha256()
    with _opened(address, environ) as reply, part.open("wb") as file:
        length, size = reply.headers.get("Content-Length"), 0
        while chunk := reply.read(_CHUNK):
            digest.update(chunk)
            file.write(chunk)
            size += len(chunk)
    if length is not None and length.isdigit() and int(length) != size:
        raise OSError(f"{size} bytes came, and {length} were announced")
    return digest.hexdigest()


def _opened(address: str, environ: Mapping[str, str]) -> Any:
    request = urllib.request.Request(address, headers={"User-Agent": "synthagent", "Accept-Encoding": "identity"})
    if token := environ.get("HF_TOKEN", "").strip():
        request.add_unredirected_header("Authorization", f"Bearer {token}")
    return urllib.request.urlopen(request, timeout=_SECONDS)


def _endpoint(environ: Mapping[str, str]) -> str:
    endpoint = (environ.get("HF_ENDPOINT") or ENDPOINT).rstrip("/")
    if not endpoint.startswith(("https://", "http://")):
        raise InputError(f"HF_ENDPOINT: '{endpoint}' is no http(s) address")
    return endpoint


def _refuse(error: Exception, address: str, repo: str) -> NoReturn:
    way_out = "give the file itself, if you have it"
    if isinstance(error, urllib.error.HTTPError):
        if error.code in (401, 403):
            way_out = f"accept its terms at {ENDPOINT}/datasets/{repo} and set HF_TOKEN; or {way_out}"
        text = f"HTTP {error.code}"
        error.close()
    else:
        text = str(getattr(error, "reason", None) or error) or type(error).__name__
    raise InputError(f"cannot be fetched: {text}", where=address, way_out=way_out) from error


def _agree(path: Path, found: str, wanted: str | None) -> None:
    if wanted is not None and found != wanted:
        way_out = "another version of the data: remove the file, or pin what you want"
        raise InputError(f"SHA-256 is {found}, and {wanted} is wanted", where=str(path), way_out=way_out)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _some(files: list[str]) -> str:
    shown = ", ".join(files[:8])
    return f"{shown}, ... ({len(files)})" if len(files) > 8 else shown or "none that can be read"
