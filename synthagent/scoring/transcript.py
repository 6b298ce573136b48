"""An episode as a judge reads it: numbered lines of JSON between two marks, everything in them data.

Line breaks in what was said or answered are escaped, so that no text can start a line of its own; the mark hangs on the
whole record, so that no text can hold it. What an agent writes beside a call nobody hears, and the judge does not.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from synthagent.schema.episodes import AgentEvent, Episode, Event, ToolEvent, UserEvent

LENGTHS = (1200, 400, 150)
"""Characters of one text that are shown, tried one after another until the record fits."""
MOST = 24_000
"""Characters of a record; one that is longer even when cut most is shown all the same."""


@dataclass(frozen=True, slots=True)
class Transcript:
    """A record as it is told."""

    text: str
    places: tuple[int, ...]
    """Indices of the episode's events that are shown: the first of them is number 1."""

    def place(self, number: int) -> int | None:
        """The index of the event that is told as this number; None if there is none."""
        return self.places[number - 1] if 1 <= number <= len(self.places) else None


def transcript(episode: Episode) -> Transcript:
    """The record, fenced: calls, exchanges with the user, an agent's last word."""
    places = tuple(place for place, event in enumerate(episode.events) if _told(event, 0))
    for most in LENGTHS:
        text = _text([episode.events[place] for place in places], most)
        if len(text) <= MOST:
            break
    mark = hashlib.sha256(text.encode()).hexdigest()[:12]
    return Transcript(f"<record {mark}>\n{text}\n</record {mark}>", places)


_BREAKS = str.maketrans({"\x85": "\\u0085", "\u2028": "\\u2028", "\u2029": "\\u2029"})
"""Line breaks that JSON lets stand."""


def _text(events: Sequence[Event], most: int) -> str:
    lines = ({"event": number, **_told(event, most)} for number, event in enumerate(events, start=1))
    return "\n".join(orjson.dumps(line).decode().translate(_BREAKS) for line in lines)


def _told(event: Event, most: int) -> dict[str, Any]:
    """An event in the judge's words; empty for one that is not shown."""
    if isinstance(event, ToolEvent):
        arguments = orjson.dumps(event.arguments).decode()
        result = {"result" if event.ok else "failed": _cut(event.response, most)}
        return {"call": _cut(event.tool, most), "arguments": _cut(arguments, most), **result}
    if isinstance(event, UserEvent):
        return {"agent_said": _cut(event.message, most), "user_said": _cut(event.text, most)}
    if isinstance(event, AgentEvent) and event.answer is not None:
        return {"agent_said": _cut(event.answer, most)}
    return {}


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[:most]} ... ({len(text) - most} more characters)"
