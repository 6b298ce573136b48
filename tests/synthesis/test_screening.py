"""A verified task, broken in one way after another: each time the screen that is there for it speaks up."""

import asyncio

import pytest

from synthagent.simulation.values import kind_of
from synthagent.synthesis.screening import objections, other_value


@pytest.fixture(scope="module")
def fact_family(family_of):
    return family_of("fact")


@pytest.fixture(scope="module")
def row_family(family_of):
    return family_of("row")


def screened(*tasks):
    return asyncio.run(objections(tasks))


def fact(data, name="glaze"):
    return next(found for found in data["hidden"]["facts"] if found["id"] == name)


def leak(data):
    data["brief"]["instruction"] += f" In {fact(data)['value'].upper()}, that is."


def leak_in_a_rule(data):
    data["brief"]["rules"].append(f"{fact(data)['value']} is for guests only.")


def leak_in_an_escape(data):
    data["hidden"]["escape_lines"] = [f"But {fact(data)['value']} looks so fine."]


def leak_in_a_request(data):
    data["hidden"]["requests"] = [{"id": "request_2", "text": f"And {fact(data)['value']} on top."}]


def mute(data):
    fact(data)["text"] = "I would rather not say."


def chatty(data):
    fact(data)["text"] += f" For my {fact(data, 'piece')['value']}."


def name_a_tool(data):
    data["brief"]["instruction"] += " You could choose_glaze for it."


def name_a_tool_in_words(data):
    data["brief"]["instruction"] += " Please Choose Glaze for it."


def forget_what_is_forbidden(data):
    data["rubric"]["forbidden"] = []


def forget_the_trap(data):
    data["rubric"]["forbidden"][0]["trap"] = []


def blind_the_trap(data):
    data["rubric"]["forbidden"][0]["check"] = {"called": {"tool": "join_course"}}


def trap_that_fails(data):
    data["rubric"]["forbidden"][0]["trap"][-1]["args"]["piece_id"] = "W-none"


def forbid_the_reference(data):
    data["rubric"]["forbidden"][0]["check"] = {"called": {"tool": "list_pieces"}}


def true_from_the_start(data):
    data["rubric"]["subgoals"].append({"id": "s9", "text": "", "check": {"state": "SELECT COUNT(*) > 0 FROM pieces"}})


def subgoal_of_nothing(data):
    data["rubric"]["subgoals"].append({"id": "s9", "text": "", "check": {"not_called": {"tool": "join_course"}}})


def subgoal_of_perhaps_nothing(data):
    either = [{"called": {"tool": "list_pieces"}}, {"unchanged": {}}]
    data["rubric"]["subgoals"].append({"id": "s9", "text": "", "check": {"any": either}})


def interaction_for_nothing(data):
    data["rubric"]["interactions"].append({"id": "i9", "text": "", "check": {"not": {"asked": "glaze"}}})


def two_of_one_id(data):
    data["rubric"]["interactions"][0]["id"] = "s1"


def literal_id(data):
    step = next(step for step in data["reference"] if step.get("call") == "choose_glaze")
    step["args"]["piece_id"] = "W-0001"


def knows_unasked(data):
    data["reference"] = [step for step in data["reference"] if step.get("ask") != "glaze"]


def stops_early(data):
    data["reference"].pop()


def stumbles(data):
    data["reference"].insert(0, {"call": "open_locker_card", "args": {"locker": "Q-000"}})


def order_dropped(data):
    program = data["world"]["programs"]["list_pieces"]
    program[0]["return"] = program[0]["return"].replace(" ORDER BY piece_id", "")
    mine = next(row for row in data["world"]["rows"]["pieces"] if row[2] == fact(data, "piece")["value"])
    data["world"]["rows"]["pieces"] += [[f"W-x{n}", mine[1], f"Thing {n}", "none yet", 0, "S-00"] for n in range(3)]


def fact_nobody_needs(data):
    data["hidden"]["facts"].append({"id": "mood", "topic": "your mood", "text": "Sunny.", "value": "sunny"})


def fact_asked_in_vain(data):
    fact_nobody_needs(data)
    data["reference"].insert(-1, {"ask": "mood", "text": "How is your mood?"})


def fact_on_the_wall(data):
    data["brief"]["tools"].append(
        {"effect": "read", "function": {"name": "wall", "description": "Read the wall.", "parameters": EMPTY}}
    )
    data["world"]["programs"]["wall"] = [{"return": f"SELECT '{fact(data)['value']}' AS glaze", "shape": "row"}]


def broken_sql(data):
    data["world"]["programs"]["list_pieces"][0]["return"] = "SELECT 1 FROM nowhere"


EMPTY = {"type": "object", "properties": {}}
BROKEN = [
    (leak, "leak", "the instruction gives away fact 'glaze'"),
    (leak_in_a_rule, "leak", "a rule gives away fact 'glaze'"),
    (leak_in_an_escape, "leak", "fact 'glaze' is in what the user says unasked"),
    (leak_in_a_request, "leak", "fact 'glaze' is in what the user says unasked"),
    (mute, "leak", "fact 'glaze' does not say its value"),
    (chatty, "leak", "fact 'glaze' gives away fact 'piece'"),
    (name_a_tool, "leak", "the instruction names the tool choose_glaze"),
    (name_a_tool_in_words, "leak", "the instruction names the tool choose_glaze"),
    (forget_what_is_forbidden, "rubric", "the brief has rules, but nothing is forbidden"),
    (forget_the_trap, "trap", "f1 has no trap"),
    (blind_the_trap, "trap", "f1: its trap is not seen as a violation"),
    (trap_that_fails, "trap", "f1: the forbidden call fails in the world"),
    (forbid_the_reference, "reference", "broken: ['f1']"),
    (true_from_the_start, "nothing", "s9 holds although nothing was done"),
    (subgoal_of_nothing, "rubric", "sub-goal s9 has no positive event"),
    (subgoal_of_perhaps_nothing, "rubric", "sub-goal s9 has no positive event"),
    (interaction_for_nothing, "nothing", "i9 holds although nothing was done"),
    (two_of_one_id, "rubric", "two criteria have one id"),
    (literal_id, "provenance", "argument piece_id='W-0001' comes from nowhere"),
    (knows_unasked, "reference", "fact 'glaze' is used before it was asked for"),
    (stops_early, "reference", "missed: ['s3']"),
    (stumbles, "reference", "no such locker"),
    (order_dropped, "order", "list_pieces answers in an order that its SQL does not fix"),
    (fact_nobody_needs, "necessity", "no reference of the family needs fact 'mood'"),
    (fact_asked_in_vain, "necessity", "fact 'mood' is not needed: a guess does as well"),
    (fact_on_the_wall, "necessity", "fact 'glaze' can be looked up: no need to ask"),
    (broken_sql, "world", "world.programs.list_pieces.0: no such table: nowhere"),
]


def test_the_families_to_be_broken_are_whole(fact_family, row_family):
    assert screened(*fact_family) == screened(*row_family) == []


@pytest.mark.parametrize(("spoil", "screen", "text"), BROKEN, ids=[entry[0].__name__ for entry in BROKEN])
def test_what_is_broken_is_named(row_family, edited, spoil, screen, text):
    root = edited(row_family[0], spoil)
    found = screened(root)
    assert any(o.screen == screen and text in o.text for o in found), [str(o) for o in found]
    assert all(o.task_id == root.id and o.family == root.family for o in found)


def test_a_fact_that_only_another_task_of_the_family_works_with_is_needed(row_family):
    needless = "no reference of the family needs fact 'glaze'"
    assert any(needless in o.text for o in screened(row_family[1])), "nobody asks for the glaze of a fired piece"
    assert not any(needless in o.text for o in screened(*row_family))


@pytest.mark.parametrize("part", ["brief", "world"])
def test_a_fact_twin_that_differs_by_a_byte_elsewhere_is_named(fact_family, edited, part):
    def touch(data):
        if part == "brief":
            data["brief"]["instruction"] += " "
        else:
            data["world"]["now"] = data["world"]["now"].replace("2031", "2032")

    root, twin = fact_family
    found = screened(root, edited(twin, touch))
    assert [o.text for o in found if o.screen == "twin"] == [f"a fact twin must have the same {part} as {root.id}"]


@pytest.mark.parametrize("part", ["brief", "hidden"])
def test_a_row_twin_that_differs_by_a_byte_elsewhere_is_named(row_family, edited, part):
    def touch(data):
        data[part]["instruction" if part == "brief" else "goal"] += " "

    root, twin = row_family
    found = screened(root, edited(twin, touch))
    assert [o.text for o in found if o.screen == "twin"] == [f"a row twin must have the same {part} as {root.id}"]


def test_a_twin_that_is_no_other_task_is_named(row_family):
    root, twin = row_family
    copy = root.model_copy(update={"provenance": twin.provenance})
    assert any(o.screen == "twin" and o.text == f"does not differ from {root.id}" for o in screened(root, copy))


def test_a_twin_without_its_root_is_named(row_family):
    found = [o.text for o in screened(row_family[1]) if o.screen == "twin"]
    assert found == ["its root is not in the file: keep families together"]


def test_a_wrong_id_is_named(row_family):
    found = screened(row_family[0].model_copy(update={"id": "0" * 16}))
    assert [(o.screen, o.text) for o in found] == [("rubric", "the id does not match the content")]


def test_an_objection_reads_as_a_line(row_family):
    root = row_family[0].model_copy(update={"id": "0" * 16})
    (found,) = screened(root)
    assert str(found) == f"task {'0' * 16} ({root.family}): rubric: the id does not match the content"


@pytest.mark.parametrize("value", [True, 3, 2.5, "4", "2031-12-31", "23:30", "Shino"])
def test_another_value_is_of_the_same_kind_and_not_the_same(value):
    other = other_value(value)
    assert other != value and kind_of(other) == kind_of(value)
