"""What is measured on: procedural tasks of all shipped domains, and the calls that their references make."""

import asyncio
from dataclasses import dataclass
from functools import cache
from itertools import chain, islice

from synthagent.schema.episodes import AgentEvent, Limits, ToolEvent
from synthagent.schema.tasks import Task
from synthagent.simulation.episode import Cast, Played, Stage, facts_user, play, prepare
from synthagent.simulation.scripted_agents import scripted
from synthagent.synthesis import personas
from synthagent.synthesis.procedural import domain
from synthagent.synthesis.procedural.teacher import families

LIMITS = Limits()


@cache
def tasks(n: int) -> tuple[Task, ...]:
    """The first n tasks of seed 0, mixed in domain and difficulty."""
    made = families(domain.shipped(), personas.shipped(), 0)
    return tuple(islice(chain.from_iterable(family.tasks for family in made), n))


@cache
def stages(n: int) -> tuple[Stage, ...]:
    """The same tasks, compiled."""
    return tuple(prepare(task) for task in tasks(n))


async def by_reference(stage: Stage) -> Played:
    """One episode of the reference agent."""
    return await play(stage, Cast(scripted("reference", stage), facts_user(stage)), LIMITS)


@dataclass(frozen=True)
class Script:
    """A stage and the calls of its reference: (tool, raw arguments), in order; all of them succeed."""

    stage: Stage
    calls: tuple[tuple[str, str], ...]


def scripts(n: int) -> list[Script]:
    """The stages whose reference calls a tool."""
    with asyncio.Runner() as runner:
        found = [Script(stage, _calls(runner.run(by_reference(stage)))) for stage in stages(n)]
    return [script for script in found if script.calls]


def _calls(played: Played) -> tuple[tuple[str, str], ...]:
    events = played.episode.events
    assert all(event.ok for event in events if isinstance(event, ToolEvent))
    return tuple((c.name, c.arguments) for e in events if isinstance(e, AgentEvent) for c in e.calls)
