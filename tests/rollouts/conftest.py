"""A few library tasks, and agents that do one odd thing each."""

from collections.abc import Awaitable, Callable, Sequence
from itertools import chain, islice

import pytest

from synthagent.rollouts.group import Casting, Outcome
from synthagent.schema.messages import AssistantTurn
from synthagent.schema.tasks import Require, Task, identified
from synthagent.simulation.agent import View
from synthagent.simulation.episode import Cast, facts_user
from synthagent.simulation.scripted_agents import scripted
from synthagent.synthesis import personas
from synthagent.synthesis.procedural import domain
from synthagent.synthesis.procedural.teacher import families


@pytest.fixture(scope="session")
def tasks() -> tuple[Task, ...]:
    domains = {"library": domain.shipped()["library"]}
    made = families(domains, personas.shipped(), seed=11, difficulty="easy")
    return tuple(islice(chain.from_iterable(family.tasks for family in made), 6))


@pytest.fixture(scope="session")
def broken(tasks: Sequence[Task]) -> Task:
    """A task of which one program asks a table that is not there."""
    task = tasks[0]
    name = next(iter(task.world.programs))
    steps = (Require(require="SELECT 1 FROM attic", otherwise="It is not there."), *task.world.programs[name])
    programs = {**task.world.programs, name: steps}
    return identified(task.model_copy(update={"world": task.world.model_copy(update={"programs": programs})}))


class Acting:
    """An agent that is a function of what it sees."""

    def __init__(self, act: Callable[[View], Awaitable[str]], name: str = "acting"):
        self.name, self._act = name, act

    async def act(self, view: View) -> AssistantTurn:
        return AssistantTurn(content=await self._act(view))


def acting(act: Callable[[View], Awaitable[str]]) -> Casting:
    """Everybody is played by this function."""
    return lambda stage, _: Cast(Acting(act), facts_user(stage))


def named(name: str) -> Casting:
    """Everybody is played by a scripted agent."""
    return lambda stage, _: Cast(scripted(name, stage), facts_user(stage))


@pytest.fixture(scope="session")
def agent() -> Callable[[Callable[[View], Awaitable[str]]], Casting]:
    return acting


@pytest.fixture(scope="session")
def cast_as() -> Callable[[str], Casting]:
    return named


class Basket:
    """A sink that keeps everything."""

    def __init__(self) -> None:
        self.outcomes: list[Outcome] = []

    def __call__(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)

    @property
    def keys(self) -> list[tuple[str, str, int]]:
        """(agent, task id, sample), in order of arrival."""
        return [(o.episode.agent, o.episode.task_id, o.episode.sample) for o in self.outcomes]


@pytest.fixture
def basket() -> Basket:
    return Basket()
