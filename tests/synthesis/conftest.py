"""A domain of the tests' own, families made from it, and families of every domain that is shipped."""

import asyncio
from collections.abc import Callable, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from synthagent.schema.tasks import Task, identified
from synthagent.synthesis.procedural.domain import Domain, load, shipped
from synthagent.synthesis.procedural.teacher import Made, families
from synthagent.synthesis.screening import objections

POTTERY = Path(__file__).parent.parent / "data" / "domains" / "pottery.yaml"
PERSONAS = [
    "A patient lighthouse keeper who writes everything down twice",
    "A blunt crane driver who hates small talk",
    "A pushy wedding planner with three phones",
    "A litigious neighbour who argues about everything",
    "A violin maker from a small mountain town",
]


@pytest.fixture(scope="session")
def pottery() -> Domain:
    """A pottery studio: a domain that no Python knows of."""
    return load(POTTERY)


@pytest.fixture(scope="session")
def pottery_file() -> Path:
    return POTTERY


@pytest.fixture(scope="session")
def personas() -> list[str]:
    return PERSONAS


@pytest.fixture(scope="session")
def make(personas) -> Callable[..., list[Made]]:
    """The first n families of some domains."""

    def made(domains: Mapping[str, Domain] | Domain, n: int, seed: int = 5, **how: Any) -> list[Made]:
        named = {domains.name: domains} if isinstance(domains, Domain) else domains
        return list(islice(families(named, personas, seed, **how), n))

    return made


@pytest.fixture(scope="session")
def many(make) -> list[Made]:
    """A few families of every shipped domain, not screened."""
    domains = shipped()
    return make(domains, max(150, 12 * len(domains)))


@pytest.fixture(scope="session")
def many_tasks(many) -> list[Task]:
    return [task for family in many for task in family.tasks]


@pytest.fixture(scope="session")
def family_of(make, pottery) -> Callable[[str], list[Task]]:
    """A verified family of one goal, glazing a piece, with a twin of this kind: root first."""
    glazing = [
        list(made.tasks)
        for made in make(pottery, 40, difficulty="easy")
        if made.tasks and made.tasks[0].provenance.templates == ("glaze_it",)
    ]

    def found(kind: str) -> list[Task]:
        for tasks in glazing:
            plain = not {"confirm", "long_result"} & set(tasks[0].provenance.features)
            if (
                plain
                and [task.provenance.twin for task in tasks] == [None, kind]
                and not asyncio.run(objections(tasks))
            ):
                return tasks
        raise AssertionError(f"no verified family with a {kind} twin")

    return found


@pytest.fixture(scope="session")
def edited() -> Callable[[Task, Callable[[Any], None]], Task]:
    """A task with its JSON data changed in place, and its ids made to fit again."""

    def changed(task: Task, edit: Callable[[Any], None]) -> Task:
        data = task.model_dump(mode="json")
        edit(data)
        return identified(Task.model_validate(data))

    return changed
