"""Problems of a file: JSONL, a JSON list, or parquet, under the names that published sets use."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast, get_args

import orjson

from synthagent.errors import InputError
from synthagent.reasoning.problems import Problem, ToolName
from synthagent.schema.checks import AnswerKind
from synthagent.scoring.answers import boxed

QUESTION = ("question", "problem", "prompt", "query", "input")
"""Keys of a question; the first that is there counts."""
ANSWER = ("answer", "gold", "gt_answer", "final_answer", "expected_answer", "ground_truth", "target", "solution")
"""Keys of its answer, likewise. Of a `solution` only what it boxes, or puts behind `####`, is the answer."""
IDS = ("id", "problem_id", "unique_id", "qid")
TOOLS: Mapping[AnswerKind, tuple[ToolName, ...]] = {"math": ("python",), "text": ("search",)}
"""What is offered unless it is said otherwise."""


def read_problems(
    path: Path, kind: AnswerKind = "math", tools: Sequence[ToolName] | None = None, *, source: str = "",
    licence: str = "",
) -> Iterator[Problem]:  # fmt: skip
    """The problems of a file in order. What a row says itself (`kind`, `tools`, `licence`) comes first.

    `source`: the data set with its revision; empty: the file's name. Raises `InputError` naming file and row.
    """
    source = source or path.stem
    for number, row in enumerate(rows_of(path), start=1):
        where = f"{path}:{number}"
        if not isinstance(row, Mapping):
            raise InputError("a problem is a JSON object", where=where)
        yield _problem(row, where, str(number), kind, tools, source, licence)


def rows_of(path: Path) -> Iterator[Any]:
    """The rows of a JSONL, JSON or parquet file, by its suffix. Raises `InputError`."""
    try:
        if path.suffix == ".parquet":
            yield from _parquet(path)
        elif path.suffix == ".json":
            data = orjson.loads(path.read_bytes())
            if not isinstance(data, list):
                raise InputError("expected a list of problems", where=str(path))
            yield from data
        else:
            with path.open("rb") as lines:
                for number, line in enumerate(lines, start=1):
                    if line.strip():
                        yield _line(line, f"{path}:{number}")
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror or error}", where=str(path)) from error
    except orjson.JSONDecodeError as error:
        raise InputError(f"not JSON: {error}", where=str(path)) from error


def _line(raw: bytes, where: str) -> Any:
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise InputError(f"not JSON: {error}", where=where) from error


def _parquet(path: Path) -> Iterator[Any]:
    try:
        from pyarrow import ArrowException
        from pyarrow.parquet import ParquetFile
    except ImportError as error:
        raise InputError(f"parquet takes pyarrow ({error})", where=str(path), way_out="pip install pyarrow") from error
    try:
        with ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=256):
                yield from batch.to_pylist()
    except (ArrowException, ValueError) as error:
        raise InputError(f"no parquet file: {error}", where=str(path)) from error


def _problem(
    row: Mapping[str, Any], where: str, number: str, kind: AnswerKind, tools: Sequence[ToolName] | None, source: str,
    licence: str,
) -> Problem:  # fmt: skip
    question = _question(_first(row, QUESTION))
    if question is None:
        raise InputError(f"no question: expected one of {', '.join(QUESTION)}", where=where)
    own_kind = row.get("kind", kind)
    if own_kind not in get_args(AnswerKind):
        raise InputError(f"kind: '{own_kind}' is not one of {', '.join(get_args(AnswerKind))}", where=where)
    own_tools = row.get("tools", tools if tools is not None else TOOLS[own_kind])
    if not isinstance(own_tools, list | tuple) or any(tool not in get_args(ToolName) for tool in own_tools):
        raise InputError(f"tools: expected a list of {', '.join(get_args(ToolName))}", where=where)
    found = _first(row, IDS)
    return Problem(
        id=number if found is None else str(found),
        question=question,
        gold=_gold(row),
        answer=cast(AnswerKind, own_kind),
        tools=tuple(own_tools),
        source=source,
        licence=str(row.get("licence") or row.get("license") or licence),
    )


def _first(row: Mapping[str, Any], names: Sequence[str]) -> Any:
    return next((row[name] for name in names if row.get(name) is not None), None)


def _question(value: Any) -> str | None:
    """The text, or what the user says last in a chat."""
    if isinstance(value, list):
        said = [m.get("content") for m in value if isinstance(m, Mapping) and m.get("role", "user") == "user"]
        value = said[-1] if said else None
    return value.strip() if isinstance(value, str) and value.strip() else None


def _gold(row: Mapping[str, Any]) -> str | None:
    name = next((name for name in ANSWER if row.get(name) is not None), None)
    value = row[name] if name else None
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if not isinstance(value, str | int | float) or isinstance(value, bool):
        return None
    text = str(value).strip()
    if "####" in text:  # as in GSM8K
        return text.rpartition("####")[2].strip() or None
    if name == "solution":
        boxes = boxed(text)
        return boxes[-1].strip() or None if boxes else None
    return text or None
