"""How each data set is laid out, and a row of it as a problem.

Columns were taken from the cards of the data sets and from how other projects read them:

- AIME24, HuggingFaceH4/aime_2024: `id`, `problem`, `solution`, `answer`, `url`, `year`.
- AIME25, math-ai/aime25: `problem`, `answer`, `id`.
- HMMT25, MathArena/hmmt_feb_2025: `problem_idx`, `problem`, `answer`, `problem_type` (the card's "Data Fields").
- OlympiadBench, Hothan/OlympiadBench, configuration OE_TO_maths_en_COMP: `id`, `question`, `final_answer` (a list),
  `is_multiple_answer`, `unit`, `answer_type`, `error`, `subject`, `language`, `modality`
  (github.com/OpenBMB/OlympiadBench).
- FRAMES, google/frames-benchmark, test.tsv: `Prompt`, `Answer`, `reasoning_types`, `wiki_links`.
- WebWalkerQA, callanwu/WebWalkerQA: `question`, `answer`, `root_url`, `info` (the card writes them with a capital).
- xBench-DeepSearch, xbench/DeepSearch: `id`, `prompt`, `answer`, `canary`; prompt and answer are base64 of the text,
  XORed with the canary, over and over (github.com/xbench-ai/xbench-evals, xbench_evals.py).

Local copies under other names are taken too: see `QUESTION` and `ANSWER`.
"""

import base64
import binascii
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import cycle
from typing import Any

from synthagent.errors import InputError
from synthagent.evaluation.datasets.rows import Row
from synthagent.reasoning.problems import Problem, ToolName
from synthagent.schema.checks import AnswerKind

QUESTION = ("question", "problem", "prompt", "Question", "Problem", "Prompt")
ANSWER = ("answer", "final_answer", "gt_answer", "expected_answer", "Answer")
ID = ("id", "ID", "problem_idx", "unique_id")


@dataclass(frozen=True, slots=True)
class Shape:
    """What the rows of a data set hold."""

    answer: AnswerKind
    tools: tuple[ToolName, ...]
    gold: Callable[[str, str], str] = lambda text, _: text
    """(answer, where) -> the gold answer."""
    only: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Column -> what it may say, where it is there."""
    sealed: bool = False
    """Question and answer are encrypted with the row's canary, where it has one."""


def integer(text: str, where: str) -> str:
    """An answer to AIME: an integer from 0 to 999, without leading zeros. Raises `InputError`."""
    if not (text.isascii() and text.isdigit() and int(text) <= 999):
        raise InputError(f"answer: {text[:40]!r} is no integer from 0 to 999", where=where)
    return str(int(text))


_AIME = Shape("math", ("python",), integer)
_ENGLISH = {
    "modality": ("Text-only",), "language": ("English",), "subject": ("Math", "Maths", "Mathematics"),
}  # fmt: skip
SHAPES: Mapping[str, Shape] = {
    "aime24": _AIME,
    "aime25": _AIME,
    "hmmt25": Shape("math", ("python",)),
    "olympiadbench": Shape("math", ("python",), only=_ENGLISH),
    "frames": Shape("text", ("search",)),
    "webwalkerqa": Shape("text", ("search",)),
    "xbench": Shape("text", ("search",), sealed=True),
}


def problems(rows: Iterable[Row], shape: Shape, source: str, licence: str) -> list[Problem]:
    """Every row as a problem. Raises `InputError` naming file, line and field for a row that does not fit."""
    found: dict[str, Problem] = {}
    for row in rows:
        problem = _problem(row, shape, source, licence)
        if problem.id in found:
            raise InputError(f"id: {problem.id!r} is there twice", where=row.where)
        found[problem.id] = problem
    return list(found.values())


def _problem(row: Row, shape: Shape, source: str, licence: str) -> Problem:
    for column, allowed in shape.only.items():
        said = row.values.get(column)
        if said is not None and said not in allowed:
            raise InputError(f"{column}: {said!r} does not belong to this suite", where=row.where)
    question_column, question = _first(row, QUESTION, "question")
    answer_column, answer = _first(row, ANSWER, "answer")
    canary = row.values.get("canary")
    if shape.sealed and canary:
        question = unsealed(_text(question, question_column, row), str(canary), question_column, row.where)
        answer = unsealed(_text(answer, answer_column, row), str(canary), answer_column, row.where)
    number = next((row.values[name] for name in ID if row.values.get(name) not in (None, "")), row.number)
    if not isinstance(number, (str, int)):
        raise InputError(f"id: {number!r} is no name", where=row.where)
    return Problem(
        id=str(number),
        question=_text(question, question_column, row),
        gold=shape.gold(_answer(answer, answer_column, row), row.where),
        answer=shape.answer,
        tools=shape.tools,
        source=source,
        licence=licence,
    )


def _first(row: Row, names: tuple[str, ...], what: str) -> tuple[str, Any]:
    for name in names:
        if row.values.get(name) not in (None, "", []):
            return name, row.values[name]
    raise InputError(f"{what}: is missing", where=row.where, way_out=f"one of {', '.join(names)}")


def _text(value: Any, column: str, row: Row) -> str:
    """A text; of a conversation, what its user says last."""
    if isinstance(value, list) and value and all(isinstance(turn, dict) for turn in value):
        value = next((turn.get("content") for turn in reversed(value) if turn.get("role") == "user"), None)
    if not isinstance(value, str) or not value.strip():
        raise InputError(f"{column}: not a text", where=row.where)
    return value.strip()


def _answer(value: Any, column: str, row: Row) -> str:
    """An answer as a text. Of several that are all asked for, one after the other with commas between them."""
    if isinstance(value, list) and all(isinstance(part, str) for part in value):
        return ", ".join(part.strip() for part in value)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value)
    return _text(value, column, row)


def unsealed(text: str, canary: str, column: str, where: str) -> str:
    """A sealed text, in clear. Raises `InputError` for what was not sealed with this canary."""
    try:
        sealed = base64.b64decode(text, validate=True)
        return bytes(a ^ b for a, b in zip(sealed, cycle(canary.encode()), strict=False)).decode()
    except (binascii.Error, UnicodeDecodeError) as error:
        raise InputError(f"{column}: cannot be decoded with the row's canary", where=where) from error
