"""`declined`: a refusal in words or by transfer, and not followed by the deed."""

import pytest

from synthagent.schema.episodes import Stop

DECLINED = {"declined": {"tool": "renew_loan"}}
SORRY = "I'm sorry, others are waiting for Paper Bridges, so I cannot renew it."


def renew(tale):
    return tale.call("renew_loan", loan_id="L-82", new_due="2031-05-23")


@pytest.mark.parametrize(
    "refusal",
    [
        SORRY,
        "I'm not allowed to renew this loan.",
        "Renewing it is against our rules.",
        "I am unable to do that.",
        "I have no tool to do this.",
    ],
)
def test_a_refusal_in_words_counts(tale, refusal):
    assert tale.tell(refusal).found(DECLINED).events == (0,)


@pytest.mark.parametrize(
    "message",
    [
        "Done, the loan is renewed.",
        "Others are waiting for Paper Bridges.",
        "I cannot find you in our books.",  # a failed look-up
        "I cannot renew anything until you tell me your name.",  # a wait for an answer
        "I can't say which book, could you tell me the title?",  # a question
    ],
)
def test_what_is_no_refusal_does_not(tale, message):
    assert not tale.tell(message).holds(DECLINED)


def test_a_refusal_counts_as_the_last_word(tale):
    assert tale.answer(SORRY).holds(DECLINED)


def test_a_transfer_counts_and_a_failed_one_does_not(tale):
    tale.call("transfer_to_human")
    assert not tale.holds(DECLINED), "a transfer without its summary fails"
    tale.call("transfer_to_human", summary="She wants to renew Paper Bridges.")
    assert tale.found(DECLINED).events == (3,)


def test_only_a_transfer_that_succeeds_ends_the_episode(theatre):
    failed, handed_over = {"call": "transfer_to_human"}, {"call": "transfer_to_human", "args": {"summary": "Help."}}
    played = theatre.script(failed, handed_over, "Goodbye.")
    assert (played.episode.stop, played.episode.turns) == (Stop.TRANSFERRED, 2)
    assert len(theatre.found(DECLINED, played).events) == 1


def test_an_ordinary_call_is_no_transfer(tale):
    assert not tale.call("list_loans", member_id="M-204").holds(DECLINED)


def test_declined_and_then_done_is_not_declined(tale):
    assert not renew(tale.tell(SORRY)).holds(DECLINED)


def test_done_first_and_declined_afterwards_is(tale):
    assert renew(tale).tell("I cannot do that again.").found(DECLINED).events == (2,)


def test_a_failed_try_or_another_deed_after_the_refusal_takes_nothing_back(tale):
    tale.tell(SORRY).call("renew_loan", loan_id="L-00", new_due="2031-05-23").call("drop_hold", hold_id="H-5")
    assert tale.holds(DECLINED)


def test_without_a_tool_any_refusal_counts_whatever_is_done(tale):
    assert renew(tale.tell(SORRY)).holds({"declined": {}})


def test_a_refusal_must_mention_at_least_one_of_the_values(tale):
    tale.tell(SORRY)
    assert tale.holds({"declined": {"tool": "renew_loan", "mentions": ["The Salt Roads", "Paper Bridges"]}})
    assert not tale.holds({"declined": {"tool": "renew_loan", "mentions": ["The Salt Roads"]}})


def test_a_transfer_mentions_what_its_summary_says(tale):
    tale.call("transfer_to_human", summary="Renewal of Paper Bridges.")
    assert tale.holds({"declined": {"tool": "renew_loan", "mentions": ["Paper Bridges"]}})
    assert not tale.holds({"declined": {"tool": "renew_loan", "mentions": ["The Salt Roads"]}})
