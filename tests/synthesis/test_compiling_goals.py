"""Sub-goals as checks: other legal ways there, values that no SQL holds, results of any depth."""

import asyncio

import orjson
import pytest

from synthagent.llm.scripted import Scripted
from synthagent.llm.structured import Ladder, Structured
from synthagent.schema.episodes import Event, Limits, ToolEvent
from synthagent.schema.tasks import Task
from synthagent.simulation.episode import Cast, Stage, facts_user, play, prepare
from synthagent.simulation.scripted_agents import scripted
from synthagent.synthesis.alignment import Alignment, ModelAligner, Reached
from synthagent.synthesis.compiling_goals import Aligned, compiled
from synthagent.synthesis.demonstrations import Demonstration, Source, acted, demonstrated, leaves, stripped
from synthagent.synthesis.mutating import altered
from tests.builders import DATE, library

NOTE = "a" * 50_000


def shown(task: Task) -> Demonstration:
    whole = prepare(task)
    stage = Stage(stripped(task), whole.blueprint, whole.listener)
    played = asyncio.run(play(whole, Cast(scripted("reference", whole), facts_user(whole)), Limits()))
    return demonstrated(stage, played.episode)


def called(tool: str, **arguments) -> ToolEvent:
    return ToolEvent(call_id="x", tool=tool, arguments=arguments, ok=True, response="null")


def doing(one: Demonstration, *events: Event) -> Demonstration:
    """With these at the end."""
    return acted(one.stage, one.episode, [*one.episode.events, *events])


@pytest.fixture(scope="module")
def reference() -> Demonstration:
    return shown(library())


@pytest.fixture(scope="module")
def optional() -> Demonstration:
    """In a library whose list of loans may be asked for from a day on; this one asks for May and gets all there are."""
    task = library()
    tools = tuple(
        tool if tool.name != "list_loans" else tool.model_copy(update={"function": tool.function.model_copy(update={
            "parameters": {**tool.function.parameters, "properties": {
                **tool.function.parameters["properties"], "since": DATE, "until": DATE}}})})
        for tool in task.brief.tools
    )  # fmt: skip
    query = (
        "SELECT loan_id, title, due, reserved FROM loans WHERE member_id = :member_id "
        "AND (:since IS NULL OR due >= :since) AND (:until IS NULL OR due <= :until) ORDER BY loan_id"
    )
    programs = {**task.world.programs, "list_loans": ({"return": query, "shape": "rows"},)}
    world = task.world.model_validate({**task.world.model_dump(by_alias=True), "programs": programs})
    return shown(task.model_copy(update={"brief": task.brief.model_copy(update={"tools": tools}), "world": world}))


def alone(one: Demonstration, *events: Event) -> Demonstration:
    """These and nothing else."""
    return acted(one.stage, one.episode, events)


BARE = called("list_loans", member_id="M-1")


def test_an_optional_argument_that_changes_nothing_may_be_left_out_but_not_be_another(optional):
    one = alone(optional, called("list_loans", member_id="M-1", since="2031-01-01"))
    found = compiled([Aligned(one, (0,))])
    assert one.holds(found.check)
    assert alone(optional, BARE).holds(found.check)
    assert not altered(one, 0, "since").holds(found.check)
    assert not altered(one, 0, "member_id").holds(found.check)


def test_where_it_was_called_both_ways_the_one_that_counts_counts(optional):
    one = alone(optional, BARE, called("list_loans", member_id="M-1", since="2031-01-01"))
    found = compiled([Aligned(one, (1,))])
    assert one.holds(found.check)
    assert not alone(optional, BARE).holds(found.check)


def test_an_optional_argument_that_changes_the_answer_is_asked_for(optional):
    bare = alone(optional, BARE)
    one = alone(optional, called("list_loans", member_id="M-1", until="2031-01-01"))
    assert one.deeds[0].response != bare.deeds[0].response
    found = compiled([Aligned(one, (0,))])
    assert one.holds(found.check)
    assert not bare.holds(found.check)


@pytest.mark.parametrize("demonstrations", [1, 2])
def test_what_no_sql_can_hold_is_left_open_however_many_show_it(reference, demonstrations):
    one = doing(reference, called("place_hold", member_id="M-1", title="Night Ferry", note=NOTE))
    other = doing(reference, called("place_hold", member_id="M-1", title="Night Ferry", note="b"))
    found = compiled([Aligned(way, (max(way.deeds),)) for way in (one, other)[:demonstrations]])
    assert found.check is None
    assert found.reason.startswith("the check does not run: ")
    assert len(found.reason) < 250


def test_a_result_may_be_nested_as_deep_as_json_goes():
    deep = orjson.loads("[" * 1000 + '"bottom"' + "]" * 1000)
    ((path, leaf),) = leaves(deep)
    assert (path.count("."), leaf) == (999, "bottom")
    flat = {"a": [1, {"b": 2}], "c": 3}
    assert list(leaves(flat)) == [("a.0", 1), ("a.1.b", 2), ("c", 3)]


def test_a_teacher_that_names_a_sub_goal_twice_is_told_to_say_it_at_once(reference):
    twice = Alignment(reached=(Reached(goal=1, events=(2,)), Reached(goal=1, events=(3,))))
    once = Alignment(reached=(Reached(goal=1, events=(2, 3)), Reached(goal=1, events=(2, 3))))
    model = Scripted([twice.model_dump_json(), once.model_dump_json()])
    source = Source(("Look at the loans",), (), (reference,))
    found = asyncio.run(ModelAligner(Structured(model, Ladder(rung="prompt")), "t").align(source, reference))
    assert found == once
    assert "sub-goal 1: it is there more than once" in model.requests[1].messages[-1]["content"]
