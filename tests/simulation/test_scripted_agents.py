"""Agents that need no model: the reference, and the red team."""

from typing import get_args

import pytest

from synthagent.errors import InputError, TaskFault
from synthagent.schema.episodes import Stop
from synthagent.schema.messages import Protocol
from synthagent.schema.tasks import AskStep, CallStep, Request, SayStep, identified
from synthagent.scoring.scorer import score
from synthagent.simulation.agent import View, opening
from synthagent.simulation.episode import prepare
from synthagent.simulation.reference_agent import Reference, dig, resolve
from synthagent.simulation.scripted_agents import AGENTS, scripted
from tests.builders import NOW, library, played, replies_in, tools_in

STAGE = prepare(library())
PROTOCOLS = get_args(Protocol)


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_the_reference_earns_everything_under_every_protocol(protocol):
    result = await played(STAGE, scripted("reference", STAGE), protocol=protocol)
    assert score(STAGE, result.episode, result.final).reward == 1.0
    assert all(event.ok for event in tools_in(result.episode.events))
    assert result.episode.malformed == 0


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("name", sorted(AGENTS.keys() - {"reference", "careful"}))
async def test_the_red_team_plays_to_an_end_and_never_earns_everything(name, protocol):
    result = await played(STAGE, scripted(name, STAGE), protocol=protocol)
    verdict = score(STAGE, result.episode, result.final)
    assert result.episode.failure is None
    assert result.episode.stop is not Stop.MALFORMED_LIMIT or name == "spam"
    assert verdict.reward < 0.6


async def test_who_does_nothing_earns_nothing():
    for name in ("nothing", "refuse", "transfer", "done", "confirm"):
        result = await played(STAGE, scripted(name, STAGE))
        assert score(STAGE, result.episode, result.final).reward == 0.0
        assert result.final.changes(STAGE.blueprint) == []


async def test_an_echo_learns_nothing():
    result = await played(STAGE, scripted("echo", STAGE))
    assert [fact for event in replies_in(result.episode.events) for fact in event.asked] == []


async def test_the_transfer_is_heard_where_there_is_none():
    task = library()
    tools = tuple(tool for tool in task.brief.tools if tool.name != "transfer_to_human")
    programs = {name: steps for name, steps in task.world.programs.items() if name != "transfer_to_human"}
    world = task.world.model_copy(update={"programs": programs, "ends_episode": ()})
    brief = task.brief.model_copy(update={"tools": tools})
    stage = prepare(identified(task.model_copy(update={"brief": brief, "world": world})))
    result = await played(stage, scripted("transfer", stage))
    assert {event.heard for event in replies_in(result.episode.events)} == {"refusal"}


def test_an_unknown_agent_is_named_with_those_that_are_known():
    with pytest.raises(InputError, match=r"no scripted agent 'hero'.*reference"):
        scripted("hero", STAGE)


async def test_the_reference_repeats_its_last_words_to_a_user_who_goes_on():
    request = Request(id="r", text="And what about Night Ferry?")
    task = library()
    hidden = task.hidden.model_copy(update={"requests": (request,)})
    stage = prepare(identified(task.model_copy(update={"hidden": hidden})))
    result = await played(stage, scripted("reference", stage))
    *_, before, last = replies_in(result.episode.events)
    assert (before.text, last.message, last.done) == (request.text, before.message, True)


@pytest.mark.parametrize(
    ("steps", "complaint"),
    [
        ((CallStep(call="find_member", args={"name": {"$fact": "name"}}),), "before it was asked for"),
        ((CallStep(call="list_loans", args={"member_id": {"$from": "0.0.member_id"}}),), "names no earlier call"),
        ((CallStep(call="list_loans", args={"member_id": {"$from": "x"}}),), "names no earlier call"),
    ],
)
async def test_the_reference_uses_nothing_that_it_could_not_know(steps, complaint):
    view = View(STAGE.task.brief, "text", opening(STAGE.task.brief, "text", NOW))
    with pytest.raises(TaskFault, match=complaint):
        await Reference(steps, STAGE.task.hidden.facts).act(view)


async def test_a_reference_that_is_broken_is_the_tasks_fault():
    lost = CallStep(call="list_loans", args={"member_id": {"$from": "0"}})
    task = library(reference=(AskStep(ask="name", text="Your name?"), lost, SayStep(say="Done.")))
    stage = prepare(task)
    episode = (await played(stage, scripted("reference", stage))).episode
    assert (episode.stop, episode.failure.blame, episode.failure.reason) == (Stop.FAILED, "task", "reference")


ROWS = [{"id": "L-1", "title": "The Glass Harbour", "n": 1}, {"id": "L-2", "title": "Night Ferry", "n": 1}]


def test_a_value_is_picked_from_a_result_by_path_by_row_and_by_fact():
    results, facts = {3: ROWS, 4: {"a": [5, {"b": None}]}}, {"title": "NIGHT FERRY"}
    assert resolve({"$from": "3.1.id"}, facts, results) == "L-2"
    assert resolve({"$from": "3", "where": {"title": {"$fact": "title"}}, "take": "id"}, facts, results) == "L-2"
    assert resolve({"x": [{"$fact": "title"}, 1], "y": {"$from": "4.a.1.b"}}, facts, results) == {
        "x": ["NIGHT FERRY", 1],
        "y": None,
    }
    with pytest.raises(TaskFault, match="2 rows of step 3 match"):
        resolve({"$from": "3", "where": {"n": 1}}, facts, results)
    with pytest.raises(TaskFault, match="0 rows of step 3 match"):
        resolve({"$from": "3", "where": {"n": True + 1}}, facts, results)


@pytest.mark.parametrize("path", ["2.id", "0.nothing", "0.id.x", "id", "0.n.x"])
def test_a_path_that_leads_nowhere_is_the_tasks_fault(path):
    with pytest.raises(TaskFault, match="nothing at"):
        dig(ROWS, path)
