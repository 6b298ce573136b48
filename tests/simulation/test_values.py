"""Whether a text mentions a value, as people write dates, times, amounts and names."""

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthagent.simulation.values import kind_of, mentions, mentions_money, plain
from synthagent.synthesis.procedural.rows import spoken

DATES = st.dates(datetime.date(2000, 1, 1), datetime.date(2099, 12, 31))
MONTHS = "January February March April May June July August September October November December".split()


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("Until the 23rd of May would be perfect.", "2031-05-23"),
        ("May 23rd, 2031", "2031-05-23"),
        ("on 23/05/2031", "2031-05-23"),
        ("on 2031-05-23.", "2031-05-23"),
        ("23 May", "2031-05-23"),
        ("at 3 pm", "15:00"),
        ("at 3:00 p.m., then", "15:00"),
        ("at 15:00", "15:00"),
        ("at noon", "12:00"),
        ("12 am", "00:00"),
        ("on 23 May at 9:30", "2031-05-23T09:30:00"),
        ("1,250 of them", 1250),
        ("that is $12.50.", 12.5),
        ("three chairs, please", 3),
        ("3.0", "3"),
        ("It's the glass harbour!", "The Glass Harbour"),
        ("“Ada’s” book", "Ada"),
        ("the order L-12.", "L-12"),
        ("yes", True),
        ("No.", False),
    ],
)
def test_a_value_is_mentioned_in_the_forms_people_use(text, value):
    assert mentions(text, value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("the 24th of May", "2031-05-23"),
        ("23 May 2030", "2031-05-23"),
        ("2031-05-230", "2031-05-23"),
        ("the 23rd", "2031-05-23"),
        ("at 3 am", "15:00"),
        ("at 15:30", "15:00"),
        ("order L-12", 12),
        ("at 12:30", 12),
        ("12 May 2031", 12),
        ("12,500", 12),
        ("one of my books", 1),
        ("the Glass Harbours", "The Glass Harbour"),
        ("harbour glass the", "The Glass Harbour"),
        ("L-123", "L-12"),
        ("", "x"),
        ("anything", "..."),
        ("nobody", False),
    ],
)
def test_what_only_looks_like_the_value_is_not_a_mention(text, value):
    assert not mentions(text, value)


@given(DATES, DATES)
def test_a_date_is_found_however_it_is_written_and_no_other_date_is(day, other):
    month = MONTHS[day.month - 1]
    forms = [day.isoformat(), spoken(day.isoformat()), f"{month} {day.day}", f"the {day.day} of {month[:3]}, ok?"]
    for form in forms:
        assert mentions(f"Could it be {form}", day.isoformat())
        if (day.month, day.day) != (other.month, other.day):
            assert not mentions(f"Could it be {form}", other.isoformat())


@given(st.integers(21, 10**9), st.integers(21, 10**9))
def test_a_number_is_found_with_and_without_separators_and_no_other_is(number, other):
    for form in (f"{number}", f"{number:,}", f"${number:,}", f"({number}).", f"{number}.00"):
        assert mentions(f"I count {form} in all", number)
        assert mentions(f"I count {form} in all", other) == (number == other)


@pytest.mark.parametrize(
    ("text", "cents", "said"),
    [
        ("$42.50", 4250, True),
        ("42.5 euros", 4250, True),
        ("4250 cents", 4250, True),
        ("42", 4200, True),
        ("42", 4250, False),
        ("425", 4250, False),
    ],
)
def test_money_in_cents_is_found_in_units_too(text, cents, said):
    assert mentions_money(text, cents) is said


@pytest.mark.parametrize(
    ("value", "kind"),
    [(True, "truth"), (1, "number"), ("12", "number"), ("012", "text"), ("2031-05-23", "date"), ("09:30", "time"),
     ("2031-05-23T09:30", "datetime"), ("Ada", "text")],
)  # fmt: skip
def test_a_value_shows_its_kind(value, kind):
    assert kind_of(value) == kind


@given(st.text())
def test_the_same_words_are_the_same_whatever_case_and_punctuation(text):
    assert plain(plain(text)) == plain(text)
    assert not plain(text) or mentions(f"So: {text}!", plain(text)) or kind_of(plain(text)) != "text"
