"""A folder of documents, read one by one: .txt and .md are a document each, .jsonl holds one a line."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import orjson

from synthagent.errors import InputError

KINDS = (".txt", ".md", ".jsonl")
MOST_BYTES = 16 * 1024 * 1024
"""Of one document."""
_FIELDS = ("title", "url", "text")


@dataclass(frozen=True, slots=True)
class Document:
    """Something to be found."""

    title: str
    url: str
    """Its address; for a file its path within the folder."""
    text: str


def files_of(folder: Path) -> list[Path]:
    """The files that `documents` reads, in the order in which it does; hidden ones are left out.

    Raises `InputError` when there are none.
    """
    if not folder.is_dir():
        raise InputError("no folder", where=str(folder))
    inside = ((path, path.relative_to(folder)) for path in folder.rglob("*") if path.suffix.lower() in KINDS)
    found = [(name.as_posix(), path) for path, name in inside if path.is_file() and not _hidden(name)]
    if not found:
        raise InputError("holds no documents", where=str(folder), way_out=f"files that end in {', '.join(KINDS)}")
    return [path for _, path in sorted(found)]


def documents(folder: Path, read: Callable[[int], object] = lambda _: None) -> Iterator[Document]:
    """The documents of a folder, in an order that depends on nothing but their names and lines.

    Files without text are none. `read` hears how many bytes each took. Raises `InputError` that names the file and,
    where there are lines, the line of whatever is no document.
    """
    for path in files_of(folder):
        try:
            if path.suffix.lower() == ".jsonl":
                yield from _lines(path, read)
            else:
                text = _whole(path)
                read(path.stat().st_size)
                if text.strip():
                    yield Document(_title(path, text), path.relative_to(folder).as_posix(), text)
        except OSError as error:
            raise InputError(f"cannot be read: {error.strerror}", where=str(path)) from error


def _hidden(name: Path) -> bool:
    return any(part.startswith(".") for part in name.parts)


def _whole(path: Path) -> str:
    if path.stat().st_size > MOST_BYTES:
        raise InputError(f"larger than {MOST_BYTES} bytes", where=str(path), way_out="split it, or use JSONL")
    content = path.read_bytes()
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InputError("not UTF-8", where=f"{path}:{line}") from error


def _title(path: Path, text: str) -> str:
    """A Markdown file's first heading, else the file's name."""
    if path.suffix.lower() == ".md":
        heading = next((line for line in text.splitlines() if line.startswith("# ")), "")
        if heading.strip("# "):
            return heading.strip("# ")
    return path.stem


def _lines(path: Path, read: Callable[[int], object]) -> Iterator[Document]:
    with path.open("rb") as stream:
        number = 0
        while line := stream.readline(MOST_BYTES + 1):
            number += 1
            where = f"{path}:{number}"
            if len(line) > MOST_BYTES:
                raise InputError(f"a line of more than {MOST_BYTES} bytes", where=where)
            read(len(line))
            if line.strip():
                yield _document(line, where)


def _document(line: bytes, where: str) -> Document:
    try:
        data = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise InputError(f"not JSON: {error}", where=where) from error
    if not isinstance(data, dict):
        raise InputError("not an object", where=where, way_out='like {"title": ..., "url": ..., "text": ...}')
    for name in _FIELDS:
        if not isinstance(data.get(name), str):
            raise InputError(f"{name}: {'no text' if name in data else 'missing'}", where=where)
    if not data["text"].strip():
        raise InputError("text: empty", where=where)
    return Document(data["title"], data["url"], data["text"])
