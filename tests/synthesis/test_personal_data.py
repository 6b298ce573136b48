"""Obvious personal data in a persona is found; numbers that are none are not."""

import pytest

from synthagent.synthesis.personal_data import personal_data
from synthagent.synthesis.personas import shipped


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Write to jo.doe+x@mail.example.org", "an e-mail address"),
        ("Call me at +44 20 7946 0958", "a phone number"),
        ("Ring (555) 010-2233 after six", "a phone number"),
        ("My card is 4111 1111 1111 1111", "a card number"),
        ("Account GB82 WEST 1234 5698 7654 32", "a bank account"),
        ("SSN 078-05-1120", "a social security number"),
        ("Lives at 221b Baker Street", "a street address"),
        ("Somebody born on 1987-03-12 in Rome", "a date of birth"),
        ("Always online from 192.168.10.24", "an IP address"),
    ],
)
def test_what_has_a_form_is_found(text, found):
    assert found in personal_data(text)


@pytest.mark.parametrize(
    "text",
    [
        "A historian of the 1930-1945 years who owns 12,000 books",
        "A runner with a best of 2:04:35 over 42 km",
        "A collector of 4111 1111 1111 1112 things",
        "A clerk at counter 12 of the Street Food Office",
        "A radio amateur on 144.300.500 and 7.060.1",
        "A teacher of grade 10-12 physics since 2004",
    ],
)
def test_numbers_alone_are_no_personal_data(text):
    assert personal_data(text) == []


def test_the_shipped_personas_hold_none():
    assert [persona for persona in shipped() if personal_data(persona)] == []
