"""`state` and `unchanged`: what the world looks like in the end, beside what it was."""

import pytest

from synthagent.errors import TaskFault


def renew(tale, loan="L-81", due="2031-05-23"):
    return tale.call("renew_loan", loan_id=loan, new_due=due)


def unchanged(*exempt, tables=()):
    return {"unchanged": {"tables": list(tables), "except": list(exempt)}}


SALT = {"table": "loans", "key": {"loan_id": "L-81"}}


@pytest.mark.parametrize(
    ("sql", "holds"),
    [
        ("SELECT due = '2031-05-23' FROM loans WHERE loan_id = 'L-81'", True),
        ("SELECT due = '2031-05-09' FROM loans WHERE loan_id = 'L-81'", False),
        ("SELECT due = '2031-05-09' FROM base.loans WHERE loan_id = 'L-81'", True),
        ("SELECT m.due > b.due FROM main.loans m JOIN base.loans b USING (loan_id) WHERE loan_id = 'L-81'", True),
        ("SELECT COUNT(*) = 3 FROM loans", True),
        ("SELECT 1 FROM loans WHERE loan_id = 'L-00'", False),  # no row
        ("SELECT note FROM holds", False),  # null
        ("SELECT 0, 1", False),  # the first value decides
        ("SELECT 1 FROM (SELECT 0 UNION SELECT 1)", True),
    ],
)
def test_a_state_holds_when_its_first_value_is_true(tale, sql, holds):
    assert renew(tale).holds({"state": sql}) is holds


def test_a_state_is_known_at_the_end_and_proved_by_the_writes(tale):
    tale.call("opening_hours").call("renew_loan", loan_id="L-00", new_due="2031-05-23")
    found = renew(tale).tell("Done.").found({"state": "SELECT 1"})
    assert (found.events, found.first, found.last) == ((5,), 7, 7)


def test_rows_that_went_and_came_are_seen(tale):
    tale.call("drop_hold", hold_id="H-5").call("place_hold", member_id="M-204", title="Slow Tides")
    assert tale.holds({"state": "SELECT COUNT(*) = 0 FROM holds WHERE hold_id = 'H-5'"})
    fresh = "NOT EXISTS (SELECT 1 FROM base.holds b WHERE b.hold_id = n.hold_id)"
    assert tale.holds({"state": f"SELECT COUNT(*) = 1 FROM holds n WHERE title = 'Slow Tides' AND {fresh}"})


def test_one_episode_leaves_nothing_behind_for_the_next(tale, stage):
    check = {"state": "SELECT due = '2031-05-09' FROM loans WHERE loan_id = 'L-81'"}
    assert not renew(tale).holds(check)
    assert type(tale)(stage).holds(check)


@pytest.mark.parametrize("sql", ["SELECT", "UPDATE loans SET due = ''", "SELECT datetime('now')"])
def test_a_state_that_is_no_plain_query_is_the_tasks_fault(tale, sql):
    with pytest.raises(TaskFault):
        tale.holds({"state": sql})


def test_a_world_nobody_wrote_to_is_unchanged(tale):
    found = tale.call("opening_hours").tell("Hm.").found(unchanged())
    assert (found.holds, found.events, found.first, found.last) == (True, (), 3, 3)


def test_a_write_that_is_taken_back_leaves_it_unchanged(tale):
    tale.call("pay_fees", member_id="M-204", amount_cents=50).call("pay_fees", member_id="M-204", amount_cents=-50)
    assert tale.holds(unchanged())


def test_a_changed_row_shows_unless_its_table_is_not_asked_about(tale):
    renew(tale)
    assert not tale.holds(unchanged())
    assert not tale.holds(unchanged(tables=["loans"]))
    assert tale.holds(unchanged(tables=["members", "holds"]))


@pytest.mark.parametrize(
    ("exempt", "holds"),
    [
        (SALT, True),
        ({**SALT, "columns": ["due", "renewals"]}, True),
        ({**SALT, "columns": ["due", "renewals", "waiting"]}, True),
        ({**SALT, "columns": ["due"]}, False),  # renewals changed too
        ({"table": "loans", "key": {"loan_id": "L-82"}}, False),
        ({"table": "loans", "key": {"loan_id": "L-81", "member_id": "M-204"}}, True),
        ({"table": "loans", "key": {"loan_id": "L-81", "member_id": "M-377"}}, False),
        ({"table": "loans", "key": {"due": "2031-05-23"}}, False),  # a key names the row as it was
        ({"table": "loans"}, False),  # new rows only
        ({"table": "members", "key": {"loan_id": "L-81"}}, False),
    ],
)
def test_a_changed_row_may_be_exempt_by_key_and_columns(tale, exempt, holds):
    assert renew(tale).holds(unchanged(exempt)) is holds


def test_each_change_needs_an_exemption_and_any_will_do(tale):
    renew(renew(tale), "L-82")
    other = {"table": "loans", "key": {"loan_id": "L-82"}}
    assert tale.holds(unchanged(SALT, other))
    assert not tale.holds(unchanged(SALT))


def test_a_new_row_is_exempt_without_a_key_only(tale):
    tale.call("place_hold", member_id="M-204", title="Slow Tides")
    assert tale.holds(unchanged({"table": "holds"}))
    assert not tale.holds(unchanged({"table": "loans"}))
    assert not tale.holds(unchanged({"table": "holds", "key": {"title": "Slow Tides"}}))


def test_a_row_that_went_is_exempt_as_a_whole_or_not_at_all(tale):
    tale.call("drop_hold", hold_id="H-5")
    gone = {"table": "holds", "key": {"hold_id": "H-5"}}
    assert tale.holds(unchanged(gone))
    assert not tale.holds(unchanged({"table": "holds"}))
    assert not tale.holds(unchanged({**gone, "columns": ["title"]}))
