"""Where a suite's problems come from: a file that was given, or the hub; and which bytes they are."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import orjson

from synthagent.errors import InputError
from synthagent.evaluation.datasets.rows import read_rows
from synthagent.evaluation.datasets.shapes import SHAPES, problems
from synthagent.evaluation.items import SuiteFailed
from synthagent.evaluation.suites import Source, Suite
from synthagent.reasoning.hub import fetch
from synthagent.reasoning.problems import Problem
from synthagent.storage.atomic import make_folder, replacing
from synthagent.storage.digests import sha256

LOCK = Path("datasets", "lock.json")
"""In the cache: suite -> source and SHA-256 of what was downloaded first, where we pin none."""


@dataclass(frozen=True, slots=True)
class Data:
    """The problems of a suite, and which data they are."""

    problems: list[Problem]
    versions: dict[str, str]
    """`data` (source and revision, or `file`) and `data_sha256`."""


def load(
    suite: Suite, cache: Path, *, file: Path | None = None, pinned: str = "",
    tell: Callable[[str], None] = lambda _: None,
) -> Data:  # fmt: skip
    """The problems of a mathematics or search suite.

    `file`: take these instead of the hub's. `pinned`: the SHA-256 that the file must have. Raises `SuiteFailed` for
    another hash than the one that is pinned and for another number of problems than the suite has; `InputError` naming
    file, line and field for data that cannot be had or does not fit.
    """
    path, source = (file, "file") if file is not None else (_fetched(suite, cache), told(suite.source))
    found = sha256(path)
    _check(suite, path, found, pinned or ("" if file is not None else _known(suite, cache)))
    if file is None and not _known(suite, cache):
        _remember(suite, cache, found)
        tell(f"{suite.name}: {source} has the SHA-256 {found}; it is kept in {cache / LOCK} and checked from now on")
    rows = problems(read_rows(path), SHAPES[suite.name], source, suite.licence)
    if len(rows) not in suite.sizes:
        usual = " or ".join(map(str, suite.sizes))
        raise SuiteFailed(f"{path} holds {len(rows)} problems, and {suite.title} has {usual}")
    return Data(rows, {"data": source, "data_sha256": found})


def told(source: Source | None) -> str:
    """A source in one word: `REPO@REVISION/PATH`."""
    return f"{source.repo}@{source.revision}/{source.path}" if source else ""


def at_hand(suite: Suite, cache: Path) -> Path | None:
    """The downloaded file, if it is there."""
    if suite.source is None:
        return None
    place = cache / "datasets" / suite.source.repo / suite.source.revision / suite.source.path
    return place if place.is_file() else None


def _fetched(suite: Suite, cache: Path) -> Path:
    source = suite.source
    if source is None:
        raise InputError(f"{suite.name} has no data on the hub", way_out=f"--data-file {suite.name}=FILE")
    try:
        # A wrong hash is told below, as a failed suite: it is known only once the file is here.
        return fetch(source.repo, source.revision, source.path, None, cache)
    except InputError as error:
        way_out = f"--data-file {suite.name}=FILE takes a file that you have"
        raise InputError(str(error), way_out=way_out) from error


def _check(suite: Suite, path: Path, found: str, wanted: str) -> None:
    if wanted and found != wanted:
        raise SuiteFailed(f"other data: {path} has the SHA-256 {found}, and {suite.name} is pinned to {wanted}")


def _known(suite: Suite, cache: Path) -> str:
    """The SHA-256 that a download must have: pinned by us, or the first one seen here; empty: any."""
    if suite.source is None or suite.source.sha256:
        return suite.source.sha256 if suite.source else ""
    entry = _locked(cache).get(suite.name, {})
    return entry.get("sha256", "") if entry.get("source") == told(suite.source) else ""


def _locked(cache: Path) -> Mapping[str, dict[str, str]]:
    file = cache / LOCK
    if not file.exists():
        return {}
    try:
        found = orjson.loads(file.read_bytes())
        if not isinstance(found, dict) or not all(isinstance(entry, dict) for entry in found.values()):
            raise ValueError("not an object of objects")
    except (OSError, ValueError) as error:
        raise InputError(f"cannot be read: {error}", where=str(file), way_out="mend or remove it") from error
    return found


def _remember(suite: Suite, cache: Path, found: str) -> None:
    make_folder((cache / LOCK).parent)
    merged = {**_locked(cache), suite.name: {"source": told(suite.source), "sha256": found}}
    with replacing(cache / LOCK) as write:
        write(orjson.dumps(merged, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
