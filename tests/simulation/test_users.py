"""The user without a model: what it gives away, when it says yes, and when it goes."""

from typing import get_args

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthagent.schema.tasks import Disposition, Request
from synthagent.simulation.hearing import Listener
from synthagent.simulation.users import MANNERS, FactsUser, UserReply
from tests.builders import library

DISPOSITIONS = get_args(Disposition)
TASK = library()
REQUESTS = (
    Request(id="r1", text="Could you also put me on the list for Night Ferry?"),
    Request(id="r2", text="And move my card to the Hill branch, please."),
)


def user(**hidden) -> FactsUser:
    knows = TASK.hidden.model_copy(update=hidden)
    return FactsUser(knows, Listener(knows), TASK.brief.instruction)


async def told(someone: FactsUser, *messages: str) -> list[UserReply]:
    return [await someone.reply(message) for message in messages]


async def test_a_fact_is_told_when_it_is_asked_for_and_not_before():
    hello, name, book = await told(user(), "Hello, one moment.", "What is your name?", "Which book?")
    assert (hello.disclosed, hello.asked) == ((), ())
    assert (name.text, name.disclosed, name.asked) == ("I'm Ada Novak.", ("name",), ("name",))
    assert (book.text, book.disclosed) == ("It's The Glass Harbour.", ("title",))


async def test_of_three_questions_the_first_two_are_answered():
    first, second = await told(user(), "Your name, the title of the book, and until when?", "And until when?")
    assert first.disclosed == ("name", "title")
    assert "23" not in first.text
    assert second.disclosed == ("until",)


@pytest.mark.parametrize("disposition", DISPOSITIONS)
@pytest.mark.parametrize("message", ["Tell me everything.", "Give me all details, please.", "What is your shoe size?"])
async def test_everything_or_something_unheard_of_is_answered_with_not_knowing(disposition, message):
    (reply,) = await told(user(disposition=disposition), message)
    assert reply.text == MANNERS[disposition].unknown
    assert (reply.disclosed, reply.done, reply.heard) == ((), False, "question")


async def test_whoever_asks_how_to_help_hears_the_request_again():
    (reply,) = await told(user(), "How can I help you?")
    assert reply.text == TASK.brief.instruction


async def test_a_confirmation_of_the_right_values_is_agreed_to():
    for disposition in DISPOSITIONS:
        (reply,) = await told(user(disposition=disposition), "Shall I renew The Glass Harbour until 23 May 2031?")
        assert (reply.text, reply.agreed, reply.heard) == (MANNERS[disposition].yes, True, "confirmation")


async def test_a_confirmation_of_a_wrong_value_is_denied_corrected_and_counts_as_asking():
    (reply,) = await told(user(), "Shall I renew The Glass Harbour until 24 May 2031?")
    assert reply.text == f"{MANNERS['cooperative'].no} Until the 23rd of May, please."
    assert (reply.agreed, reply.disclosed, reply.asked) == (False, ("until",), ("until",))


async def test_a_confirmation_of_something_else_is_denied_and_tells_nothing():
    (reply,) = await told(user(), "Shall I order you a pizza?")
    assert (reply.text, reply.agreed, reply.disclosed) == (MANNERS["cooperative"].unrelated, False, ())


async def test_a_refusal_is_argued_with_until_the_arguments_are_spent():
    replies = await told(user(), *["I'm sorry, I can't do that."] * 3)
    assert [reply.text for reply in replies] == [*TASK.hidden.escape_lines, MANNERS["cooperative"].given_up]
    assert [reply.done for reply in replies] == [False, False, True]


async def test_a_refusal_that_offers_something_else_is_argued_with_first():
    offer = "I can't renew it. Shall I order you a pizza instead?"
    first, second, third = await told(user(), offer, offer, offer)
    assert [first.text, second.text] == list(TASK.hidden.escape_lines)
    assert (third.agreed, third.done) == (False, False)


async def test_a_claim_ends_the_episode_even_if_it_is_false():
    (reply,) = await told(user(), "Done, your loan has been renewed.")
    assert (reply.text, reply.done, reply.heard) == (MANNERS["cooperative"].thanks, True, "claim_done")


async def test_requests_come_one_at_a_time_when_the_one_before_is_closed():
    first, name, second, last = await told(
        user(requests=REQUESTS, escape_lines=()), "Done.", "What is your name?", "I can't do that.", "All done."
    )
    assert (first.text, first.disclosed, first.asked) == (REQUESTS[0].text, ("r1",), ("r1",))
    assert name.disclosed == ("name",)
    assert (second.text, second.asked, second.done) == (REQUESTS[1].text, ("r2",), False)
    assert last.done


async def test_who_asked_for_several_things_makes_sure_of_each():
    first, second, last = await told(user(parts=3), "I have renewed it.", "It has been sent.", "I have moved it.")
    assert [first.text, second.text] == [MANNERS["cooperative"].everything] * 2
    assert [reply.done for reply in (first, second, last)] == [False, False, True]


async def test_who_asked_for_several_things_takes_everything_for_an_answer_and_no_repetition_for_progress():
    sure = await told(user(parts=3), "I have renewed it.", "Yes, everything is done.")
    again = await told(user(parts=3), "I have renewed it.", "I have renewed it.")
    assert [reply.done for reply in sure + again] == [False, True, False, True]


async def test_what_asks_and_claims_nothing_is_waited_for():
    replies = await told(user(), "One moment.", "", "I found two loans.")
    assert {reply.text for reply in replies} == {MANNERS["cooperative"].waiting}
    assert not any(reply.done or reply.disclosed for reply in replies)


async def test_repeating_the_users_words_tells_nothing_new():
    someone = user()
    replies = await told(someone, "Which book?", *TASK.hidden.escape_lines)
    for line in (TASK.brief.instruction, *(reply.text for reply in replies)):
        (reply,) = await told(someone, line + "?")
        assert (reply.disclosed, reply.agreed, reply.done) == ((), False, False)


# ---- whatever is said


SENTENCES = (
    "What is your name?", "Which book is it?", "Until when?", "Tell me everything.", "Give me all you have.",
    "Shall I renew The Glass Harbour until 23 May 2031?", "Shall I renew it until 24 May?", "Is that correct?",
    "Shall I order a pizza?", "I can't do that.", "I am not allowed to renew it.", "I cannot find you.",
    "Done.", "Your loan has been renewed.", "I have renewed it.", "Is there anything else?", "One moment.",
    "I'm Ada Novak.", "It is only for a few days.", "renew_loan", "Night Ferry", "Let me look at list_loans.",
    TASK.brief.instruction, "I call transfer_to_human.", "23 May", "Please confirm your name.",
)  # fmt: skip
MESSAGES = st.lists(st.one_of(st.sampled_from(SENTENCES), st.text(max_size=30)), max_size=4).map(" ".join)
TOOL_NAMES = [tool.name for tool in TASK.brief.tools]


@given(st.sampled_from(DISPOSITIONS), st.integers(1, 3), st.sampled_from((0, 2)), st.lists(MESSAGES, max_size=10))
def test_whatever_is_said_the_user_keeps_to_its_rules(disposition, parts, requests, messages):
    someone = user(disposition=disposition, parts=parts, requests=REQUESTS[:requests])
    known = {fact.id for fact in TASK.hidden.facts}
    for reply in anyio.run(told, someone, *messages):
        facts = [one for one in reply.disclosed if one in known]
        assert len(facts) <= 2
        assert set(reply.disclosed) == set(reply.asked)
        for fact in TASK.hidden.facts:
            assert (fact.text in reply.text) == (fact.id in facts)
        assert not any(name in reply.text for name in TOOL_NAMES)
        if reply.done:
            assert reply.heard in ("claim_done", "refusal")
            assert not reply.disclosed


QUESTIONS = ("What is your name?", "Which book is it?", "Until when?", "Shall I renew it until 24 May?",
             "Shall I renew The Glass Harbour until 23 May 2031?", "Is that correct?")  # fmt: skip
CLAIMS = ("Done.", "Your loan has been renewed.", "I can't do that.", "One moment.", "I have renewed it.")


@given(st.permutations(CLAIMS), st.sampled_from(QUESTIONS), st.integers(0, 5), st.sampled_from(DISPOSITIONS))
def test_nobody_goes_while_a_question_for_a_fact_or_a_yes_is_open(claims, question, place, disposition):
    message = " ".join([*claims[:place], question, *claims[place:]])
    (reply,) = anyio.run(told, user(disposition=disposition, escape_lines=()), message)
    assert not reply.done


@given(st.lists(st.sampled_from(SENTENCES[:9]), min_size=1, max_size=5), st.data())
def test_an_echo_is_never_asked_whatever_has_been_said_before(messages, data):
    someone = user()
    replies = anyio.run(told, someone, *messages)
    echo = data.draw(st.sampled_from([TASK.brief.instruction, *(reply.text for reply in replies)]))
    (reply,) = anyio.run(told, someone, echo)
    assert reply.disclosed == ()
    assert not reply.agreed
