"""Obvious personal data in a persona: personas are meant to be kinds of people, and their text goes into many tasks.

Finds what has a form: addresses, numbers, cards. Whether a name belongs to somebody no pattern can tell.
"""

import re
from collections.abc import Iterator

_PHONE = r"(?<![\w-])(?:\+\d{1,3}[\s-]?)?(?:\(\d{2,4}\)[\s-]?)?\d{3}[\s-]\d{3,4}(?:[\s-]\d{2,4})*\b"
_BYTE = r"(?:25[0-5]|2[0-4]\d|1?\d?\d)"
_STREET = r"(?:St|Street|Ave|Avenue|Rd|Road|Lane|Ln|Drive|Dr|Blvd|Boulevard)"
_DAY = r"(?:\d{1,2}[./-]\d{1,2}[./-]\d{2,4}|\d{4}-\d{2}-\d{2})"
_FORMS: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("an e-mail address", re.compile(r"[\w.+-]+@[\w-]+\.[\w.-]*\w")),
    ("a phone number", re.compile(_PHONE)),
    ("a phone number", re.compile(r"(?<!\w)\+\d[\d\s()-]{7,16}\d\b")),
    ("a social security number", re.compile(r"(?<![\w-])\d{3}-\d{2}-\d{4}(?![\w-])")),
    ("an IP address", re.compile(rf"(?<![\w.])(?:{_BYTE}\.){{3}}{_BYTE}(?![\w.])")),
    ("a street address", re.compile(rf"\b\d{{1,5}}[a-z]?\s+(?:[A-Z][\w'.-]*\s+){{1,3}}{_STREET}\b")),
    ("a date of birth", re.compile(rf"\b(?:born|birth(?:day|date)?|DOB)\b[^.;]{{0,20}}\b{_DAY}", re.I)),
)
_CARD = re.compile(r"(?<!\d)(?:\d[ -]?){12,18}\d(?!\d)")
_IBAN = re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b")


def personal_data(text: str) -> list[str]:
    """What kinds of personal data a text holds, each once; none if nothing is found."""
    return list(dict.fromkeys(_found(text)))


def _found(text: str) -> Iterator[str]:
    for kind, form in _FORMS:
        if form.search(text):
            yield kind
    if any(_luhn(re.sub(r"\D", "", match[0])) for match in _CARD.finditer(text)):
        yield "a card number"
    if any(_is_iban(match[0].replace(" ", "")) for match in _IBAN.finditer(text)):
        yield "a bank account"


def _luhn(digits: str) -> bool:
    """The checksum of card numbers (ISO/IEC 7812-1)."""
    doubled = [int(d) * (2 if place % 2 else 1) for place, d in enumerate(reversed(digits))]
    return sum(d - 9 if d > 9 else d for d in doubled) % 10 == 0


def _is_iban(text: str) -> bool:
    """The checksum of bank accounts (ISO 13616)."""
    moved = text[4:] + text[:4]
    return 15 <= len(text) <= 34 and int("".join(str(int(letter, 36)) for letter in moved)) % 97 == 1
