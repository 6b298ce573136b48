"""How a task file came about, out of the journals beside it: what was rejected and why, what each stage gave.

The journals are those of `synth` and `perturb` (`rejected.jsonl`) and of a teacher's course (`outcomes.jsonl`,
`stages.jsonl`, `exchanges.jsonl`; see `storage.course_folder`). Any of them may be missing.
"""

import re
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from synthagent.errors import InputError
from synthagent.schema.messages import Usage
from synthagent.schema.record import Json, Record
from synthagent.storage.course_folder import EXCHANGES, OUTCOMES, STAGES
from synthagent.storage.journal import Span, line_at, lines, typed
from synthagent.viewer.asking import whole
from synthagent.viewer.tasks import TaskSet

REJECTED = "rejected.jsonl"
NOT_WRITTEN = "made, but not in the file: a near duplicate, beyond the number asked for, or the course is not over"
FACETS = ("stage", "reason")
LARGEST_PAGE = 500
R = TypeVar("R", bound=Record)
_SCREENED = re.compile(r"task \S+ \(.*?\): (?P<screen>[\w -]+): ")
"""How a screen says what a task fails to show: see `synthesis.screening.Objection`."""

Stamp = tuple[tuple[int, int, int], ...]


class _Head(Record, extra="ignore"):
    """The task of an outcome, as far as it is wanted here."""

    id: str


class _Outcome(Record, extra="ignore"):
    """A line of `outcomes.jsonl`. Not an `Outcome`: that would check and hash every task's world anew."""

    index: int
    persona: str = ""
    tasks: tuple[_Head, ...] = ()
    stage: str = "-"
    reason: str = "-"
    details: tuple[str, ...] = ()
    usage: Usage = Usage()


class _Family(Record, extra="ignore"):
    """A line of `rejected.jsonl`: of `synth` with an index, of `perturb` with the family's name."""

    index: int | None = None
    family: str | None = None
    reasons: tuple[str, ...] = ()


class _Job(Record, extra="ignore"):
    """A line of `stages.jsonl` or `exchanges.jsonl`, as far as it says what it is about."""

    index: int | None = None
    about: str = ""

    @property
    def number(self) -> int | None:
        told = self.about if self.about.isascii() and self.about.isdigit() and len(self.about) < 10 else None
        return self.index if told is None else int(told)


class Making:
    """The journals beside one task file, looked at. Safe to use from many threads, one at a time."""

    def __init__(self, tasks: TaskSet):
        self.folder = tasks.path.with_name(f"{tasks.path.name}.d")
        self._tasks = tasks
        self._lock = threading.RLock()
        self._stamp: Stamp | None = None
        self._rows: list[tuple[Path, Span, dict[str, Any]]] = []
        self._kept: dict[str, int] = {}
        self._about: dict[str, dict[int, list[Span]]] = {STAGES: {}, EXCHANGES: {}}

    def __len__(self) -> int:
        """How many were rejected."""
        with self._lock:
            return len(self._read())

    def page(self, asked: Mapping[str, str]) -> Json:
        """`{total, offset, rows, facets}`: what was rejected, and how much there is for each stage and reason.

        `asked`: `stage`, `reason`, `q` (words, all of which must occur), `offset`, `limit`. A facet's counts are taken
        under every other filter. Raises `InputError` naming a line that is none of a journal's.
        """
        with self._lock:
            listed = [row for _, _, row in self._read()]
        words = asked.get("q", "").casefold().split()
        rows = [row for row in listed if all(word in row["text"].casefold() for word in words)]
        facets = {
            name: dict(Counter(row[name] for row in rows if _fits(row, asked, name)).most_common()) for name in FACETS
        }
        chosen = [row for row in rows if _fits(row, asked, None)]
        offset, limit = whole(asked, "offset", 0), min(whole(asked, "limit", 100), LARGEST_PAGE)
        shown = [{name: row[name] for name in row if name != "text"} for row in chosen[offset : offset + limit]]
        return {"total": len(chosen), "offset": offset, "rows": shown, "facets": facets}

    def rejected(self, place: int) -> Json:
        """One of them whole: its row, `record` as it stands in its journal, and what `made` it, if that was kept.

        Raises `InputError` for a place at which there is none.
        """
        with self._lock:
            rows = self._read()
            if not 0 <= place < len(rows):
                raise InputError(f"nothing was rejected under the number {place}", where=str(self.folder))
            path, span, row = rows[place]
            record = line_at(path, span).value
            made = self._made(record["index"]) if path.name == OUTCOMES else None
        return {**{name: row[name] for name in row if name != "text"}, "record": record, "made": made}

    def of(self, task_id: str) -> Json | None:
        """What made a task that was kept: see `rejected`. None where no course is beside the file, or it is not its."""
        with self._lock:
            self._read()
            index = self._kept.get(task_id)
            return None if index is None else self._made(index)

    def _made(self, index: int) -> Json:
        """`{index, stages, exchanges}` of one job of a course; `exchanges`: None where nothing was recorded."""
        found = {name: [self._value(name, span) for span in self._about[name].get(index, ())] for name in self._about}
        recorded = (self.folder / EXCHANGES).is_file()
        return {"index": index, "stages": found[STAGES], "exchanges": found[EXCHANGES] if recorded else None}

    def _value(self, name: str, span: Span) -> Json:
        return line_at(self.folder / name, span).value

    def _read(self) -> list[tuple[Path, Span, dict[str, Any]]]:
        names = (REJECTED, OUTCOMES, STAGES, EXCHANGES)
        stamp = tuple(_stamp(path) for path in (self._tasks.path, *(self.folder / name for name in names)))
        if stamp != self._stamp:
            found = [*self._of_families(), *self._of_course()]
            self._rows = [(path, span, {"place": place, **row}) for place, (path, span, row) in enumerate(found)]
            for name in self._about:
                self._about[name] = _by_job(self.folder / name)
            self._stamp = stamp
        return self._rows

    def _of_families(self) -> Iterator[tuple[Path, Span, dict[str, Any]]]:
        path = self.folder / REJECTED
        for span, family in _records(path, _Family):
            yield path, span, _family(family)

    def _of_course(self) -> Iterator[tuple[Path, Span, dict[str, Any]]]:
        """The jobs that came to no task of the file; of each job its latest outcome counts."""
        path = self.folder / OUTCOMES
        rows: dict[int, tuple[Span, dict[str, Any] | None]] = {}
        self._kept, written = {}, self._tasks.ids()
        for span, outcome in _records(path, _Outcome):
            left_out = not any(task.id in written for task in outcome.tasks)
            rows[outcome.index] = (span, _outcome(outcome) if left_out else None)
            self._kept |= {task.id: outcome.index for task in outcome.tasks}
        for span, row in rows.values():
            if row is not None:
                yield path, span, row


def _family(family: _Family) -> dict[str, Any]:
    """A family that did not hold, as a row."""
    first = family.reasons[0] if family.reasons else ""
    screened = _SCREENED.match(first)
    what = f"family {family.index}" if family.family is None else family.family
    return {
        "what": what, "stage": "screening" if screened else "composition",
        "reason": screened["screen"] if screened else "does not compose", "detail": first, "tokens": None,
        "text": "\n".join((what, *family.reasons)),
    }  # fmt: skip


def _outcome(outcome: _Outcome) -> dict[str, Any]:
    """A persona (or what else a course works on) that came to no task of the file, as a row."""
    stage, reason, details = outcome.stage, outcome.reason, outcome.details
    if outcome.tasks:
        stage, reason, details = "file", "not written", (NOT_WRITTEN,)
    return {
        "what": outcome.persona, "stage": stage, "reason": reason, "detail": details[0] if details else "",
        "tokens": outcome.usage.prompt + outcome.usage.completion,
        "text": "\n".join((outcome.persona, stage, reason, *details)),
    }  # fmt: skip


def _by_job(path: Path) -> dict[int, list[Span]]:
    """Job -> the lines that are about it."""
    found: dict[int, list[Span]] = {}
    for span, job in _records(path, _Job):
        if job.number is not None:
            found.setdefault(job.number, []).append(span)
    return found


def _records(path: Path, kind: type[R]) -> Iterator[tuple[Span, R]]:
    for found in lines(path) if path.is_file() else ():
        yield found.span, typed(path, found, kind)


def _stamp(path: Path) -> tuple[int, int, int]:
    try:
        status = path.stat()
    except OSError:
        return (0, 0, 0)
    return status.st_ino, status.st_size, status.st_mtime_ns


def _fits(row: Mapping[str, Any], asked: Mapping[str, str], leave_out: str | None) -> bool:
    return all(asked[name] == row[name] for name in FACETS if name != leave_out and asked.get(name))
