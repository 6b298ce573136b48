"""`before`, `all`, `any`, `not`: checks of checks, and when they came true."""

import pytest


def did(tool):
    return {"called": {"tool": tool}}


LOANS, HOURS, ACCOUNT = did("list_loans"), did("opening_hours"), did("get_account")
CALLS = {
    "L": ("list_loans", {"member_id": "M-204"}),
    "H": ("opening_hours", {}),
    "A": ("get_account", {"member_id": "M-204"}),
}


def tell(tale, order):
    for letter in order:
        tool, arguments = CALLS[letter]
        tale.call(tool, **arguments)
    return tale


@pytest.mark.parametrize(
    ("order", "holds"), [("LH", True), ("HL", False), ("HLH", True), ("LHL", True), ("L", False), ("H", False)]
)
def test_before_compares_the_first_proof_of_one_with_the_last_of_the_other(tale, order, holds):
    assert tell(tale, order).holds({"before": [LOANS, HOURS]}) is holds


def test_before_keeps_the_proofs_that_matter(tale):
    found = tell(tale, "HLLHL").found({"before": [LOANS, HOURS]})
    assert (found.events, found.first, found.last) == ((3, 5, 7), 7, 7)


def test_nothing_comes_before_itself(tale):
    assert not tell(tale, "L").holds({"before": [LOANS, LOANS]})
    assert not tale.holds({"before": [{"state": "SELECT 1"}, {"state": "SELECT 1"}]})


def test_what_only_the_end_tells_comes_after_every_event(tale):
    tell(tale, "L")
    assert tale.holds({"before": [LOANS, {"not_called": {"tool": "renew_loan"}}]})
    assert not tale.holds({"before": [{"state": "SELECT 1"}, LOANS]})


def test_before_may_be_chained(tale):
    chain = {"before": [{"before": [LOANS, HOURS]}, ACCOUNT]}
    assert tell(tale, "LHA").holds(chain)
    tale = type(tale)(tale.stage)
    assert not tell(tale, "LAH").holds(chain)


def test_all_needs_every_part_and_gathers_their_proofs(tale):
    assert not tell(tale, "H").holds({"all": [LOANS, HOURS]})
    found = tell(tale, "LH").found({"all": [LOANS, HOURS, HOURS]})
    assert found.holds and found.events == (1, 3, 5)


def test_any_needs_one_part_and_gathers_the_proofs_of_those_that_hold(tale):
    assert not tell(tale, "A").holds({"any": [LOANS, HOURS]})
    assert tell(tale, "H").found({"any": [LOANS, HOURS, HOURS]}).events == (3,)


@pytest.mark.parametrize(("order", "holds"), [("LHA", True), ("HLA", True), ("LAH", False), ("ALH", False)])
def test_all_is_first_true_when_its_last_part_is(tale, order, holds):
    assert tell(tale, order).holds({"before": [{"all": [LOANS, HOURS]}, ACCOUNT]}) is holds


@pytest.mark.parametrize(("order", "holds"), [("LAH", True), ("HAL", True), ("LHA", False)])
def test_all_is_last_true_with_its_last_part(tale, order, holds):
    assert tell(tale, order).holds({"before": [ACCOUNT, {"all": [LOANS, HOURS]}]}) is holds


@pytest.mark.parametrize(("order", "holds"), [("LAH", True), ("HAL", True), ("ALH", False)])
def test_any_is_first_true_with_its_first_part(tale, order, holds):
    assert tell(tale, order).holds({"before": [{"any": [LOANS, HOURS]}, ACCOUNT]}) is holds


@pytest.mark.parametrize(("order", "holds"), [("LAH", True), ("HAL", True), ("LHA", False)])
def test_any_is_last_true_with_its_last_part(tale, order, holds):
    assert tell(tale, order).holds({"before": [ACCOUNT, {"any": [LOANS, HOURS]}]}) is holds


def test_not_turns_a_check_round_and_is_known_at_the_end(tale):
    found = tell(tale, "H").found({"not": LOANS})
    assert (found.holds, found.events, found.first, found.last) == (True, (), 2, 2)
    assert not tale.holds({"not": HOURS})
    assert tale.holds({"not": {"not": HOURS}})
