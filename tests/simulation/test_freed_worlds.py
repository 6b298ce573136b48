"""A world that nobody uses any more is freed at once: hundreds are open in a training step."""

import gc
import weakref

import pytest

from synthagent.schema.episodes import Limits
from synthagent.simulation.episode import Cast, facts_user, play, prepare
from synthagent.simulation.scripted_agents import scripted
from tests.builders import library


@pytest.fixture
def without_collector():
    """Only what nobody refers to is freed."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


async def test_a_world_that_was_played_in_goes_with_its_stage(without_collector):
    stage = prepare(library())
    await play(stage, Cast(scripted("reference", stage), facts_user(stage)), Limits())
    blueprint = weakref.ref(stage.blueprint)
    del stage
    assert blueprint() is None


def test_a_world_that_was_only_opened_goes_too(without_collector):
    stage = prepare(library())
    with stage.blueprint.open() as world:
        world.begin("find_member", '{"name": "Ada Novak"}')
    found = weakref.ref(stage.blueprint)
    del stage, world
    assert found() is None
