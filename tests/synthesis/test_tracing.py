"""The procedural teacher reads demonstrations that do more than the plan, or the same twice, or in another order."""

import asyncio
from collections.abc import Callable, Sequence
from itertools import islice

import pytest

from synthagent.schema.episodes import Event, Limits, ToolEvent, UserEvent
from synthagent.schema.scores import Scored
from synthagent.schema.tasks import Task
from synthagent.scoring.scorer import score
from synthagent.simulation.episode import Cast, Stage, facts_user, play, prepare
from synthagent.simulation.scripted_agents import scripted
from synthagent.synthesis.demonstrations import Demonstration, Source, acted, demonstrated, stripped
from synthagent.synthesis.derivation import derive
from synthagent.synthesis.personas import shipped as personas
from synthagent.synthesis.procedural.aligning import ProceduralAligner
from synthagent.synthesis.procedural.domain import shipped
from synthagent.synthesis.procedural.teacher import families

Events = Sequence[Event]


def twice(stage: Stage, events: Events) -> list[Event]:
    """Every look-up made again at once."""
    return [again for event in events for again in ([event] * (1 + _looks(event)))]


def strangers_first(stage: Stage, events: Events) -> list[Event]:
    """Somebody else looked up before: the plan's own tools, with ids of other rows."""
    found: list[Event] = []
    for event in filter(_looks, events):
        for name, value in (event.arguments or {}).items():
            for table in stage.blueprint.tables:
                if name in table.columns:
                    column = [row[table.columns.index(name)] for row in stage.blueprint.initial[table.name]]
                    others = [other for other in column if other != value][:1]
                    found += [event.model_copy(update={"arguments": {**event.arguments, name: o}}) for o in others]
    return [*found, *events]


def questions_first(stage: Stage, events: Events) -> list[Event]:
    asked = [event for event in events if isinstance(event, UserEvent) and event.asked]
    return [*asked, *(event for event in events if event not in asked)]


def shouted(stage: Stage, events: Events) -> list[Event]:
    """What is looked up is written in capitals."""
    return [
        event if not _looks(event) else event.model_copy(update={"arguments": {
            name: value.upper() if isinstance(value, str) and " " in value else value
            for name, value in (event.arguments or {}).items()}})
        for event in events
    ]  # fmt: skip


def _looks(event: Event) -> bool:
    return isinstance(event, ToolEvent) and not event.changed and event.ok


@pytest.fixture(scope="module")
def tasks() -> list[Task]:
    """Two of every domain."""
    made = islice(families(shipped(), personas(), 43), 2 * len(shipped()))
    found: dict[str, list[Task]] = {}
    for family in made:
        found.setdefault(family.tasks[0].provenance.domain, []).append(family.tasks[0])
    return [task for group in found.values() for task in group[:2]]


def worth(stage: Stage, one: Demonstration) -> float | None:
    result = score(stage, one.episode, one.final)
    return result.reward if isinstance(result, Scored) else None


@pytest.mark.parametrize("way", [twice, strangers_first, questions_first, shouted])
def test_another_way_gives_a_rubric_that_takes_the_usual_one(tasks, way: Callable[[Stage, Events], list[Event]]):
    knows, tried = ProceduralAligner(shipped()), 0
    for task in tasks:
        whole = prepare(task)
        stage = Stage(stripped(task), whole.blueprint, whole.listener)
        played = asyncio.run(play(whole, Cast(scripted("reference", whole), facts_user(whole)), Limits()))
        usual = demonstrated(stage, played.episode)
        other = acted(stage, usual.episode, way(whole, usual.episode.events))
        if worth(whole, other) != 1:
            continue  # not a legal way in this task
        tried += 1
        found = asyncio.run(derive(Source(task.workflow, task.brief.rules, (other,)), knows))
        assert found.rubric is not None, (task.id, found.reason)
        under = Stage(task.model_copy(update={"rubric": found.rubric}), whole.blueprint, whole.listener)
        assert (worth(under, other), worth(under, usual)) == (1, 1), task.id
        assert len(found.rubric.subgoals) == len(task.rubric.subgoals)
        assert found.rubric.interactions or not task.rubric.interactions
    assert tried > len(tasks) / 2
