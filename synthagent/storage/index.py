"""What a run folder holds, as SQLite tables to ask questions of. Computed from the journals and never more than them.

Tables `tasks`, `played` (the latest episode of each agent, task and sample) and `scored` (its latest score under each
rubric) mirror the three journals line by line; the view `episodes` joins them. `marks` says how much of each journal
is in, so that opening a folder reads only what was added since.
"""

import hashlib
import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import orjson

from synthagent.errors import Blame, InputError, RunFolderError
from synthagent.schema.episodes import Episode, ToolEvent
from synthagent.schema.record import Json
from synthagent.schema.scores import Score, Scored
from synthagent.storage.journal import Line, Span, line_at, line_number, lines, typed
from synthagent.storage.lock import Lock
from synthagent.storage.tables import TABLES, VERSION, EpisodeRow, Key, ScoreLine, TaskHead

EPISODES, SCORES, TASKS = "episodes.jsonl", "scores.jsonl", "tasks.jsonl"
FILE, LOCK = "index.sqlite", "index.lock"

BATCH = 64
"""Live additions a commit: what a reader beside the writer may lag behind, and what a kill costs in re-reading."""
CATCH_UP_BATCH = 2000
"""Lines a commit when catching up."""
TAIL = 256
"""Bytes before a mark whose hash tells whether the journal is still the one that was indexed."""
BUSY_SECONDS = 30.0
THE_DISK = (
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PERM,
)
"""SQLite errors that deleting the index would not mend."""


class Index:
    """The index of one run folder, open. Use `open`; one thread at a time."""

    def __init__(self, folder: Path, database: sqlite3.Connection, lock: Lock | None, *, writable: bool):
        self.folder = folder
        self._database = database
        self._lock = lock
        self._writable = writable
        self._marks: dict[str, int] = {}
        self._pending = 0
        self._lost = False
        """SQLite may have rolled back what the marks in memory count as entered."""

    @classmethod
    def open(cls, folder: Path, *, write: bool = False) -> "Index":
        """Open the index of a run folder, caught up with its journals (built, where there is none).

        With `write` it is ours until `close`, for `add_episode` and `add_score`; only the holder of the folder's lock
        may ask for that. Without, it never waits for the writer: while one is at work a reader sees all but the last
        few episodes, and where the folder itself cannot be written the index is built in memory.

        Raises `InputError` for a journal that is broken in the middle, `RunFolderError` when the disk refuses.
        """
        if write:
            return _owned(folder, anew=False)
        live = False
        with suppress(RunFolderError, sqlite3.Error):
            lock = Lock.take(folder / LOCK)
            live = lock is None
            if lock:
                try:
                    _caught_up(folder, None).close()
                finally:
                    lock.release()
        with suppress(sqlite3.Error):
            index = cls(folder, _reading(folder / FILE), None, writable=False)
            if live or index._complete():
                return index
            index.close()
        index = cls(folder, _connected(":memory:"), None, writable=False)
        index.catch_up()
        return index

    @classmethod
    def rebuild(cls, folder: Path) -> "Index":
        """Throw the index away and build it from the journals; returned open for writing. Raises as `open` does."""
        return _owned(folder, anew=True)

    def close(self) -> None:
        """Commit and let go. Harmless when closed."""
        try:
            if self._writable:
                self.flush()
        finally:
            self._writable = False
            self._database.close()
            if self._lock:
                self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def add_episode(self, episode: Episode, span: Span) -> None:
        """Enter an episode that was just appended at `span`. Raises `RunFolderError` when the disk refuses."""
        self._add(EPISODES, span, lambda: self._enter_episode(episode, span))

    def add_score(self, agent: str, score: Score, span: Span) -> None:
        """Enter a score that was just appended at `span`. Raises `RunFolderError` when the disk refuses."""
        self._add(SCORES, span, lambda: self._enter_score(ScoreLine(agent=agent, score=score), span))

    def flush(self) -> None:
        """Commit what was added. Raises `RunFolderError` when the disk refuses."""
        with self._told():
            if self._database.in_transaction:
                for name, end in self._marks.items():
                    self._database.execute(
                        "INSERT OR REPLACE INTO marks VALUES (?, ?, ?)", (name, end, _tail(self.folder / name, end))
                    )
                self._database.execute("COMMIT")
            self._pending = 0

    def catch_up(self) -> None:
        """Enter every whole line that is not in yet. Raises as `open` does."""
        enter: dict[str, Callable[[Line], None]] = {
            TASKS: lambda found: self._enter_task(typed(self.folder / TASKS, found, TaskHead)),
            EPISODES: lambda found: self._enter_episode(typed(self.folder / EPISODES, found, Episode), found.span),
            SCORES: lambda found: self._enter_score(typed(self.folder / SCORES, found, ScoreLine), found.span),
        }
        with self._told():
            for name, one in enter.items():
                path = self.folder / name
                for found in lines(path, self._marks.get(name, 0)) if path.is_file() else ():
                    self._begin()
                    try:
                        one(found)
                    except OverflowError as error:
                        where = f"{path}:{line_number(path, found.span.offset)}"
                        raise InputError("an integer beyond 64 bits", where=where) from error
                    self._marks[name] = found.span.end
                    self._pending += 1
                    if self._pending >= CATCH_UP_BATCH:
                        self.flush()
            self.flush()

    def keys(self) -> set[Key]:
        """Every episode that was played to some end."""
        return {Key(*row) for row in self.query("SELECT agent, task_id, sample FROM played")}

    def unscored_keys(self) -> set[Key]:
        """Episodes without any line in the scores journal: the run was killed between the two."""
        return {Key(*row) for row in self.query("SELECT agent, task_id, sample FROM episodes WHERE rubric_id IS NULL")}

    def blamed_keys(self, blames: Sequence[Blame]) -> set[Key]:
        """Episodes whose latest score is `Unscored` with one of these blames."""
        marks = ", ".join("?" * len(blames))
        sql = f"SELECT agent, task_id, sample FROM episodes WHERE unscored_blame IN ({marks})"
        return {Key(*row) for row in self.query(sql, [blame.value for blame in blames])}

    def has_reward(self, key: Key) -> bool:
        """Whether the episode is there and has a reward under any rubric."""
        # A power cut may take an episode's line and leave its score's: then it is to be played again.
        sql = (
            "SELECT 1 FROM scored JOIN played USING (agent, task_id, sample) "
            "WHERE agent = ? AND task_id = ? AND sample = ? AND reward IS NOT NULL"
        )
        return any(True for _ in self.query(sql, key))

    def rows(self, where: str = "1", parameters: Sequence[Any] = ()) -> Iterator[EpisodeRow]:
        """Rows of the view `episodes` in the order they were played; `where` is SQL over its columns."""
        columns = ", ".join(EpisodeRow.model_fields)
        for row in self.query(f"SELECT {columns} FROM episodes WHERE {where} ORDER BY offset", parameters):
            values = dict(zip(EpisodeRow.model_fields, row, strict=True))
            for name in ("features", "tools_called"):
                values[name] = orjson.loads(values[name])
            yield EpisodeRow.model_validate(values)

    def query(self, sql: str, parameters: Sequence[Any] = ()) -> Iterator[tuple[Any, ...]]:
        """The rows of any SELECT over `tasks`, `played`, `scored` and `episodes`. Raises `sqlite3.Error`."""
        with closing(self._database.execute(sql, tuple(parameters))) as cursor:
            yield from cursor

    def load_episode(self, agent: str, task_id: str, sample: int) -> Episode:
        """One episode straight from its place in the journal. Raises `InputError` when there is none."""
        sql = "SELECT offset, length FROM played WHERE agent = ? AND task_id = ? AND sample = ?"
        for offset, length in self.query(sql, (agent, task_id, sample)):
            path = self.folder / EPISODES
            return typed(path, line_at(path, Span(offset, length)), Episode)
        raise InputError(f"no episode of {agent} on task {task_id}, sample {sample}", where=str(self.folder))

    def spans(self, table: str) -> Iterator[Span]:
        """Places of the lines behind `played` or `scored`, in file order; safe while lines are added meanwhile."""
        last = -1
        while page := list(
            self.query(f"SELECT offset, length FROM {table} WHERE offset > ? ORDER BY offset LIMIT 1000", (last,))
        ):
            yield from (Span(*row) for row in page)
            last = page[-1][0]

    def _add(self, name: str, span: Span, enter: Callable[[], None]) -> None:
        if self._lost or span.offset != self._marks.get(name, 0):
            # An earlier line went past the index: it and this one are on file.
            self._lost = not self._load_marks()
            self.catch_up()
            return
        with self._told():
            self._begin()
            enter()
        self._marks[name] = span.end
        self._pending += 1
        if self._pending >= BATCH:
            self.flush()

    def _begin(self) -> None:
        if not self._database.in_transaction:
            self._database.execute("BEGIN IMMEDIATE")

    def _enter_task(self, task: TaskHead) -> None:
        origin = task.provenance
        row = (task.id, task.family, origin.domain, origin.legal, _text(origin.features))
        self._database.execute("INSERT OR REPLACE INTO tasks VALUES (?, ?, ?, ?, ?)", row)

    def _enter_episode(self, episode: Episode, span: Span) -> None:
        tools = dict.fromkeys(event.tool for event in episode.events if isinstance(event, ToolEvent))
        row = (
            *(episode.agent, episode.task_id, episode.sample, episode.user, episode.stop.value),
            *(episode.malformed, episode.turns, episode.usage.prompt, episode.usage.completion),
            *(episode.seconds, episode.started, _text(list(tools)), *span),
        )
        self._database.execute(f"INSERT OR REPLACE INTO played VALUES ({', '.join('?' * len(row))})", row)

    def _enter_score(self, found: ScoreLine, span: Span) -> None:
        score = found.score
        worth: tuple[Any, ...]
        if isinstance(score, Scored):
            worth = (score.reward, score.gate, score.n, score.i, score.blame, score.reason or None, None, None)
        else:
            worth = (None, None, None, None, None, None, score.blame, score.reason)
        row = (found.agent, score.task_id, score.sample, score.rubric_id, *worth, *span)
        self._database.execute(f"INSERT OR REPLACE INTO scored VALUES ({', '.join('?' * len(row))})", row)

    def _load_marks(self) -> bool:
        """Take over the marks. False when a journal is no longer the one that was indexed."""
        self._marks.clear()
        for name, end, tail in self.query("SELECT journal, bytes, tail FROM marks"):
            if _tail(self.folder / name, end) != tail:
                return False
            self._marks[name] = end
        return True

    def _complete(self) -> bool:
        """Whether every whole line of the journals is in."""
        journals = ((self.folder / name, name) for name in (TASKS, EPISODES, SCORES))
        return self._load_marks() and not any(
            True for path, name in journals if path.is_file() for _ in lines(path, self._marks.get(name, 0))
        )

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Turn what SQLite says about the disk into what to do about it."""
        try:
            yield
        except sqlite3.OperationalError as error:
            self._lost = True
            with suppress(sqlite3.Error):
                if self._database.in_transaction:
                    self._database.execute("ROLLBACK")
            raise _refused(self.folder, error) from error


def _owned(folder: Path, *, anew: bool) -> Index:
    """The index, locked until it is closed."""
    lock = Lock.take(folder / LOCK, wait=True)
    try:
        if anew:
            _delete(folder)
        return _caught_up(folder, lock)
    except BaseException as error:
        if lock:
            lock.release()
        if isinstance(error, sqlite3.OperationalError):
            raise _refused(folder, error) from error
        raise


def _caught_up(folder: Path, lock: Lock | None) -> Index:
    """The index on file, ours to write; a broken or outdated one is replaced."""
    for _ in range(2):
        database = None
        try:
            database = _connected(str(folder / FILE))
            index = Index(folder, database, lock, writable=True)
            if index._load_marks():
                index.catch_up()
                return index
        except sqlite3.DatabaseError as error:
            if database:
                database.close()
            if getattr(error, "sqlite_errorcode", 0) & 0xFF in THE_DISK:
                raise  # else the file is no database, or a broken one, or another's
        except BaseException:
            if database:
                database.close()
            raise
        else:
            database.close()
        _delete(folder)
    raise RunFolderError(f"{folder / FILE}: another process changes the journals; try again when it has ended")


def _connected(name: str) -> sqlite3.Connection:
    database = sqlite3.connect(name, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        # Readers beside a writer, and no fsync a commit: what a power cut takes away is read from the journals again.
        database.execute("PRAGMA journal_mode = WAL").close()
        database.execute("PRAGMA synchronous = NORMAL").close()
        database.execute("PRAGMA trusted_schema = OFF").close()  # a folder may come from a stranger
        (version,) = database.execute("PRAGMA user_version").fetchone()
        if version not in (0, VERSION):
            raise sqlite3.DatabaseError("made by another version")
        if version == 0:
            database.executescript(f"BEGIN IMMEDIATE; {TABLES}; PRAGMA user_version = {VERSION}; COMMIT")
    except BaseException:
        database.close()
        raise
    return database


def _reading(path: Path) -> sqlite3.Connection:
    """The file as its owner left it. Raises `sqlite3.Error` when it is not there, or not one of ours."""
    uri = f"{path.resolve().as_uri()}?mode=ro"
    database = sqlite3.connect(uri, uri=True, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        if database.execute("PRAGMA user_version").fetchone() != (VERSION,):
            raise sqlite3.DatabaseError("not an index of this version")
    except BaseException:
        database.close()
        raise
    return database


def _delete(folder: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        with suppress(FileNotFoundError):
            (folder / f"{FILE}{suffix}").unlink()


def _tail(path: Path, end: int) -> str:
    """A hash over the bytes just before `end`; empty when the file does not reach that far."""
    try:
        with path.open("rb") as stream:
            start = max(0, end - TAIL)
            data = os.pread(stream.fileno(), end - start, start)
    except OSError:
        return ""
    return hashlib.sha256(data).hexdigest() if len(data) == end - start else ""


def _refused(folder: Path, error: sqlite3.Error) -> RunFolderError:
    return RunFolderError(
        f"{folder / FILE}: {error}; the journals are safe and the index can be deleted: "
        "free some space, then run the same command with --resume"
    )


def _text(value: Json) -> str:
    return orjson.dumps(value).decode()
