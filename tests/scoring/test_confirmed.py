"""`confirmed`: the agent named this very action, the user agreed, and nothing else was written in between."""

import pytest

CONFIRMED = {"confirmed": {"tool": "renew_loan", "args": ["new_due"], "values": ["The Salt Roads"]}}
DATE_ONLY = {"confirmed": {"tool": "renew_loan"}}
QUESTION = "Shall I renew The Salt Roads until 23 May 2031?"


def renew(tale, loan="L-81", due="2031-05-23"):
    return tale.call("renew_loan", loan_id=loan, new_due=due)


def test_named_agreed_and_done(tale):
    found = renew(tale.ask_yes(QUESTION)).found(CONFIRMED)
    assert found.holds and found.events == (0, 2)


def test_nothing_done_is_nothing_confirmed(tale):
    assert not tale.ask_yes(QUESTION).holds(CONFIRMED)


def test_done_without_a_question(tale):
    assert not renew(tale).holds(CONFIRMED)


def test_a_yes_that_comes_after_the_deed_is_too_late(tale):
    assert not renew(tale).ask_yes(QUESTION).holds(CONFIRMED)


def test_a_reply_that_does_not_agree_is_no_yes(tale):
    assert not renew(tale.tell(QUESTION, "No, that is wrong.")).holds(CONFIRMED)


@pytest.mark.parametrize(
    "question",
    [
        "Shall I go ahead?",
        "Shall I renew The Salt Roads?",  # an argument is missing
        "Shall I renew it until 23 May 2031?",  # a value is missing
        "Shall I renew The Salt Roads until 30 May 2031?",  # agreed to another value
        "Shall I renew Paper Bridges until 23 May 2031?",
    ],
)
def test_a_yes_to_something_else_does_not_count(tale, question):
    assert not renew(tale.ask_yes(question)).holds(CONFIRMED)


def test_without_a_list_every_argument_but_ids_must_be_named(tale):
    renew(tale.ask_yes("Shall I make it due on 23 May 2031?"))
    assert tale.holds(DATE_ONLY), "nobody is told a loan_id"
    assert not renew(tale.ask_yes("Shall I renew it?"), due="2031-05-24").holds(DATE_ONLY)


def test_listed_values_alone_suffice(tale):
    renew(tale.ask_yes("Shall I renew The Salt Roads?"))
    assert tale.holds({"confirmed": {"tool": "renew_loan", "values": ["The Salt Roads"]}})


def test_an_argument_that_was_not_given_need_not_be_named(tale):
    tale.ask_yes("Shall I reserve Slow Tides?").call("place_hold", member_id="M-204", title="Slow Tides")
    assert tale.holds({"confirmed": {"tool": "place_hold", "args": ["title", "note"]}})


def test_truths_and_lists_have_no_spelling_to_look_for(tale):
    tale.ask_yes("Shall I reserve Slow Tides as an express order?")
    tale.call("place_hold", member_id="M-204", title="Slow Tides", express=True, tags=["a"])
    assert tale.holds({"confirmed": {"tool": "place_hold"}})


def test_a_foreign_write_between_yes_and_deed_spoils_it(tale):
    renew(tale.ask_yes(QUESTION).call("drop_hold", hold_id="H-5").call("pay_fees", member_id="M-204", amount_cents=50))
    assert not tale.holds(CONFIRMED)


def test_reads_and_failed_writes_between_do_not(tale):
    tale.ask_yes(QUESTION).call("find_member", name="Nobody").call("pay_fees", member_id="M-999", amount_cents=50)
    assert renew(tale).holds(CONFIRMED)


def test_what_is_written_afterwards_takes_nothing_back(tale):
    renew(tale.ask_yes(QUESTION)).call("pay_fees", member_id="M-204", amount_cents=50)
    assert tale.holds(CONFIRMED)


def test_one_question_may_name_two_actions(tale):
    tale.ask_yes("Shall I take 50 cents of your fees and renew The Salt Roads until 23 May 2031?")
    renew(tale.call("pay_fees", member_id="M-204", amount_cents=50))
    assert tale.holds(CONFIRMED)


def test_a_write_that_the_question_named_otherwise_is_foreign(tale):
    tale.ask_yes("Shall I take 60 cents of your fees and renew The Salt Roads until 23 May 2031?")
    renew(tale.call("pay_fees", member_id="M-204", amount_cents=50))
    assert not tale.holds(CONFIRMED)


def test_a_write_before_the_question_is_not_in_between(tale):
    renew(tale.call("pay_fees", member_id="M-204", amount_cents=50).ask_yes(QUESTION))
    assert tale.holds(CONFIRMED)


def test_every_call_of_the_tool_needs_its_own_yes(tale):
    renew(tale.ask_yes(QUESTION))
    renew(tale, "L-90", "2031-05-30")
    assert not tale.holds(DATE_ONLY)


def test_a_failed_call_needs_none(tale):
    renew(renew(tale, "L-00").ask_yes(QUESTION))
    assert tale.holds(CONFIRMED)


def test_a_yes_holds_over_further_talk_and_a_later_yes_to_something_else(tale):
    tale.ask_yes(QUESTION).tell("One moment.").ask_yes("Shall I also look up the opening hours?")
    assert renew(tale).found(CONFIRMED).events == (0, 4)


def test_the_latest_yes_is_the_proof(tale):
    assert renew(tale.ask_yes(QUESTION).ask_yes(QUESTION)).found(CONFIRMED).events == (1, 3)


def test_asked_with_a_wrong_date_the_user_corrects_and_nothing_is_confirmed(theatre):
    renewal = {"call": "renew_loan", "args": {"loan_id": "L-81", "new_due": "2031-05-30"}}
    played = theatre.script("Shall I renew The Salt Roads until 30 May 2031?", renewal, "Done.")
    reply = next(event for event in played.episode.events if event.kind == "user")
    assert not reply.agreed and "23 May" in reply.text
    assert not theatre.found(CONFIRMED, played).holds
    assert theatre.found({"asked": "until"}, played).holds, "the correction gives the fact away: it was asked for"


def test_a_foreign_write_that_was_played_is_on_record(theatre):
    payment = {"call": "pay_fees", "args": {"member_id": "M-204", "amount_cents": 50}}
    renewal = {"call": "renew_loan", "args": {"loan_id": "L-81", "new_due": "2031-05-23"}}
    assert theatre.found(CONFIRMED, theatre.script(QUESTION, renewal, "Done.")).holds
    assert not theatre.found(CONFIRMED, theatre.script(QUESTION, [payment, renewal], "Done.")).holds
