"""What a judge may cite: code verifies that an event exists and is of the kind that can prove the criterion."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from synthagent.schema.episodes import AgentEvent, Episode, Event, ToolEvent, UserEvent
from synthagent.schema.tasks import Brief, Criterion, Rubric
from synthagent.scoring.transcript import Transcript

Part = Literal["forbidden", "subgoal", "interaction"]
Evidence = Literal["call", "message"]


@dataclass(frozen=True, slots=True)
class Open:
    """A criterion that a judge is asked about."""

    part: Part
    criterion: Criterion
    tools: frozenset[str] = frozenset()
    """A forbidden behaviour that names tools: only a call of one of them can prove it."""

    @property
    def evidence(self) -> tuple[Evidence, ...]:
        """The kinds of events that can prove it."""
        if self.criterion.evidence:
            return self.criterion.evidence
        return ("message",) if self.part == "interaction" else ("call", "message")


def opened(rubric: Rubric, brief: Brief, *, all_: bool = False) -> list[Open]:
    """The criteria that code cannot decide; all of them with `all_`."""
    names = [tool.name for tool in brief.tools]
    parts: tuple[tuple[Part, Sequence[Criterion]], ...] = (
        ("forbidden", rubric.forbidden), ("subgoal", rubric.subgoals), ("interaction", rubric.interactions),
    )  # fmt: skip
    return [
        Open(part, criterion, _named(criterion.text, names) if part == "forbidden" else frozenset())
        for part, criteria in parts
        for criterion in criteria
        if all_ or criterion.check is None
    ]


def _named(text: str, tools: Sequence[str]) -> frozenset[str]:
    return frozenset(name for name in tools if re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", text))


def proving(item: Open, episode: Episode) -> list[int]:
    """The events that could prove a criterion: without any, code knows that it does not hold."""
    return [number for number, event in enumerate(episode.events) if not _unfit(item, event)]


def complaints(item: Open, numbers: Sequence[int], episode: Episode, told: Transcript) -> Iterator[str]:
    """What is wrong with the events cited as proof, by the numbers they are told as, in words for the judge."""
    if not numbers:
        yield "cite the numbers of the events that prove it, or say cannot_tell"
    for number in numbers:
        place = told.place(number)
        if place is None:
            yield f"there is no event {number}"
        elif unfit := _unfit(item, episode.events[place]):
            yield f"event {number} is {unfit}"


def _unfit(item: Open, event: Event) -> str:
    """Why an event cannot prove a criterion; empty if it can."""
    match event:
        case ToolEvent(tool=tool, ok=ok):
            if "call" not in item.evidence:
                return "a call, which proves nothing that was to be said"
            if not ok:
                return "a call that failed"
            if item.tools and tool not in item.tools:
                return f"no call of {' or '.join(sorted(item.tools))}"
            return ""
        case UserEvent():
            if "message" not in item.evidence or item.tools:
                return "a message, not a call"
            return ""
        case AgentEvent(answer=str()):
            if "message" not in item.evidence or item.tools:
                return "a message, not a call"
            # A last word gets no reply: nothing was learned from the user there.
            return "a last word that nobody answered" if item.part == "interaction" else ""
        case _:
            return "nothing that the record shows"
