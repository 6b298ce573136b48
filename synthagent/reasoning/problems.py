"""A question with an answer: what reasoning tasks are made of, and what the mathematics and search benchmarks hold."""

from typing import Literal

from synthagent.schema.record import Record

AnswerKind = Literal["math", "text"]
"""`math`: answers are compared as mathematics. `text`: word for word, then by a judge."""
ToolName = Literal["python", "search"]


class Problem(Record):
    """One question."""

    id: str
    """In its own data set."""
    question: str
    gold: str | None = None
    """The answer; None where nobody knows it yet."""
    answer: AnswerKind = "math"
    tools: tuple[ToolName, ...] = ()
    """What may be used to find the answer."""
    source: str = ""
    """The data set, with its revision."""
    licence: str = ""
