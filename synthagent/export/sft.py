"""Demonstrations as chat messages: what every fine-tuning library reads.

One JSON object a line. `tools` is a JSON string: tasks have tools of their own, and Arrow, which `datasets` loads rows
into, would merge their schemas into one and put keys of one task's tools into another's.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import orjson

from synthagent.rollouts.histories import refusal, turns
from synthagent.schema.episodes import Episode
from synthagent.schema.messages import Message
from synthagent.schema.scores import Score
from synthagent.schema.tasks import Task
from synthagent.simulation.agent import opening, tools_for

Scored = tuple[Task, Episode, Score | None]
"""An episode with its task and what it is worth."""


def write_sft(episodes: Iterable[Scored], threshold: float, write: Callable[[bytes], None]) -> Mapping[str, int]:
    """Writes the episodes that earned `threshold`, a line each. How many were written, and why others were not.

    An episode in which the agent was corrected (a malformed turn or call) is not to be imitated.
    """
    counts: dict[str, int] = {"written": 0}
    for task, episode, score in episodes:
        why = refusal(episode, score, threshold) or "written"
        counts[why] = counts.get(why, 0) + 1
        if why == "written":
            write(orjson.dumps(row_of(task, episode, score)) + b"\n")
    return counts


def row_of(task: Task, episode: Episode, score: Score | None) -> dict[str, Any]:
    """One line."""
    return {
        "messages": messages_of(task, episode),
        "tools": orjson.dumps(tools_for(task.brief, episode.protocol)).decode(),
        "task_id": task.id,
        "family": task.family,
        "sample": episode.sample,
        "agent": episode.agent,
        "protocol": episode.protocol,
        "reward": getattr(score, "reward", None),
    }


def messages_of(task: Task, episode: Episode) -> list[Message]:
    """The whole conversation in OpenAI's form, as the agent had it. Raises `ValueError` where it was corrected."""
    found = opening(task.brief, episode.protocol, task.world.now)
    for turn in turns(episode):
        found += [turn.message, *turn.answers]
    return found
