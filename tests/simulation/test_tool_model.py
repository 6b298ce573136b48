"""A model that stands in for tools: what it is shown, what it may answer, and what is sent back to it."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import orjson
import pytest

from synthagent.errors import ModelFailed, ToolFailed
from synthagent.llm.portable import complaints, portably
from synthagent.llm.scripted import Scripted
from synthagent.llm.structured import Ladder, Structured
from synthagent.simulation.episode import prepare
from synthagent.simulation.likeness import folded, unlike
from synthagent.simulation.map_store import Entry, MemoryStore
from synthagent.simulation.response_map import ResponseMap, Simulation
from synthagent.simulation.simulated import SimulatedCall
from synthagent.simulation.tool_model import MOST_LIKE, MOST_SHOWN, ToolModel, asked_for, shown_entries, understood
from tests.builders import text_of
from tests.maps import Telling, answers, entry, hybrid

LIBRARY = prepare(hybrid()).blueprint
MEMBERS = [{"member_id": "M-1", "branch": "Quay"}]


def posed(tool: str = "find_member", before: Sequence[tuple[str, str]] = (), **arguments: Any) -> SimulatedCall:
    with LIBRARY.open() as world:
        for name, raw in before:
            world.call(name, raw)
        call = world.begin(tool, text_of(arguments or {"name": "Ada Novak"}))
    assert isinstance(call, SimulatedCall)
    return call


def reply(entry: int | None = None, error: Any = None, result: Any = None) -> str:
    return orjson.dumps({"entry": entry, "error": error, "result": result}).decode()


def model(*replies: Any) -> tuple[ToolModel, Scripted]:
    scripted = Scripted(replies)
    return ToolModel(Structured(scripted, Ladder("prompt")), "stub"), scripted


async def test_a_result_that_fits_is_taken_as_it_is():
    tools, _ = model(reply(result=MEMBERS))
    assert await tools.simulate(posed(), []) == Simulation(None, True, orjson.dumps(MEMBERS).decode())


async def test_an_error_becomes_a_failed_call():
    tools, _ = model(reply(error=" no such member ", result=[]))
    made = await tools.simulate(posed(), [])
    assert not made.ok
    assert orjson.loads(made.response) == {"error": {"type": "precondition", "message": "no such member"}}


@pytest.mark.parametrize("nothing", [None, "", "  ", False])
async def test_what_says_that_nothing_went_wrong_is_no_error(nothing: Any):
    tools, _ = model(reply(error=nothing, result=MEMBERS))
    assert (await tools.simulate(posed(), [])).ok


async def test_an_entry_that_answers_already_is_pointed_to():
    known = [entry("find_member", '{"name":"Eve"}'), entry("find_member", '{"name":"Novak, Ada"}')]
    tools, _ = model(reply(entry=2))
    assert (await tools.simulate(posed(), known)).same is known[1]


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (reply(result=[{"member_id": 5}]), "5 is not of type"),
        (reply(result=None), "result"),
        (reply(entry=3), "there is no entry 3"),
        (reply(error={"message": "no such member"}, result=[]), "error: write what went wrong as a text"),
        (reply(error=["no such member"], result=[]), "error: write what went wrong as a text"),
        (reply(error={}, result=[]), "error: write what went wrong as a text"),
        (reply(error=True, result=[]), "error: write what went wrong as a text"),
        ("I am not sure.", "no JSON object"),
        ('{"members": []}', "write"),
        ('{"entry": null, "error": null, "result": [{"member_id": "a\\u0000b"}]}', "NUL"),
    ],
)
async def test_what_cannot_be_used_goes_back_with_the_reason_once(wrong: str, why: str):
    tools, scripted = model(wrong, reply(result=MEMBERS))
    assert (await tools.simulate(posed(), [])).ok
    assert why in scripted.requests[1].messages[-1]["content"]

    tools, _ = model(wrong, wrong)
    with pytest.raises(ToolFailed) as caught:
        await tools.simulate(posed(), [])
    assert caught.value.reason == "not_understood"


async def test_a_model_that_fails_is_a_failed_tool_and_says_how():
    tools, _ = model(ModelFailed("no answer", reason="timeout"))
    with pytest.raises(ToolFailed, match="find_member: no answer") as caught:
        await tools.simulate(posed(), [])
    assert caught.value.reason == "model:timeout"


async def test_an_entry_about_another_id_is_no_answer_whatever_the_model_says():
    known = [entry("list_loans", '{"member_id":"M-2"}')]
    tools, scripted = model(reply(entry=1), reply(result=[]))
    made = await tools.simulate(posed("list_loans", member_id="M-1"), known)
    assert made.same is None
    assert "about another member_id" in scripted.requests[1].messages[-1]["content"]


async def test_an_episode_never_shows_an_agent_what_became_of_a_failed_simulator():
    tools = ResponseMap(MemoryStore(), model("prose", "more prose")[0])
    with LIBRARY.open() as world, pytest.raises(ToolFailed):
        await answers(world, tools, [("find_member", text_of({"name": "Ada"}))])


def test_text_that_json_cannot_hold_is_sent_back_and_breaks_nothing():
    deep: list[Any] = []
    for _ in range(2000):
        deep = [deep]
    for data in ({"error": "a\ud800b"}, {"result": ["\ud800"]}, {"result": deep}, {"result": float("nan")}):
        made, wrong = understood({"entry": None, **data}, posed(), [])
        assert made is None
        assert wrong


# ---- the prompt


def told(call: SimulatedCall, known: Sequence[Entry] = ()) -> tuple[str, str]:
    system, user = asked_for(call, known)
    return system["content"], user["content"]


def test_it_is_told_the_tool_what_it_knows_and_the_clock_but_nothing_of_the_users():
    system, user = told(posed())
    for part in ('"name":"find_member"', "WHERE name = :name", "2031-05-07T10:00:00", '"member_id"'):
        assert part in system
    assert "Ada Novak" in user
    assert "The Glass Harbour" not in system + user, "loans are not what it reads"
    assert "23 May" not in system + user


def test_it_sees_the_records_as_they_are_and_what_was_done():
    renewal = ("renew_loan", text_of({"loan_id": "L-1", "new_due": "2031-06-01"}))
    system, user = told(posed("list_loans", [renewal], member_id="M-1"))
    assert '"due":"2031-06-01"' in user
    assert 'step 1: renew_loan({"loan_id":"L-1","new_due":"2031-06-01"})' in user
    assert "2031-06-01" not in system


async def test_the_prompt_only_grows_from_one_miss_to_the_next():
    telling = Telling()
    tools = ResponseMap(MemoryStore(), telling)
    names = ("Ada", "Eve", "Nora", "Ruth")
    with LIBRARY.open() as world:
        await answers(world, tools, [("find_member", text_of({"name": name})) for name in names])
    prompts = [told(call, known) for call, known in telling.asked]
    assert len({system for system, _ in prompts}) == 1
    for (_, one), (_, next_) in pairwise(prompts[1:]):
        head, _, _ = one.partition("\nThe call:")
        assert next_.startswith(head.rstrip() + "\n")


async def test_entries_say_before_which_step_they_were_made():
    telling = Telling()
    tools = ResponseMap(MemoryStore(), telling)
    loans, renew = ("list_loans", text_of({"member_id": "M-1"})), text_of({"loan_id": "L-1", "new_due": "2031-06-01"})
    with LIBRARY.open() as world:
        await answers(
            world, tools, [loans, ("renew_loan", renew), loans, ("list_loans", text_of({"member_id": "M-2"}))]
        )
    _, user = told(*telling.asked[-1])
    assert 'entry 1 (before step 1): {"member_id":"M-1"} -> "answer 1"' in user
    assert 'entry 2: {"member_id":"M-1"} -> "answer 2"' in user


def test_of_very_many_entries_the_first_and_the_most_alike_are_shown():
    known = [entry("find_member", text_of({"name": f"Person {n}"})) for n in range(MOST_SHOWN + 50)]
    known.append(entry("find_member", text_of({"name": "Novak Ada"})))
    shown = shown_entries(posed(), known)
    assert shown[:MOST_SHOWN] == known[:MOST_SHOWN]
    assert len(shown) == MOST_SHOWN + MOST_LIKE
    assert known[-1] in shown


def test_a_long_table_and_a_long_answer_are_cut_and_say_so():
    call = posed()
    rows = {"members": [{"member_id": f"M-{n}"} for n in range(100)]}
    many = SimulatedCall(**{**{name: getattr(call, name) for name in call.__slots__}, "rows": rows})
    _, user = told(many, [entry("find_member", response=f'"{"x" * 9000}"')])
    assert "(and 40 more)" in user
    assert "... (cut)" in user
    assert len(user) < 6000


# ---- the same in other words


@pytest.mark.parametrize(
    ("one", "other", "differing"),
    [
        ({"name": "Ada Novak"}, {"name": "Novak, Ada"}, None),
        ({"id": "M-1"}, {"id": "M-2"}, "id"),
        ({"id": "M-1"}, {"id": "m1"}, None),
        ({"n": 1}, {"n": 1.0}, None),
        ({"n": 1}, {"n": 2}, "n"),
        ({"n": True}, {"n": False}, "n"),
        ({"day": "2031-05-23"}, {"day": "2031-05-24"}, "day"),
        ({"size": "small"}, {"size": "tiny"}, "size"),
        ({"text": "x"}, {}, None),
        ({"tags": ["a"]}, {"tags": ["a", "b"]}, "tags"),
        ({"at": {"n": 1}}, {"at": {"n": 2}}, "at"),
        ({"n": 1}, {"n": "1"}, None),
        ({"n": 1}, {"n": True}, "n"),
        ({"id": "A-1"}, {"id": "B-1"}, "id"),
        ({"seat": "12A"}, {"seat": "12B"}, "seat"),
        ({"day": "May 23rd"}, {"day": "the 23 of may"}, None),
        ({"route": "from 12 to 30"}, {"route": "from 30 to 12"}, "route"),
        ({"tags": ["red", "a 1"]}, {"tags": ["Red", "the a 1"]}, None),
        ({"tags": ["a1", "b2"]}, {"tags": ["b2", "a1"]}, "tags"),
        ({"tags": [True]}, {"tags": [1]}, "tags"),
        ({"tags": [None]}, {"tags": ["a"]}, "tags"),
        ({"rows": [{"n": 1}]}, {"rows": [{"n": 2}]}, "rows"),
        ({"note": "x " * 30 + "call 555 1234"}, {"note": "x " * 30 + "call 555 1235"}, "note"),
        ({"note": "please, " * 9 + "order QK-77"}, {"note": "order QK77, " + "please, " * 9}, None),
        ({"size": "small"}, {"size": "SMALL"}, "size"),
        ({"size": "small"}, {}, "size"),
        ({"size": [1]}, {"size": [True]}, "size"),
    ],
)
def test_ids_numbers_dates_and_choices_are_never_the_same_in_other_words(one, other, differing):
    found = unlike(text_of(one), text_of(other), {"size"})
    if one == {"n": 1} and other == {"n": "1"}:
        assert found == "n", "a schema takes one of the two"
    else:
        assert found == differing


def test_case_spaces_and_forms_of_letters_are_folded_and_nothing_else():
    one = folded(text_of({"b": "  The  NIGHT Ferry ", "a": [1, "X"]}))
    assert one == folded(text_of({"a": [1, "x"], "b": "the night ferry"}))
    assert one != folded(text_of({"a": [1, "x"], "b": "the night-ferry"}))
    assert folded(text_of({"a": 1})) != folded(text_of({"a": True}))
    assert folded(text_of({"a": "X"}), {"a"}) != folded(text_of({"a": "x"}), {"a"}), "a choice is taken by the letter"


# ---- schemas of strangers


def test_a_strangers_schema_is_made_portable_where_it_can_be():
    stranger = {
        "type": "object",
        "properties": {
            "id": {"type": "string", "pattern": "^a", "maxLength": 4},
            "n": {"type": ["integer", "null"], "minimum": 0, "description": "how many"},
            "tags": {"type": "array", "items": {"type": "string", "format": "date"}},
        },
    }
    made = portably(stranger)
    assert complaints(made) == []
    assert made["properties"]["n"] == {"anyOf": [{"type": "integer"}, {"type": "null"}], "description": "how many"}
    assert made["required"] == ["id", "n", "tags"]
    assert complaints(portably({"type": "object"})) != [], "an open object stays what it is"
    assert portably(True) == portably({}) == {}


def test_any_json_is_a_result_where_nobody_said_what_it_looks_like():
    task = hybrid("place_hold")
    bare = tuple(t.model_copy(update={"outputs": {}}) if t.name == "place_hold" else t for t in task.brief.tools)
    blueprint = prepare(task.model_copy(update={"brief": task.brief.model_copy(update={"tools": bare})})).blueprint
    with blueprint.open() as world:
        call = world.begin("place_hold", text_of({"member_id": "M-1", "title": "x"}))
    assert isinstance(call, SimulatedCall)
    assert understood({"result": {"anything": [1]}}, call, [])[0] == Simulation(None, True, '{"anything":[1]}')
    assert understood({"result": None}, call, [])[0] is None
