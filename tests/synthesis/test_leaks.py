"""Nothing that the agent sees says what only the user knows."""

import pytest

from synthagent.schema.tasks import Fact, Function, Hidden, Tool
from synthagent.synthesis.leaks import leaked_facts, leaking_tools, named_tools


def hidden(*values, text=None) -> Hidden:
    return Hidden(
        goal="x",
        facts=tuple(Fact(id=f"f{n}", topic="t", text=text or f"It's {v}.", value=v) for n, v in enumerate(values)),
    )


@pytest.mark.parametrize(
    ("instruction", "value"),
    [
        ("Keep it until the 20th of June.", "2031-06-20"),
        ("I need twelve of them.", 12),
        ("It's for ines calder, please.", "Ines Calder"),
        ("Half past two, 2:30 pm, would do.", "14:30"),
    ],
)
def test_a_value_in_other_words_is_a_leak(instruction, value):
    assert list(leaked_facts(instruction, [], hidden(value))) == ["the instruction gives away fact 'f0'"]
    assert list(leaked_facts("Hello.", [instruction], hidden(value))) == ["a rule gives away fact 'f0'"]


def test_facts_say_their_own_value_and_no_other():
    found = list(leaked_facts("Hi.", [], hidden("Ada", "Bela", text="It's Ada.")))
    assert "fact 'f1' does not say its value" in found
    assert "fact 'f1' gives away fact 'f0'" in found


@pytest.mark.parametrize("name", ["renew_loan", "renewLoan", "renew-loan"])
def test_a_tool_is_named_in_whatever_way_it_is_written(name):
    assert list(named_tools("Could you renew loan L-8 for me?", [name])) == [f"the instruction names the tool {name}"]


def test_a_word_that_anybody_says_names_no_tool():
    assert list(named_tools("Could you search for my book?", ["search"])) == []


def tool(description="Looks it up.", **schema) -> Tool:
    parameters = {"type": "object", "properties": {"x": {"type": "string", **schema}}}
    return Tool(function=Function(name="find", description=description, parameters=parameters), effect="read")


@pytest.mark.parametrize(
    "leaking",
    [
        tool(enum=["Ines Calder"]),
        tool(description="Finds Ines Calder."),
    ],
)
def test_a_tool_that_says_a_hidden_value_is_a_leak(leaking):
    assert list(leaking_tools([leaking], hidden("Ines Calder"))) == ["the tool find gives away fact 'f0'"]


def test_one_choice_of_several_is_none():
    assert list(leaking_tools([tool(enum=["vanilla", "lemon"])], hidden("lemon"))) == []
    assert list(leaking_tools([tool(description="Finds drills, saws and lemon trees.")], hidden("lemon"))) == []
