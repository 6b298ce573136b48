"""Judges that are doubles: what they are asked, read back from the prompt, and answers in the form that is wanted."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from synthagent.llm.model import ChatRequest
from synthagent.llm.scripted import Scripted
from synthagent.llm.structured import Ladder, Structured
from synthagent.scoring.judge import Judge

_RECORD = re.compile(r"^<record ([0-9a-f]+)>\n(.*)\n?^</record \1>$", re.M | re.S)


@dataclass(frozen=True)
class Asked:
    """What a judge sees: the statements by label, and the record's lines by number."""

    statements: dict[str, str]
    events: dict[int, Any]
    record: str
    system: str
    again: bool
    """It is a second turn: the first answer was sent back."""

    def number_of(self, **wanted: Any) -> int:
        """The number of the first event that shows this."""
        return next(n for n, event in self.events.items() if wanted.items() <= event.items())


def asked_in(messages: Sequence[Mapping[str, Any]]) -> Asked:
    """A judge's prompt, read back."""
    system = next(m["content"] for m in messages if m["content"].startswith("You check what an assistant did"))
    user = next(m["content"] for m in messages if m["role"] == "user")
    record = _RECORD.search(user)
    assert record is not None
    lines = [orjson.loads(line) for line in record[2].splitlines() if line]
    told = user[record.end() :].partition("Statements:\n")[2]
    statements = dict(line.removeprefix("- ").split(": ", 1) for line in told.splitlines() if line)
    events = {line["event"]: line for line in lines}
    return Asked(statements, events, record[0], system, any(m["role"] == "assistant" for m in messages))


def ruling(verdict: str, *events: int, sure: bool = True) -> dict[str, Any]:
    """One statement decided, in the form that a judge answers in."""
    return {"seen": "as it is written", "verdict": verdict, "events": list(events), "sure": sure}


def written(rulings: Mapping[str, Any]) -> str:
    """An answer as a model writes it."""
    return orjson.dumps(dict(rulings)).decode()


Says = Callable[[str, Asked], Any]
"""(statement, everything) -> the item."""


def deciding(says: Says) -> Callable[[ChatRequest], str]:
    """A model's answer that decides each statement by itself."""

    def answer(request: ChatRequest) -> str:
        seen = asked_in(request.messages)
        return written({label: says(text, seen) for label, text in seen.statements.items()})

    return answer


def judge_of(model: Scripted, mode: Any = "checks", **how: Any) -> Judge:
    """A judge over a scripted model, which is told the wanted schema in the prompt."""
    return Judge(Structured(model, Ladder("prompt")), model.name, mode, **how)
