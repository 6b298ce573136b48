"""A teacher's work on disk, beside the task file it leads to: `T.jsonl.d/`.

manifest.json    what was asked; must agree when it is resumed
outcomes.jsonl   how each persona ended, one a line; the latest line of a persona counts
stages.jsonl     what each stage gave, for inspection: {"index", "stage", "output"}
calls.sqlite     every answer of the teacher, by content: a resumed course asks nothing twice
exchanges.jsonl  with --record: every exchange as it was
lock             held by the writer
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import orjson

from synthagent.errors import InputError, RunFolderError
from synthagent.llm.recording import Exchange
from synthagent.schema.record import Json, dump
from synthagent.storage.atomic import replacing
from synthagent.storage.journal import Journal, Span, line_at, lines, typed
from synthagent.storage.lock import Lock, holder
from synthagent.synthesis.teaching import Outcome

MANIFEST, OUTCOMES, STAGES, CALLS, EXCHANGES, LOCK = (
    "manifest.json", "outcomes.jsonl", "stages.jsonl", "calls.sqlite", "exchanges.jsonl", "lock",
)  # fmt: skip


class CourseFolder:
    """The folder, held for writing. Use `open`, as a context manager."""

    def __init__(self, path: Path, lock: Lock):
        self.path = path
        self._lock = lock
        self._outcomes = Journal.open(path / OUTCOMES)
        self._stages = Journal.open(path / STAGES)
        self._exchanges: Journal | None = None
        self._places: dict[int, Span] = {}
        """Persona -> its latest outcome's place: the outcomes themselves stay on disk."""
        self.structured: dict[str, Any] = {}
        """How the teacher takes a schema: `rung`, and `downgrades` that a run came to."""
        self.done: set[int] = set()
        """Personas that need not be taken again: all but those that failed for something that may pass."""
        for found in lines(path / OUTCOMES):
            if not isinstance(found.value, dict) or not isinstance(found.value.get("index"), int):
                typed(path / OUTCOMES, found, Outcome)  # says what is wrong with it, and where
            self._noted(found.value["index"], found.value.get("passing", False), found.span)

    @classmethod
    def open(cls, path: Path, manifest: Mapping[str, Any], *, resume: bool) -> "CourseFolder":
        """The folder for a course, made if it is not there.

        Raises `RunFolderError` when it holds a course and `resume` was not asked for, when what was asked differs from
        that course, when another process writes to it, or when it cannot be written.
        """
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunFolderError(f"{path}: cannot be made ({error.strerror})") from error
        lock = Lock.take(path / LOCK)
        if lock is None:
            raise RunFolderError(f"{path}: {holder(path / LOCK)} is writing to it")
        try:
            _agree(path, dict(manifest), resume)
            return cls(path, lock)
        except BaseException:
            lock.release()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def calls(self) -> Path:
        """The cache of calls."""
        return self.path / CALLS

    def add(self, outcome: Outcome) -> None:
        """Appends an outcome; it is in the file when this returns."""
        self._noted(outcome.index, outcome.passing, self._outcomes.append(dump(outcome)))

    def keep(self, index: int, stage: str, output: Json) -> None:
        """Appends what a stage gave."""
        self._stages.append({"index": index, "stage": stage, "output": output})

    def record(self, exchange: Exchange) -> None:
        """Appends an exchange."""
        if self._exchanges is None:
            self._exchanges = Journal.open(self.path / EXCHANGES)
        self._exchanges.append(dump(exchange))

    def outcomes(self) -> Iterator[Outcome]:
        """The latest outcome of every persona, in the personas' order, one in memory at a time."""
        path = self.path / OUTCOMES
        for index in sorted(self._places):
            yield typed(path, line_at(path, self._places[index]), Outcome)

    def close(self) -> None:
        """Closes the journals and lets go."""
        try:
            for journal in (self._outcomes, self._stages, self._exchanges):
                if journal is not None:
                    journal.close()
        finally:
            self._lock.release()

    def _noted(self, index: int, passing: bool, span: Span) -> None:
        self._places[index] = span
        (self.done.discard if passing else self.done.add)(index)


def _agree(path: Path, manifest: dict[str, Any], resume: bool) -> None:
    """Writes the manifest, or compares it with the one that is there."""
    file = path / MANIFEST
    if not file.exists():
        if (path / OUTCOMES).exists() and (path / OUTCOMES).stat().st_size:
            raise RunFolderError(f"{path}: holds outcomes but no {MANIFEST}; use another --out")
        with replacing(file) as write:
            write(orjson.dumps(manifest, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
        return
    if not resume:
        raise RunFolderError(f"{path}: holds a course already; go on with --resume, or use another --out")
    try:
        old = orjson.loads(file.read_bytes())
    except (OSError, orjson.JSONDecodeError) as error:
        raise InputError(f"cannot be read: {error}", where=str(file)) from error
    old = old if isinstance(old, dict) else {}
    plain = orjson.loads(orjson.dumps(manifest))
    changes = [
        f"{name} was {_shown(old.get(name))}, now {_shown(value)}"
        for name, value in plain.items()
        if old.get(name) != value
    ]
    if changes:
        raise RunFolderError(
            f"{path}: cannot be resumed with other settings: {'; '.join(changes)}. "
            "Resume with the settings it was started with, or use another --out"
        )


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}…"
