"""A question with an answer: what reasoning tasks are made of, and what the mathematics and search benchmarks hold."""

from synthagent.schema.checks import AnswerKind
from synthagent.schema.record import Record
from synthagent.schema.tasks import Service

ToolName = Service


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
