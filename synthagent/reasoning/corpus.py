"""A local corpus to search: documents in an SQLite file, found through FTS5 and ordered by BM25.

No network, no model, the same hits on every machine. Queries are hostile: no word of one is ever FTS5 syntax
(https://sqlite.org/fts5.html#full_text_query_syntax) or SQL. Over 100,000 made-up documents of 60 words, on a busy
machine, ten words took 15 ms (median), and 0.2 s where they were drawn as often as a running text has them.
"""

import hashlib
import os
import re
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from urllib.parse import quote

import anyio
import anyio.to_thread

from synthagent.errors import InputError, RunFolderError
from synthagent.reasoning.documents import Document
from synthagent.reasoning.search import Hit, SearchFailed, SearchSettings, cleaned, hits_of

CORPUS_SCHEMA = "synthagent.corpus/1"
_MOST_TERMS = 32
"""Words of a query that count; one word more is one more list of documents to go through."""
_SNIPPET_TOKENS = 64
"""FTS5 gives no longer snippets."""
_TABLES = (
    "CREATE TABLE about (schema TEXT NOT NULL, documents INTEGER NOT NULL, digest TEXT NOT NULL)",
    "CREATE VIRTUAL TABLE pages USING fts5 "
    "(title, text, url UNINDEXED, tokenize = 'porter unicode61 remove_diacritics 2')",
)
_COUNT = "SELECT count(*) FROM pages WHERE pages MATCH ?"
_BEST = "SELECT rowid FROM pages WHERE pages MATCH ? ORDER BY bm25(pages, 2.0, 1.0), rowid LIMIT ?"
# Snippets only of what is shown: beside the order, SQLite would make one of every page that matches.
_SHOWN = "SELECT title, url, snippet(pages, 1, '', '', '...', ?) FROM pages WHERE pages MATCH ? AND rowid = ?"
_TERM = re.compile(r"[^\W_]+")
_MOST_PAGES = 50_000
"""Pages that are put in order for a query, about: its rarest words are taken until they have so many."""
_REMEMBERED = 100_000
"""Words whose number of pages is kept in memory."""


@dataclass(frozen=True, slots=True)
class Built:
    """What became a corpus."""

    documents: int
    digest: str
    """Of all documents in their order: 16 hex digits."""


def build(documents: Iterable[Document], out: Path, told: Callable[[int], object] = lambda _: None) -> Built:
    """Writes a corpus, whole or not at all; a file that is there is replaced. Documents are never held all at once.

    Equal documents in equal order give equal hits. `told` hears the number of documents so far after each. Raises
    `InputError` when there is no document, or when this Python's SQLite has no FTS5; `RunFolderError` when the file
    cannot be written.
    """
    target = out.resolve().with_name(f".{out.name}.{os.getpid()}.tmp")
    with _writing(out, target):
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        db = sqlite3.connect(target, isolation_level=None)
        try:
            built = _filled(db, documents, told)
        finally:
            db.close()
        if not built.documents:
            raise InputError("there is no document with any text")
        with target.open("rb") as stream:
            os.fsync(stream.fileno())
        target.replace(out.resolve())
    return built


class Corpus:
    """A `SearchBackend` over a corpus file, which is only read. Queries run in a thread, one at a time."""

    def __init__(self, path: Path, db: sqlite3.Connection, digest: str, documents: int, settings: SearchSettings):
        self.path, self.settings, self.documents = path, settings, documents
        self.name = f"corpus:{digest}"
        self._db, self._turn = db, anyio.Lock()
        self._counts: dict[str, int] = {}

    @classmethod
    def open(cls, path: Path, settings: SearchSettings | None = None) -> "Corpus":
        """The corpus in a file. Raises `InputError` when it is none."""
        way_out = "make one: synthagent corpus build DIR --out FILE.sqlite"
        if not path.is_file():
            raise InputError("no such file", where=str(path), way_out=way_out)
        # Immutable: no locks, no journal files beside it, and nothing is written even if something wanted to.
        where = f"file:{quote(str(path.resolve()))}?mode=ro&immutable=1"
        db = sqlite3.connect(where, uri=True, check_same_thread=False)
        try:
            db.execute("PRAGMA trusted_schema = OFF")
            db.execute("PRAGMA query_only = ON")
            rows = db.execute("SELECT schema, documents, digest FROM about LIMIT 2").fetchall()
            there = {row[0] for row in db.execute("SELECT sql FROM sqlite_master WHERE name IN ('about', 'pages')")}
        except sqlite3.Error as error:
            db.close()
            raise InputError(f"no corpus: {error}", where=str(path), way_out=way_out) from error
        if len(rows) != 1 or rows[0][0] != CORPUS_SCHEMA or there != set(_TABLES):
            db.close()
            raise InputError("no corpus that this version knows", where=str(path), way_out=way_out)
        return cls(path, db, str(rows[0][2]), int(rows[0][1]), settings or SearchSettings())

    async def search(self, query: str) -> tuple[Hit, ...]:
        """See `SearchBackend.search`: pages that hold any of the words, those with the rarest and most first."""
        terms = terms_of(query)
        if not terms:
            return ()
        async with self._turn:
            return await anyio.to_thread.run_sync(self._found, terms)

    async def aclose(self) -> None:
        """Closes the file."""
        async with self._turn:
            self._db.close()

    def _found(self, terms: list[str]) -> tuple[Hit, ...]:
        try:
            wanted = " OR ".join(map(quoted, self._worthwhile(terms)))
            best = self._db.execute(_BEST, (wanted, self.settings.top)).fetchall() if wanted else []
            rows = [self._db.execute(_SHOWN, (_SNIPPET_TOKENS, wanted, row[0])).fetchone() for row in best]
        except sqlite3.ProgrammingError as error:
            raise SearchFailed(f"{self.path}: {error}", reason="closed") from error
        except sqlite3.Error as error:
            raise SearchFailed(f"{self.path}: {error}", reason="corpus_damaged") from error
        return hits_of((row for row in rows if row is not None), self.settings)

    def _worthwhile(self, terms: list[str]) -> list[str]:
        """The rarest words that any page holds, as many as `_MOST_PAGES` allows, at least one.

        What nearly every page holds orders nothing, and would have nearly every page put in order.
        """
        counted = sorted((pages, term) for term in terms if (pages := self._pages_with(term)))
        sums = accumulate(pages for pages, _ in counted)
        return [term for place, ((_, term), total) in enumerate(zip(counted, sums, strict=True))
                if not place or total <= _MOST_PAGES]  # fmt: skip

    def _pages_with(self, term: str) -> int:
        known = self._counts.get(term)
        if known is None:
            if len(self._counts) >= _REMEMBERED:
                self._counts.clear()
            known = self._counts[term] = int(self._db.execute(_COUNT, (quoted(term),)).fetchone()[0])
        return known


def terms_of(query: str) -> list[str]:
    """The different words of a query, letters and digits only, at most `_MOST_TERMS`, in their order."""
    return list(dict.fromkeys(_TERM.findall(cleaned(query).casefold())))[:_MOST_TERMS]


def quoted(term: str) -> str:
    """A word as an FTS5 string, whose inside is never syntax."""
    return '"' + term.replace('"', '""') + '"'


def _filled(db: sqlite3.Connection, documents: Iterable[Document], told: Callable[[int], object]) -> Built:
    db.execute("PRAGMA journal_mode = OFF")  # the file is thrown away unless it is finished
    db.execute("PRAGMA synchronous = OFF")
    try:
        for table in _TABLES:
            db.execute(table)
    except sqlite3.OperationalError as error:
        if "fts5" in str(error):
            raise InputError("this Python's SQLite has no FTS5", way_out="use another Python") from error
        raise
    digest, count = hashlib.sha256(), 0
    db.execute("BEGIN")
    for document in documents:
        row = [text.replace("\0", " ") for text in (document.title, document.text, document.url)]
        for text in row:
            digest.update(b"%d:" % len(text) + text.encode())
        db.execute("INSERT INTO pages (title, text, url) VALUES (?, ?, ?)", row)
        count += 1
        told(count)
    db.execute("INSERT INTO about VALUES (?, ?, ?)", (CORPUS_SCHEMA, count, digest.hexdigest()[:16]))
    db.execute("INSERT INTO pages (pages) VALUES ('optimize')")
    db.execute("COMMIT")
    return Built(count, digest.hexdigest()[:16])


@contextmanager
def _writing(out: Path, target: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, sqlite3.Error) as error:
        why = (error.strerror if isinstance(error, OSError) else None) or error
        raise RunFolderError(f"{out}: could not be written ({why}); nothing was changed there") from error
    finally:
        with suppress(OSError):
            target.unlink(missing_ok=True)
