"""`called` and `not_called`: which tool calls count."""

import pytest

from synthagent.errors import TaskFault

RENEWED = {"called": {"tool": "renew_loan"}}


def renewal(**more):
    return {"called": {"tool": "renew_loan", **more}}


def hold(**more):
    return {"called": {"tool": "place_hold", **more}}


def test_a_call_counts_once_its_own_tool_has_succeeded(tale):
    tale.call("list_loans", member_id="M-204")
    assert not tale.holds(RENEWED)
    tale.call("renew_loan", loan_id="L-81", new_due="2031-05-23")
    assert tale.holds(RENEWED)


def test_every_matching_call_is_proof(tale):
    tale.call("renew_loan", loan_id="L-81", new_due="2031-05-23")
    tale.call("opening_hours").call("renew_loan", loan_id="L-90", new_due="2031-05-24")
    found = tale.found(RENEWED)
    assert (found.events, found.first, found.last) == ((1, 5), 1, 5)


def test_a_failed_call_counts_only_as_an_attempt(tale):
    tale.call("renew_loan", loan_id="L-00", new_due="2031-05-23")
    assert not tale.holds(RENEWED)
    assert tale.holds({"not_called": {"tool": "renew_loan"}})
    assert tale.holds(renewal(attempted=True))
    assert not tale.holds({"not_called": {"tool": "renew_loan", "attempted": True}})


def test_an_attempt_whose_arguments_could_not_be_read_counts_for_nothing(theatre):
    played = theatre.script({"call": "renew_loan", "args": ["L-81"]}, "Goodbye.")
    assert not theatre.found(renewal(attempted=True), played).holds


def test_not_called_holds_until_the_call_succeeds_and_is_known_at_the_end(tale):
    tale.call("opening_hours")
    found = tale.found({"not_called": {"tool": "renew_loan"}})
    assert found.holds and found.first == found.last == 2
    tale.call("renew_loan", loan_id="L-81", new_due="2031-05-23")
    assert not tale.holds({"not_called": {"tool": "renew_loan"}})


@pytest.mark.parametrize(
    ("args", "counts"),
    [
        ({"title": "Paper Bridges"}, True),
        ({"title": " paper bridges "}, True),  # text by value, whatever its case
        ({"title": "Paper"}, False),
        ({"title": "Paper Bridges II"}, False),
        ({"copies": 2.0}, True),  # numbers by value
        ({"copies": "2"}, False),
        ({"copies": 3}, False),
        ({"express": True}, True),
        ({"express": 1}, False),  # a truth is not a number
        ({"tags": ["a", "b"]}, True),
        ({"tags": ["b", "a"]}, False),
        ({"note": None}, True),  # absent is null
        ({"note": ""}, False),
        ({"title": "Paper Bridges", "copies": 3}, False),  # every argument named must match
    ],
)
def test_arguments_match_by_value(tale, args, counts):
    tale.call("place_hold", member_id="M-204", title="Paper Bridges", copies=2, express=True, tags=["a", "b"])
    assert tale.holds(hold(args=args)) is counts


@pytest.mark.parametrize(
    ("values", "counts"),
    [
        (("spine",), True),
        (("Spine", "23 May"), True),
        (("spine", "cover"), False),  # all of them
        (("spi",), False),  # whole words
        (("2031-05-23",), True),  # a date as people write it
    ],
)
def test_prose_counts_by_the_values_it_mentions(tale, values, counts):
    tale.call("place_hold", member_id="M-204", title="Paper Bridges", note="Broken spine, back on 23 May please.")
    assert tale.holds(hold(mentions={"note": values})) is counts


def test_prose_that_was_not_given_mentions_nothing(tale):
    tale.call("place_hold", member_id="M-204", title="Paper Bridges")
    assert not tale.holds(hold(mentions={"note": ["None"]}))


def test_a_condition_picks_the_calls_for_which_its_sql_returns_a_row(tale):
    tale.call("renew_loan", loan_id="L-81", new_due="2031-05-23")
    waited_for = "SELECT 1 FROM base.loans WHERE loan_id = :loan_id AND waiting > 0"
    assert not tale.holds(renewal(where=waited_for))
    tale.call("renew_loan", loan_id="L-82", new_due="2031-05-23")
    assert tale.found(renewal(where=waited_for)).events == (3,)


def test_a_condition_sees_the_final_state_and_beside_it_the_initial_one(tale):
    tale.call("renew_loan", loan_id="L-81", new_due="2031-05-23")
    assert tale.holds(renewal(where="SELECT 1 FROM loans WHERE loan_id = :loan_id AND due = '2031-05-23'"))
    assert tale.holds(renewal(where="SELECT 1 FROM base.loans WHERE loan_id = :loan_id AND due = '2031-05-09'"))
    assert not tale.holds(renewal(where="SELECT 1 FROM base.loans WHERE loan_id = :loan_id AND due = '2031-05-23'"))


def test_a_condition_reads_absent_arguments_and_lists_as_null(tale):
    tale.call("place_hold", member_id="M-204", title="Paper Bridges", tags=["a"], copies=2)
    assert tale.holds(hold(where="SELECT 1 WHERE :note IS NULL AND :tags IS NULL AND :copies = 2"))


@pytest.mark.parametrize("sql", ["SELECT 1 FROM nowhere", "DELETE FROM loans", "SELECT random()", "SELECT 1; SELECT 2"])
def test_a_condition_that_is_no_plain_query_is_the_tasks_fault(tale, sql):
    tale.call("renew_loan", loan_id="L-81", new_due="2031-05-23")
    with pytest.raises(TaskFault) as caught:
        tale.holds(renewal(where=sql))
    assert caught.value.reason == "rubric" and sql in str(caught.value)
