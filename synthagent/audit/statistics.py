"""The figures by which the paper describes its data, for a task set and a run of ours."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from synthagent.schema.episodes import Episode, ToolEvent, UserEvent
from synthagent.schema.tasks import Task
from synthagent.synthesis.world import TRANSFER

PAPER: Mapping[str, float] = {
    "tools_per_task": 4.1,
    "interactions": 13.4,
    "map_size": 30.1,
    "tokens_per_task": 25_278,
}
"""Lyu et al., *Mock Worlds, Real Skills*: sections 3.1, 3.2 and appendix."""


@dataclass(frozen=True, slots=True)
class SetFigures:
    """Means over a task set; None where there is nothing to average."""

    tasks: int
    tools_per_task: float | None
    """The hand-over to a human, which every task has, not counted."""
    tokens_per_task: float | None
    """Tokens that the teacher spent."""


def of_tasks(tasks: Sequence[Task]) -> SetFigures:
    """What a task set is like."""
    tools = [sum(tool.name != TRANSFER for tool in task.brief.tools) for task in tasks]
    return SetFigures(len(tasks), _mean(tools), _mean([task.provenance.tokens for task in tasks]))


def interactions(episodes: Iterable[Episode]) -> float | None:
    """Mean number of tool calls and of exchanges with the user in an episode."""
    return _mean([sum(isinstance(event, ToolEvent | UserEvent) for event in one.events) for one in episodes])


def map_size(sizes: Mapping[str, int]) -> float | None:
    """Mean number of answers that a response map holds for a world, of worlds for which it holds any."""
    return _mean([size for size in sizes.values() if size])


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
