"""Full-text search over the lines of a journal or task file: an FTS5 index of its own, computed and rebuildable.

It lies in the user's cache and not beside the file, which may be read-only. A text's row id is the byte offset of its
line, so a hit names its line, and the index knows nothing else.
"""

import hashlib
import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

from synthagent.schema.record import Json
from synthagent.storage.journal import lines

BATCH = 2_000
TAIL = 256
MOST_HITS = 100_000
LONGEST_TEXT = 200_000
"""Characters of one line's text that are searched."""

_TABLES = """
CREATE VIRTUAL TABLE said USING fts5(text, content='', tokenize='unicode61 remove_diacritics 2');
CREATE TABLE mark (bytes INTEGER NOT NULL, tail TEXT NOT NULL) STRICT;
INSERT INTO mark VALUES (0, '');
PRAGMA user_version = 1;
"""


def cache_dir(environ: Mapping[str, str] = os.environ) -> Path:
    """Where the search indexes lie: `$SYNTHAGENT_CACHE/viewer`, else `synthagent/viewer` in the user's cache (XDG)."""
    if given := environ.get("SYNTHAGENT_CACHE"):
        return Path(given) / "viewer"
    shared = environ.get("XDG_CACHE_HOME", "")
    return (Path(shared) if Path(shared).is_absolute() else Path.home() / ".cache") / "synthagent" / "viewer"


class Texts:
    """The texts of one file, searchable. One thread at a time."""

    def __init__(self, source: Path, cache: Path | None, words: Callable[[Json], str]):
        """`words`: what of a line is searched. Without a cache, or where it cannot be written, it is in memory."""
        self._source, self._words = source, words
        name = hashlib.sha256(str(source.resolve()).encode()).hexdigest()[:24]
        self._file = cache / f"{name}.sqlite" if cache is not None else None
        self._database: sqlite3.Connection | None = None

    def find(self, asked: str) -> list[int]:
        """Offsets of the lines that hold every word (or its beginning) of what was asked, in file order.

        Raises `InputError` for a file that is broken in the middle.
        """
        query = _query(asked)
        database = self._caught_up()
        if not query:
            return []
        sql = "SELECT rowid FROM said WHERE said MATCH ? ORDER BY rowid LIMIT ?"
        return [row[0] for row in database.execute(sql, (query, MOST_HITS))]

    def close(self) -> None:
        """Lets go of the index. Harmless when closed."""
        if self._database is not None:
            self._database.close()
            self._database = None

    def _caught_up(self) -> sqlite3.Connection:
        database = self._database = self._database or self._opened()
        while True:
            # The mark is read within the transaction: another viewer may be at the same file.
            database.execute("BEGIN IMMEDIATE")
            try:
                end, tail = database.execute("SELECT bytes, tail FROM mark").fetchone()
                if _tail(self._source, end) != tail:
                    database.execute("INSERT INTO said(said) VALUES ('delete-all')")
                    end = 0
                count = 0
                for offset, text, after in islice(self._new(end), BATCH):
                    database.execute("INSERT INTO said(rowid, text) VALUES (?, ?)", (offset, text))
                    end, count = after, count + 1
                database.execute("UPDATE mark SET bytes = ?, tail = ?", (end, _tail(self._source, end)))
                database.execute("COMMIT")
            except BaseException:
                if database.in_transaction:
                    database.execute("ROLLBACK")
                raise
            if count < BATCH:
                return database

    def _new(self, start: int) -> Iterator[tuple[int, str, int]]:
        for found in lines(self._source, start) if self._source.is_file() else ():
            # What holds a lone surrogate or NUL is searched without it.
            text = self._words(found.value)[:LONGEST_TEXT].replace("\0", " ").encode(errors="replace").decode()
            yield found.span.offset, text, found.span.end

    def _opened(self) -> sqlite3.Connection:
        if self._file is not None:
            with suppress(OSError, sqlite3.Error):
                self._file.parent.mkdir(parents=True, exist_ok=True)
                return _connected(str(self._file))
            with suppress(OSError, sqlite3.Error):  # another's file, or a broken one: built again
                self._file.unlink()
                return _connected(str(self._file))
        return _connected(":memory:")


def _connected(name: str) -> sqlite3.Connection:
    database = sqlite3.connect(name, timeout=10.0, isolation_level=None, check_same_thread=False)
    try:
        [version] = database.execute("PRAGMA user_version").fetchone()
        if version == 0:
            database.executescript(_TABLES)
        database.execute("SELECT bytes FROM mark").fetchone()
        database.execute("PRAGMA synchronous = OFF").close()  # what is lost is read again
    except sqlite3.Error:
        database.close()
        raise
    return database


def _query(asked: str) -> str:
    """Words that must all occur; the last letters of each may be missing. No operator of FTS5 gets through."""
    words = [word.replace('"', '""') for word in asked.replace("\0", " ").split()]
    return " ".join(f'"{word}"*' for word in words if any(letter.isalnum() for letter in word))


def _tail(path: Path, end: int) -> str:
    """A hash of the bytes before a mark, and of the file's first ones: whether it is the file that was indexed."""
    if end == 0:
        return ""
    try:
        with path.open("rb") as stream:
            head = stream.read(min(TAIL, end))
            stream.seek(max(0, end - TAIL))
            return hashlib.sha256(head + stream.read(min(TAIL, end))).hexdigest()
    except OSError:
        return "unreadable"


def episode_words(value: Json) -> str:
    """What is searched of an episode: all that was said, called and answered, and who played what."""
    found: list[Any] = [value.get("agent"), value.get("task_id"), value.get("stop")]
    for event in value.get("events") or ():
        found += [event.get("text"), event.get("message"), event.get("answer"), event.get("error")]
        found += [event.get("tool"), event.get("response")]
        found += [part for call in event.get("calls") or () for part in (call.get("name"), call.get("arguments"))]
    return "\n".join(text for text in found if isinstance(text, str))


def task_words(value: Json) -> str:
    """What is searched of a task: brief, user, workflow, rubric, persona, the names of its tools."""
    brief, hidden, note = value.get("brief") or {}, value.get("hidden") or {}, value.get("provenance") or {}
    found: list[Any] = [value.get("id"), value.get("family"), brief.get("instruction"), hidden.get("goal")]
    found += [note.get("persona"), note.get("domain"), *(note.get("templates") or ()), *(note.get("features") or ())]
    found += [*(brief.get("rules") or ()), *(value.get("workflow") or ())]
    found += [
        tool["function"].get("name") for tool in brief.get("tools") or () if isinstance(tool.get("function"), dict)
    ]
    found += [fact.get("text") for fact in hidden.get("facts") or ()]
    for part in (value.get("rubric") or {}).values():
        found += [criterion.get("text") for criterion in part if isinstance(criterion, dict)]
    return "\n".join(text for text in found if isinstance(text, str))
