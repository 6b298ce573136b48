"""Rows of a data file, each with its place: JSON, JSONL, CSV, TSV and Parquet."""

import csv
import io
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from synthagent.errors import InputError

LARGEST = 256 << 20
"""Bytes of the largest file that is read: all fourteen data sets together are smaller."""


class Row(NamedTuple):
    """One row of a file."""

    where: str
    """`FILE:LINE`; of formats without lines, `FILE[INDEX]`, counted from 0."""
    number: int
    """Which row, counted from 0."""
    values: Mapping[str, Any]


def read_rows(path: Path) -> Iterator[Row]:
    """The rows of a file in order. What it is, its name's ending says.

    Raises `InputError` naming file and line for a file that cannot be read, is too large, has another ending, or holds
    anything but rows with named columns; without pyarrow, for Parquet.
    """
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise InputError(f"'{path.suffix}' is no format that is read", where=str(path), way_out=", ".join(_READERS))
    try:
        if path.stat().st_size > LARGEST:
            raise InputError(f"larger than {LARGEST >> 20} MB", where=str(path))
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=str(path)) from error
    for number, (where, values) in enumerate(reader(path, data)):
        if not isinstance(values, dict):
            raise InputError("not an object with named columns", where=where)
        yield Row(where, number, values)


def _json(path: Path, data: bytes) -> Iterator[tuple[str, Any]]:
    value = _loads(data, str(path))
    if not isinstance(value, list):
        raise InputError("not a list of objects", where=str(path), way_out="one object a line is .jsonl")
    return ((f"{path}[{index}]", item) for index, item in enumerate(value))


def _jsonl(path: Path, data: bytes) -> Iterator[tuple[str, Any]]:
    for number, text in enumerate(data.split(b"\n"), start=1):
        if text.strip():
            yield f"{path}:{number}", _loads(text, f"{path}:{number}")


def _loads(data: bytes, where: str) -> Any:
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise InputError(f"not JSON: {error}", where=where) from error


def _separated(delimiter: str) -> Callable[[Path, bytes], Iterator[tuple[str, Any]]]:
    def read(path: Path, data: bytes) -> Iterator[tuple[str, Any]]:
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise InputError(f"not UTF-8: {error}", where=str(path)) from error
        reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
        try:
            for row in reader:
                where = f"{path}:{reader.line_num}"
                if None in row or None in row.values():
                    raise InputError("has more or fewer cells than the first line has names", where=where)
                yield where, row
        except csv.Error as error:
            raise InputError(str(error), where=f"{path}:{reader.line_num}") from error

    return read


def _parquet(path: Path, data: bytes) -> Iterator[tuple[str, Any]]:
    try:
        import pyarrow as arrow
        import pyarrow.parquet as parquet
    except ImportError as error:
        way_out = "pip install 'synthagent[parquet]', or give a .jsonl with --data-file"
        raise InputError("Parquet needs pyarrow", where=str(path), way_out=way_out) from error
    try:
        rows = parquet.read_table(arrow.BufferReader(data)).to_pylist()
    except (arrow.ArrowException, OSError) as error:
        raise InputError(f"no Parquet: {error}", where=str(path)) from error
    return ((f"{path}[{index}]", row) for index, row in enumerate(rows))


_READERS: Mapping[str, Callable[[Path, bytes], Iterator[tuple[str, Any]]]] = {
    ".json": _json, ".jsonl": _jsonl, ".csv": _separated(","), ".tsv": _separated("\t"), ".parquet": _parquet,
}  # fmt: skip
