"""The linter: a story for each kind of error, and that the user without a model has none."""

from itertools import islice
from typing import Any

import pytest

from synthagent.schema.episodes import Limits, UserEvent
from synthagent.schema.tasks import Request
from synthagent.simulation.episode import Cast, Stage, facts_user, play, prepare
from synthagent.simulation.hearing import Listener
from synthagent.simulation.scripted_agents import AGENTS, scripted
from synthagent.simulation.user_linter import KINDS, WHAT, Turn, lint
from synthagent.simulation.users import without_echo
from synthagent.simulation.values import plain
from synthagent.synthesis.procedural.domain import shipped
from synthagent.synthesis.procedural.teacher import families
from tests.builders import library

TASK = library()
LISTENER = Listener(TASK.hidden)
OPENING = TASK.brief.instruction
ASKED = ("What is your name?", "I'm Ada Novak.")
AGREED = ("Shall I renew The Glass Harbour until 23 May 2031?", "Yes, please do.")


def kinds(message: str, reply: str, *history: tuple[str, str], done: bool = False, **more: Any) -> list[str]:
    heard = LISTENER.heard(message)
    tools = [tool.name for tool in TASK.brief.tools]
    turn = Turn(TASK.hidden, LISTENER, OPENING, tools, history, message, reply, done, heard, **more)
    return [finding.kind for finding in lint(turn)]


@pytest.mark.parametrize(
    ("message", "reply"),
    [
        ("What is your name?", "I'm Ada Novak."),
        ("What is your name?", "Ada Novak, as I said in the app."),
        ("Which book, and until when?", "The Glass Harbour, until May 23rd."),
        ("What is your shoe size?", "I don't know, and why would you need it?"),
        ("Tell me everything.", "What exactly do you need to know?"),
        ("One moment, I am looking it up.", "Sure, take your time."),
        ("Shall I renew 'The Glass Harbour' until 23 May 2031?", "Yes, until May 23rd, that's right."),
        ("Shall I renew 'The Glass Harbour' until 25 May 2031?", "No, until the 23rd of May please."),
        ("What is your name?", "Could you look it up? I am Ada Novak. Thanks for your help."),
        ("What is your name?", "Ada Novak. I already tried to do it online but it did not work."),
    ],
)
def test_what_a_customer_says_is_fine(message: str, reply: str):
    assert kinds(message, reply) == []


def test_more_than_was_asked_is_a_leak():
    assert kinds("What is your name?", "I'm Ada Novak and it is about The Glass Harbour.") == ["leaked_more"]
    everything = "Ada Novak, The Glass Harbour, until 23 May 2031."
    assert "leaked_more" in kinds("Your name, which book, and until when?", everything)


def test_what_nobody_asked_for_is_unasked():
    assert kinds("What is your name?", "It's The Glass Harbour.") == ["unasked"]
    assert kinds("Hello, I will see what I can do.", "It is The Glass Harbour.") == ["unasked"]
    assert kinds("Tell me everything.", "I am Ada Novak.") == ["unasked"]


def test_what_was_said_before_may_be_said_again():
    assert kinds("Which book?", "The Glass Harbour. And I am Ada Novak, as I said.", ASKED) == []
    assert kinds("Is it The Glass Harbour?", "Yes, The Glass Harbour.") == []


@pytest.mark.parametrize(
    "reply",
    [
        "I'm Ada Novak, born on 3 March 1990.",
        "I'm Ada Novak, card number 4711.",
        "I'm Ada Novak, my card is LX-20931.",
        "I'm Ada Novak, ada.novak@example.org.",
        "I'm Ada Novak from the branch in Amsterdam.",
        "I'm Ada Novak. The book is 'War and Peace'.",
        "I'm Ada Novak, I come at 17:45.",
    ],
)
def test_a_value_out_of_nowhere_is_invented(reply: str):
    assert kinds("What is your name?", reply) == ["invented"]


@pytest.mark.parametrize(
    "reply",
    [
        "How can I help you today?",
        "Let me look that up for you.",
        "I have renewed your loan. Is there anything else I can help with?",
        "As an AI language model I have no name.",
        "Thank you for contacting the library. May I have your name, please?",
        "Our records show that the loan is overdue.",
    ],
)
def test_who_speaks_like_the_assistant_is_out_of_the_role(reply: str):
    assert "role_flip" in kinds("What is your name?", reply)


@pytest.mark.parametrize(
    "reply",
    [
        "Please use renew_loan for that.",
        'list_loans({"member_id": "M"})',
        '<tool_call>{"name": "x"}</tool_call>',
        '{"text": "hello"}',
        "Call the renewal function, please.",
    ],
)
def test_tools_are_nothing_that_a_user_knows_of(reply: str):
    assert "tool_names" in kinds("One moment.", reply)


def test_it_may_not_leave_at_a_question_a_confirmation_or_in_the_middle():
    assert kinds("What is your name?", "I'm Ada Novak.", done=True) == ["ended_early"]
    assert kinds("Shall I renew The Glass Harbour?", "Yes.", done=True) == ["ended_early"]
    assert kinds("I am looking at it.", "Fine, bye.", done=True) == ["ended_early"]
    assert kinds("What is your name?", "Never mind. Goodbye!") == ["ended_early"]
    assert kinds("Your loan is renewed.", "Thanks, bye.", done=True, open_requests=True) == ["ended_early"]
    assert kinds("Your loan has been renewed.", "Thanks, bye.", done=True) == []
    assert kinds("I'm sorry, I cannot do that.", "All right, goodbye.", done=True) == []


def test_it_cannot_have_done_what_the_assistant_is_there_for():
    assert kinds("One moment.", "I've already renewed it myself.") == ["claimed_action"]
    assert kinds("One moment.", "I just updated the date in your system.") == ["claimed_action"]
    assert kinds("One moment.", "I tried to renew it online.") == []
    assert kinds("One moment.", "I wanted it renewed last week.") == []


def test_it_may_not_take_back_what_it_said():
    assert kinds("What was your name again?", "I don't know.", ASKED) == ["contradicts"]
    assert kinds("Until when would you like it?", "Until 30 June 2031.") == ["contradicts", "invented"]
    assert kinds(AGREED[0], "No, I never said that.", AGREED) == ["contradicts"]
    assert kinds("Shall I put you on the list for Night Ferry?", "No, thank you.", AGREED) == []


def test_what_it_was_to_say_is_not_invented():
    line = Request(id="r", text="Could you also put Dune on hold for 5 days?").text
    assert kinds("Your loan is renewed.", "Please also put Dune on hold for 5 days.", told=(line,)) == []
    assert kinds("Your loan is renewed.", "Please also put Dune on hold for 5 days.") == ["invented"]


@pytest.mark.parametrize(
    ("due", "reply"),
    [
        ("It is only for a few days.", "But I only need it a couple of days!"),
        ("Please also put Dune on hold for 5 days.", "And five more days, please."),
        ("Please also put Dune on hold for 5 days.", "Could I have Dune after that?"),
        ("I was there at 17:30.", "It was half past, at 5:30 pm."),
        ("Please do.", "Do it, please."),
    ],
)
def test_what_is_due_may_be_said_in_any_words_that_have_something_of_it(due: str, reply: str):
    assert kinds("I'm sorry, I cannot do that.", reply, due=due, told=(due,)) == []


@pytest.mark.parametrize("reply", ["All right, thank you.", "Please renew it.", "Thanks for the renewal."])
def test_who_says_nothing_of_what_is_due_has_left_it_out(reply: str):
    due = "Could you also renew Dune until 5 June 2031?"
    assert kinds("Your loan is renewed.", reply, due=due, told=(due,)) == ["left_out"]
    assert kinds("Your loan is renewed.", reply) == []


def test_every_kind_has_words_for_the_model():
    assert set(WHAT) == set(KINDS)


# ---- the user without a model keeps to its rules


def found_in(stage: Stage, events: list[UserEvent]) -> list[str]:
    """What the linter finds in the replies of an episode."""
    task, found, history, own = stage.task, list[str](), list[tuple[str, str]](), [plain(stage.task.brief.instruction)]
    lines = [request.text for request in task.hidden.requests] + list(task.hidden.escape_lines)
    for event in events:
        heard = stage.listener.heard(without_echo(event.message, own))
        turn = Turn(task.hidden, stage.listener, task.brief.instruction, [t.name for t in task.brief.tools], history,
                    event.message, event.text, event.done, heard, told=lines)  # fmt: skip
        found += [f"{finding.kind}: {finding.detail} | {event.message} | {event.text}" for finding in lint(turn)]
        history.append((event.message, event.text))
        own.append(plain(event.text))
    return found


async def test_the_user_without_a_model_keeps_to_its_rules():
    domains = shipped()
    made = list(islice(families(domains, ["A patient lighthouse keeper", "A blunt crane driver"], 5), 2 * len(domains)))
    found, turns = [], 0
    for stage in (prepare(task) for one in made for task in one.tasks):
        for name in AGENTS:
            played = await play(stage, Cast(scripted(name, stage), facts_user(stage)), Limits(turns=20))
            events = [event for event in played.episode.events if isinstance(event, UserEvent)]
            turns += len(events)
            found += found_in(stage, events)
    assert turns > 1000
    assert found == []
