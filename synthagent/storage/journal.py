"""An append-only JSONL file: whatever stops the writer, every line but a torn last one stays.

The journals of a run folder are the truth; everything else is computed from them.
"""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self, TypeVar

import orjson
from pydantic import ValidationError

from synthagent.errors import InputError, RunFolderError
from synthagent.schema.record import Json, Record, line
from synthagent.storage.complaints import complaints

CHUNK = 1 << 16
R = TypeVar("R", bound=Record)


class Span(NamedTuple):
    """Where a line stands in its file, in bytes; the length includes the newline."""

    offset: int
    length: int

    @property
    def end(self) -> int:
        return self.offset + self.length


class Line(NamedTuple):
    """One line as read back."""

    span: Span
    value: Json


class Journal:
    """A journal open for appending by one process. Use `open`."""

    def __init__(self, path: Path, descriptor: int, size: int, cut: int):
        self.path = path
        self.size = size
        """Bytes of whole lines."""
        self.cut = cut
        """Bytes of a torn last line that were cut off on opening; 0 when the journal was whole."""
        self._descriptor: int | None = descriptor
        self._damaged = False

    @classmethod
    def open(cls, path: Path) -> "Journal":
        """Open for appending, creating the file if there is none. A torn last line is cut off (see `cut`).

        Raises `RunFolderError` when the file cannot be opened or mended.
        """
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise RunFolderError(f"{path}: cannot be opened for writing ({error.strerror})") from error
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                return cls(path, descriptor, 0, 0)
            whole = _whole(descriptor, status.st_size)
            if whole < status.st_size:
                os.ftruncate(descriptor, whole)
        except OSError as error:
            os.close(descriptor)
            raise RunFolderError(f"{path}: its torn last line could not be cut off ({error.strerror})") from error
        return cls(path, descriptor, whole, status.st_size - whole)

    def append(self, value: Json) -> Span:
        """Add one line. It is in the file, whole, when this returns: a kill afterwards does not lose it.

        Raises `InputError` for a value that JSON cannot hold (lone surrogates, integers beyond 64 bits, nesting
        beyond 254), and `RunFolderError` when the disk is full, a limit is hit or the device fails. In both cases
        the journal is as it was before.
        """
        if self._descriptor is None or self._damaged:
            raise RunFolderError(f"{self.path}: this journal is {'damaged' if self._damaged else 'closed'}")
        try:
            data = line(value)
        except TypeError as error:
            raise InputError(f"a record cannot be written as JSON: {error}", where=str(self.path)) from error
        span = Span(self.size, len(data))
        written = 0
        try:
            # One write a line: the kernel takes it whole unless the disk fills up or a kill lands in the middle.
            while written < len(data):
                written += os.write(self._descriptor, data[written:] if written else data)
            self.size = span.end
        except OSError as error:
            self._roll_back(self._descriptor, span.offset, nothing_written=not written)
            raise RunFolderError(_full(self.path, error)) from error
        except BaseException:  # Ctrl-C: how much of the line arrived is unknown
            self._roll_back(self._descriptor, span.offset)
            raise
        return span

    def close(self) -> None:
        """Force the lines to the disk and close. Raises `RunFolderError` when the disk refuses. Harmless when closed.

        Only here: a killed process loses nothing that `write` took, since the kernel holds it. Only a power cut can,
        and it costs the last seconds of a run that `--resume` plays again; an fsync a line would cost milliseconds
        an episode to save those.
        """
        if self._descriptor is None:
            return
        descriptor, self._descriptor = self._descriptor, None
        try:
            os.fsync(descriptor)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # devices and pipes have nothing to force
                raise RunFolderError(_full(self.path, error)) from error
        finally:
            os.close(descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _roll_back(self, descriptor: int, size: int, *, nothing_written: bool = False) -> None:
        # Half a line in the middle would make the journal unreadable: it goes, or nothing may ever follow it.
        self._damaged = not nothing_written
        with suppress(OSError):
            os.ftruncate(descriptor, size)
            self.size, self._damaged = size, False


def lines(path: Path, start: int = 0) -> Iterator[Line]:
    """The lines from byte `start` on (the start of a line), one in memory at a time. A torn last line is left out.

    Raises `InputError` naming file and line for a broken line that is not the last, or a file that cannot be read.
    """
    try:
        if path.exists() and not path.is_file():
            raise InputError("not a regular file", where=str(path))  # a device may never end
        stream = path.open("rb")
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})", where=str(path)) from error
    with stream:
        stream.seek(start)
        offset = start
        # A line without its newline is a write in progress or a crash, even when it happens to parse ("12" of "123").
        while (raw := stream.readline()).endswith(b"\n"):
            try:
                value = orjson.loads(raw)
            except orjson.JSONDecodeError as error:
                if not stream.read(1):
                    return
                where = f"{path}:{line_number(path, offset)}"
                raise InputError(f"broken line: {error}", where=where, way_out="restore or remove this line") from error
            yield Line(Span(offset, len(raw)), value)
            offset += len(raw)


def read(path: Path) -> Iterator[Json]:
    """The values of a journal in order; see `lines`."""
    return (found.value for found in lines(path))


def records(path: Path, kind: type[R]) -> Iterator[R]:
    """The lines of a journal as records of one type. Raises `InputError` naming file, line and field otherwise."""
    for found in lines(path):
        yield typed(path, found, kind)


def typed(path: Path, found: Line, kind: type[R]) -> R:
    """One line as a record. Raises `InputError` naming file, line and field when it is none."""
    try:
        return kind.model_validate(found.value)
    except ValidationError as error:
        where = f"{path}:{line_number(path, found.span.offset)}"
        raise InputError(complaints(error, found.value), where=where) from error


def line_at(path: Path, span: Span) -> Line:
    """The one line at a known place. Raises `InputError` when no line stands there."""
    try:
        with path.open("rb") as stream:
            stream.seek(span.offset)
            return Line(span, orjson.loads(stream.read(span.length)))
    except (OSError, orjson.JSONDecodeError) as error:
        way_out = "delete index.sqlite beside it: it is built again"
        raise InputError(f"no line at byte {span.offset}", where=str(path), way_out=way_out) from error


def line_number(path: Path, offset: int) -> int:
    """The number, from 1, of the line that starts at a byte offset."""
    number = 1
    with path.open("rb") as stream:
        while offset > 0 and (chunk := stream.read(min(CHUNK, offset))):
            number += chunk.count(b"\n")
            offset -= len(chunk)
    return number


def _whole(descriptor: int, size: int) -> int:
    """How many bytes of the file are whole lines: all but a last line that has no newline or does not parse."""
    end = _line_start(descriptor, size)
    if end < size:
        return end
    start = _line_start(descriptor, end - 1) if end else 0
    try:
        if end:
            orjson.loads(_pread(descriptor, start, end))
    except orjson.JSONDecodeError:
        return start
    return end


def _line_start(descriptor: int, end: int) -> int:
    """Just after the last newline before `end`, looking backwards in chunks; 0 when there is none."""
    while end > 0:
        start = max(0, end - CHUNK)
        found = _pread(descriptor, start, end).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0


def _pread(descriptor: int, start: int, end: int) -> bytes:
    parts: list[bytes] = []
    while start < end and (part := os.pread(descriptor, end - start, start)):
        parts.append(part)
        start += len(part)
    return b"".join(parts)


def _full(path: Path, error: OSError) -> str:
    causes: dict[Any, str] = {
        errno.ENOSPC: "free some space",
        errno.EDQUOT: "free some space",
        errno.EFBIG: "raise the file size limit (ulimit -f)",
    }
    way_out = causes.get(error.errno, "check the disk")
    return (
        f"{path}: could not be written ({error.strerror}); everything before it is safe: "
        f"{way_out}, then run the same command with --resume"
    )
