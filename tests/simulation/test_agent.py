"""How an agent speaks: what a turn means under each protocol, the opening, and tool calls written as text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthagent.schema.messages import AssistantTurn
from synthagent.simulation.agent import (
    Answers,
    Calls,
    Malformed,
    Says,
    compact,
    from_hermes,
    from_json,
    opening,
    read_turn,
    to_hermes,
    to_json,
    tools_for,
)
from tests.builders import NOW, TEXT, WHOLE, library, text_of, tool, tool_call

CALL = tool_call("find_member", {"name": "Ada"})


def turn(content: str = "", *calls, malformed=()) -> AssistantTurn:
    return AssistantTurn(content=content, tool_calls=calls, malformed=malformed)


@pytest.mark.parametrize(
    ("protocol", "written", "meant"),
    [
        ("text", turn("Hello."), Says("Hello.")),
        ("text", turn("<think>Hm.</think> Hello. "), Says("Hello.")),
        ("text", turn("Let me look.", CALL), Calls((CALL,))),
        ("text", turn(" "), Malformed("the message is empty")),
        ("text", turn("<think>Hm.</think>"), Malformed("the message is empty")),
        ("tools", turn("Bye."), Answers("Bye.")),
        ("tools", turn(""), Answers("")),
        ("tools", turn("", CALL), Calls((CALL,))),
        ("tags", turn("<question>Who?</question>"), Says("Who?")),
        ("tags", turn("<think>Hm.</think>\n<answer> Bye. </answer>\n"), Answers("Bye.")),
        ("tags", turn("Let me look.", CALL), Calls((CALL,))),
    ],
)
def test_a_turn_means_what_its_protocol_says(protocol, written, meant):
    assert read_turn(written, protocol) == meant


@pytest.mark.parametrize(
    "content",
    [
        "Hello.",
        "<question>Who?",
        "Well, <question>Who?</question>",
        "<question>Who?</question> I wonder.",
        "<question>Who?</answer>",
        "<question>Who?</question><question>When?</question>",
        "<question>Who?</question><answer>Bye.</answer>",
        "<answer>One.</answer> <answer>Two.</answer>",
        "<question> </question>",
        "",
    ],
)
def test_with_tags_anything_but_one_tag_is_malformed(content):
    assert isinstance(read_turn(turn(content), "tags"), Malformed)


def test_with_tags_nobody_calls_and_speaks_at_once():
    assert isinstance(read_turn(turn("<question>Who?</question>", CALL), "tags"), Malformed)


@pytest.mark.parametrize("protocol", ["text", "tools", "tags"])
def test_a_call_that_could_not_be_read_makes_the_whole_turn_malformed(protocol):
    assert read_turn(turn("", CALL, malformed=("no JSON",)), protocol) == Malformed("no JSON")


def test_the_opening_holds_the_rules_the_day_and_the_way_to_speak_and_then_the_request():
    brief = library().brief
    system, user = opening(brief, "tools", NOW)
    assert (system["role"], user) == ("system", {"role": "user", "content": brief.instruction})
    for part in (*brief.rules, "ask_user", "Wednesday, 7 May 2031, 10:00"):
        assert part in system["content"]
    assert "find_member" not in system["content"]


def test_the_opening_for_small_models_lists_each_tool_in_a_line():
    system, _ = opening(library().brief, "text", NOW, "hermes")
    assert "renew_loan(loan_id, new_due: date) - Renew loan." in system["content"].splitlines()
    assert "place_hold(member_id, title, note?) - Place hold." in system["content"].splitlines()
    assert "<tool_call>" in system["content"]
    assert "ask_user" not in system["content"]
    assert "ask_user(question)" in opening(library().brief, "tools", NOW, "hermes")[0]["content"]


def test_the_compact_form_says_what_the_long_one_says_in_fewer_words():
    brief = library().brief
    long, short = (opening(brief, "text", NOW, form)[0]["content"] for form in ("hermes", "compact"))
    assert len(short) < 0.7 * len(long)
    for offered in brief.tools:
        assert f"{offered.name}(" in short
    for rule in brief.rules:
        assert rule in short
    assert " -> [" in short
    assert "<tool_call>" in short


def test_a_compact_line_shows_kinds_choices_and_what_may_be_left_out():
    one = tool("book", "write", None, "seats", day={"type": "string", "enum": ["Mon", "Tue"]}, seats=WHOLE, name=TEXT)
    (shown,) = tools_for(library().brief.model_copy(update={"tools": (one,)}), "text")
    assert compact(shown) == "book(day: Mon|Tue, seats?: integer, name) - Book."


def test_tools_are_shown_without_what_only_the_world_needs():
    shown = tools_for(library().brief, "text")
    assert {key for one in shown for key in one} == {"type", "function"}
    assert [one["function"]["name"] for one in tools_for(library().brief, "tools")][-1] == "ask_user"


# ---- calls written as text


def test_calls_are_taken_out_of_a_text_in_their_order():
    one, two = '<tool_call>{"name": "a", "arguments": {"x": [1]}}</tool_call>', '<tool_call> {"name": "b"} </tool_call>'
    text = f"I look.\n{one}\n{two}!"
    rest, calls, malformed = from_hermes(text, 3)
    assert (rest, malformed) == ("I look.\n\n!", ())
    assert [(one.id, one.name, one.arguments) for one in calls] == [
        ("call_3_0", "a", '{"x":[1]}'),
        ("call_3_1", "b", "{}"),
    ]


@pytest.mark.parametrize(
    ("inside", "complaint"),
    [
        ('{"name": "a", "arguments": {}', "not JSON"),
        ("{'name': 'a'}", "not JSON"),
        ('{"name": "a",}', "not JSON"),
        ("a(1)", "not JSON"),
        ('["a"]', 'holds {"name"'),
        ('{"arguments": {}}', 'holds {"name"'),
        ('{"name": 1}', 'holds {"name"'),
        ('{"name": "a", "arguments": ' + "[" * 400 + "]" * 400 + "}", "cannot be read"),
    ],
)
def test_a_call_that_is_nearly_right_is_reported_and_never_repaired(inside, complaint):
    _, calls, (error,) = from_hermes(f"<tool_call>{inside}</tool_call>", 0)
    assert calls == ()
    assert complaint in error


def test_an_unclosed_call_is_malformed_and_those_before_it_are_still_calls():
    rest, calls, malformed = from_hermes('<tool_call>{"name": "a"}</tool_call><tool_call>{"name": "b"', 0)
    assert (rest, [one.name for one in calls], malformed) == ("", ["a"], ("a <tool_call> is not closed",))


def test_arguments_given_as_text_are_left_as_they_are():
    _, (call,), _ = from_hermes('<tool_call>{"name": "a", "arguments": "{\\"x\\": 1"}</tool_call>', 0)
    assert call.arguments == '{"x": 1'


WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-99, 99) | WORDS, lambda inner: st.lists(inner, max_size=3)
)
ARGUMENTS = st.dictionaries(WORDS, VALUES | st.just("</tool_call>"), max_size=3)


@given(st.lists(st.tuples(st.from_regex(r"\A[a-z_]{1,9}\Z"), ARGUMENTS), min_size=1, max_size=3))
def test_what_is_written_as_text_is_read_back_the_same(made):
    calls = [{"id": "c", "type": "function", "function": {"name": n, "arguments": text_of(a)}} for n, a in made]
    (message,) = to_hermes([{"role": "assistant", "content": "I look.", "tool_calls": calls}])
    rest, read, malformed = from_hermes(message["content"], 0)
    assert (rest, malformed, set(message)) == ("I look.", (), {"role", "content"})
    assert [(one.name, one.arguments) for one in read] == [(n, text_of(a)) for n, a in made]


def test_a_history_as_text_keeps_every_word_and_puts_results_of_one_turn_together():
    made = [{"id": "c", "type": "function", "function": {"name": "a", "arguments": ""}}]
    history = [
        {"role": "system", "content": "Be good."},
        {"role": "user", "content": "Hi."},
        {"role": "assistant", "content": "", "tool_calls": made},
        {"role": "tool", "tool_call_id": "c", "content": "1"},
        {"role": "tool", "tool_call_id": "d", "content": "2"},
        {"role": "assistant", "content": "Two."},
        {"role": "user", "content": "Thanks."},
    ]
    assert [(one["role"], one["content"]) for one in to_hermes(history)] == [
        ("system", "Be good."),
        ("user", "Hi."),
        ("assistant", '<tool_call>{"name": "a", "arguments": {}}</tool_call>'),
        ("user", "<tool_response>1</tool_response>\n<tool_response>2</tool_response>"),
        ("assistant", "Two."),
        ("user", "Thanks."),
    ]


# ---- the json form


@pytest.mark.parametrize(
    ("text", "rest", "names"),
    [
        ('```json\n{"name": "find", "arguments": {"a": 1}}\n```', "", ["find"]),
        ('Let me look.\n```\n{"name": "find", "arguments": "{}"}\n```', "Let me look.", ["find"]),
        ('{"name": "find", "arguments": {}}', "", ["find"]),
        ('```json\n{"name": "a", "arguments": {}}\n```\n```json\n{"name": "b", "arguments": {}}\n```', "", ["a", "b"]),
        ('```json\n{"name": "find"}\n```', '```json\n{"name": "find"}\n```', []),
        ('```json\n{"name": "find", "arguments": }\n```', '```json\n{"name": "find", "arguments": }\n```', []),
        ("What is your name?", "What is your name?", []),
        ("[1]", "[1]", []),
    ],
)
def test_the_json_form_reads_whole_calls_and_repairs_nothing(text: str, rest: str, names: list[str]):
    found, calls = from_json(text, 3)
    assert (found, [call.name for call in calls]) == (rest, names)
    assert len({call.id for call in calls}) == len(calls)


def test_the_json_form_writes_what_it_reads():
    call = {"id": "c", "type": "function", "function": {"name": "find", "arguments": '{"a": "x"}'}}
    history = [
        {"role": "assistant", "content": "Let me look.", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c", "content": "[1]"},
        {"role": "tool", "tool_call_id": "d", "content": "[2]"},
    ]
    told, results = to_json(history)
    rest, calls = from_json(told["content"], 0)
    assert (rest, calls[0].name, calls[0].arguments) == ("Let me look.", "find", '{"a":"x"}')
    assert results == {"role": "user", "content": "Result:\n[1]\nResult:\n[2]"}


def test_under_the_json_form_tools_are_lines_and_the_model_is_told_how_to_call_them():
    system = opening(library().brief, "text", library().world.now, "json")[0]["content"]
    assert "```json" in system
    assert "renew_loan(loan_id, new_due: date)" in system
    assert "<tool_call>" not in system
