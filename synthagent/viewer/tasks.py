"""A task file as a page asks for it: facets, a list, one task whole."""

import threading
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from synthagent.errors import InputError
from synthagent.schema.record import Json
from synthagent.schema.tasks import Task
from synthagent.storage.journal import Span, lines
from synthagent.storage.task_file import parse_task
from synthagent.viewer.asking import whole
from synthagent.viewer.searching import Texts, task_words

LARGEST_PAGE = 500
FACETS = ("domain", "difficulty", "restriction", "twin", "legal", "kind", "rate")
RATES = ((0.2, "below 0.2"), (0.4, "0.2 to 0.4"), (0.6, "0.4 to 0.6"), (0.8, "0.6 to 0.8"))

Rates = Mapping[str, tuple[float | None, int]]
"""Task -> its mean reward and the episodes that it is of."""


class _Listed(NamedTuple):
    span: Span
    row: dict[str, Any]


class TaskSet:
    """A task file, looked at. Safe to use from many threads, one at a time."""

    def __init__(self, path: Path, cache: Path | None):
        self.path = path
        self._texts = Texts(path, cache, task_words)
        self._lock = threading.RLock()
        self._listed: dict[str, _Listed] = {}
        self._stamp: tuple[int, int] | None = None

    def close(self) -> None:
        """Lets go of the index."""
        with self._lock:
            self._texts.close()

    def __len__(self) -> int:
        with self._lock:
            return len(self._read())

    def ids(self) -> set[str]:
        """Of every task."""
        with self._lock:
            return set(self._read())

    def instructions(self, task_ids: Iterable[str]) -> dict[str, str]:
        """Task -> what the agent is told, of those that are here."""
        with self._lock:
            listed = self._read()
            return {id_: listed[id_].row["instruction"] for id_ in task_ids if id_ in listed}

    def page(self, asked: Mapping[str, str], rates: Rates) -> Json:
        """`{total, offset, rows, facets}`: the tasks that fit, and how many there are of each kind.

        `asked`: the facets by name, `family`, `q` (words), `offset`, `limit`. The count of a facet's values is taken
        under every other filter, so that a page says what choosing another value would show.
        """
        with self._lock:
            listed = self._read()
            hits = set(self._texts.find(asked["q"])) if asked.get("q", "").strip() else None
        rows = [
            {**one.row, **_rated(rates, id_)}
            for id_, one in listed.items()
            if (hits is None or one.span.offset in hits) and asked.get("family", "") in ("", one.row["family"])
        ]
        facets = {
            name: dict(sorted(Counter(word for row in rows if _fits(row, asked, name) for word in row[name]).items()))
            for name in FACETS
        }
        chosen = [row for row in rows if _fits(row, asked, None)]
        offset, limit = whole(asked, "offset", 0), min(whole(asked, "limit", 100), LARGEST_PAGE)
        return {"total": len(chosen), "offset": offset, "rows": chosen[offset : offset + limit], "facets": facets}

    def task(self, task_id: str) -> Task:
        """One task. Raises `InputError` when it is not there."""
        with self._lock:
            found = self._read().get(task_id)
        if found is None:
            raise InputError(f"there is no task {task_id[:80]!r}", where=str(self.path))
        with self.path.open("rb") as stream:
            stream.seek(found.span.offset)
            return parse_task(stream.read(found.span.length), str(self.path))

    def family(self, family: str) -> list[dict[str, Any]]:
        """The rows of a family: a root, its twins and branches."""
        with self._lock:
            return [one.row for one in self._read().values() if one.row["family"] == family]

    def _read(self) -> dict[str, _Listed]:
        status = self.path.stat()
        stamp = (status.st_size, status.st_mtime_ns)
        if stamp != self._stamp:
            self._listed = {}
            for found in lines(self.path):
                row = _row(found.value) if isinstance(found.value, dict) else None
                if row is None:
                    raise InputError(f"no task at byte {found.span.offset}", where=str(self.path))
                self._listed[row["id"]] = _Listed(found.span, row)
            self._stamp = stamp
        return self._listed


def _row(value: Json) -> dict[str, Any] | None:
    """A task as a row, without checking its world: a list must not compile ten thousand of them."""
    brief, note, hidden = value.get("brief"), value.get("provenance") or {}, value.get("hidden") or {}
    if not isinstance(brief, dict) or not isinstance(value.get("id"), str):
        return None
    goals, facts = note.get("templates") or (), hidden.get("facts") or ()
    size = len(goals) or len(value.get("workflow") or ())
    rules: Sequence[Any] = brief.get("rules") or ()
    return {
        "id": value["id"], "family": value.get("family", ""), "instruction": brief.get("instruction", ""),
        "domain": [note.get("domain") or "-"], "difficulty": [_difficulty(size, len(facts))],
        "restriction": ["restricted" if rules else "free"], "twin": [note.get("twin") or "root"],
        "legal": ["yes" if note.get("legal", True) else "no"], "kind": [brief.get("kind", "tool_use")],
        "goals": list(goals), "features": list(note.get("features") or ()), "facts": len(facts),
        "tools": len(brief.get("tools") or ()), "parents": list(note.get("parents") or ()),
        "passports": note.get("passports") or {},
    }  # fmt: skip


def _difficulty(goals: int, facts: int) -> str:
    """How much there is to do and to ask for."""
    size = goals + facts
    return "small" if size <= 3 else "medium" if size <= 6 else "large"


def _rated(rates: Rates, task_id: str) -> dict[str, Any]:
    mean, count = rates.get(task_id, (None, 0))
    if mean is None:
        return {"reward": None, "episodes": count, "rate": ["not played" if not count else "unscored"]}
    word = next((word for most, word in RATES if mean < most), "0.8 and more")
    return {"reward": mean, "episodes": count, "rate": [word]}


def _fits(row: Mapping[str, Any], asked: Mapping[str, str], leave_out: str | None) -> bool:
    return all(asked[name] in row[name] for name in FACETS if name != leave_out and asked.get(name))
