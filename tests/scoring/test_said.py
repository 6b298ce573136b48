"""`said`: a value that reached the user, and that only a tool can have given."""

import pytest

FEES = {"said": {"tool": "get_account", "path": "fees_cents"}}
RENEWALS = {"said": {"tool": "renew_loan", "path": "renewals"}}


def test_a_value_counts_when_a_result_gave_it_before_the_message(tale):
    tale.tell("That makes 2 renewals.")
    tale.call("renew_loan", loan_id="L-81", new_due="2031-05-23")
    assert not tale.holds(RENEWALS), "said before it could be known"
    tale.tell("It is renewed.")
    assert not tale.holds(RENEWALS), "not said since"
    tale.tell("That makes 2 renewals.")
    assert tale.found(RENEWALS).events == (4,)


def test_the_last_word_counts_as_said(tale):
    tale.call("renew_loan", loan_id="L-81", new_due="2031-05-23").answer("That makes 2 renewals.")
    assert tale.holds(RENEWALS)


def test_another_tools_result_or_another_value_does_not_count(tale):
    tale.call("list_loans", member_id="M-204").tell("That makes 2 renewals.")
    assert not tale.holds(RENEWALS)
    tale.call("renew_loan", loan_id="L-81", new_due="2031-05-23").tell("That makes 3 renewals.")
    assert not tale.holds(RENEWALS)


def test_an_equal_field_of_another_tools_result_does_not_count(tale):
    tale.call("get_account", member_id="M-204").tell("You owe 42.50.")
    assert not tale.holds({"said": {"tool": "pay_fees", "path": "fees_cents"}})


def test_a_failed_call_gives_no_value(tale):
    tale.call("renew_loan", loan_id="L-00", new_due="2031-05-23").tell("There is no such loan.")
    assert not tale.holds({"said": "no such loan"})


def test_any_earlier_result_of_the_tool_may_be_told(tale):
    tale.call("renew_loan", loan_id="L-81", new_due="2031-05-23")
    tale.call("renew_loan", loan_id="L-81", new_due="2031-05-24").tell("After the first time it had 2 renewals.")
    assert tale.holds(RENEWALS)


def test_a_value_named_beside_the_path_must_be_the_result_there(tale):
    tale.call("renew_loan", loan_id="L-81", new_due="2031-05-23").tell("That makes 2 renewals.")
    assert tale.holds({"said": {"tool": "renew_loan", "path": "renewals", "value": 2}})
    assert not tale.holds({"said": {"tool": "renew_loan", "path": "renewals", "value": 3}})


@pytest.mark.parametrize(
    ("path", "counts"),
    [("1.title", True), ("0.title", False), ("2.title", False), ("1.author", False), ("1", False), ("title", False)],
)
def test_a_path_leads_into_lists_and_objects_or_nowhere(tale, path, counts):
    tale.call("list_loans", member_id="M-204").tell("You have 2, the last is Paper Bridges.")
    assert tale.holds({"said": {"tool": "list_loans", "path": path}}) is counts


def test_what_the_user_said_before_is_an_echo_and_afterwards_is_not(tale):
    tale.call("opening_hours").tell("How many desks do you need?", "I need 7.").tell("We have 7 desks.")
    assert not tale.holds({"said": 7})


def test_what_the_user_says_in_reply_or_later_takes_nothing_away(tale):
    tale.call("opening_hours").tell("We have 7 desks.", "Only 7?").tell("Sorry.", "7 is not many.")
    assert tale.found({"said": 7}).events == (2,)


@pytest.mark.parametrize(("value", "told"), [(14, "the instruction"), ("1500", "a rule")])
def test_what_the_brief_says_is_an_echo(tale, value, told):
    tale.call("opening_hours").tell(f"There are {value}, as you know, and 7 desks.")
    assert tale.holds({"said": 7})
    assert not tale.holds({"said": value}), f"it is in {told}"


@pytest.mark.parametrize(
    ("value", "spelling"),
    [
        ("2031-05-26", "2031-05-26"),
        ("2031-05-26", "the 26th of May"),
        ("2031-05-26", "May 26, 2031"),
        ("2031-05-26", "26/05/2031"),
        ("09:30", "9:30 am"),
        ("09:30", "09.30 a.m."),
        ("2031-05-27T14:15", "27 May at 2:15 pm"),
        (7, "seven"),
        ("The Salt Roads", "the salt roads"),  # within a longer text of the result
    ],
)
def test_dates_times_and_numbers_count_in_other_spellings(tale, value, spelling):
    tale.call("opening_hours").tell(f"I can tell you: {spelling}.")
    assert tale.holds({"said": value})


@pytest.mark.parametrize(
    ("value", "other"),
    [
        ("2031-05-26", "the 27th of May"),
        ("2031-05-26", "26 May 2030"),
        ("09:30", "9:30 pm"),
        ("2031-05-27T14:15", "27 May"),
        (7, "17"),
        ("The Salt Roads", "the roads"),
        ("Slow Tides", "Slow Tides"),  # no result gave it
    ],
)
def test_another_date_time_or_number_does_not_count(tale, value, other):
    tale.call("opening_hours").tell(f"I can tell you: {other}.")
    assert not tale.holds({"said": value})


@pytest.mark.parametrize("check", [FEES, {"said": 4250}])
@pytest.mark.parametrize(
    ("amount", "counts"),
    [("42.50", True), ("$42.50", True), ("4250 cents", True), ("4,250 cents", True), ("42", False), ("425.0", False)],
)
def test_cents_count_as_money(tale, check, amount, counts):
    tale.call("get_account", member_id="M-204").tell(f"You owe {amount}.")
    assert tale.holds(check) is counts


@pytest.mark.parametrize("check", [FEES, {"said": 4250}])
@pytest.mark.parametrize("told", ["I owe $42.50, I think.", "It is 4250 cents, I think."])
def test_an_amount_the_user_named_is_an_echo_in_either_spelling(tale, check, told):
    tale.call("get_account", member_id="M-204").tell("How much do you owe?", told).tell("You owe $42.50.")
    assert not tale.holds(check)


def test_cents_are_read_from_integers_only(tale):
    tale.call("opening_hours").tell("It takes 15.00 people.")
    assert not tale.holds({"said": "1500"})
