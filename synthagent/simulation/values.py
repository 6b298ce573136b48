"""Does a text mention a value? Dates, times, numbers and names as people write them.

Pure, and shared by the user (what was named to me?) and the checks (what was said?), so that both read alike.
"""

import re
from datetime import date, datetime
from functools import lru_cache
from typing import Any

_MONTHS = {
    name: number
    for number, names in enumerate(
        "jan january|feb february|mar march|apr april|may|jun june|jul july|aug august|sep sept september|oct october|"
        "nov november|dec december".split("|"),
        start=1,
    )
    for name in names.split()
}
_MONTH = "(" + "|".join(sorted(_MONTHS, key=len, reverse=True)) + r")\.?"
_ISO = re.compile(r"\b(\d{4})-(\d{2})-(\d{2})(?:[T ](\d{2}):(\d{2})(?::\d{2})?)?\b")
_DAY_MONTH = re.compile(
    rf"\b(\d{{1,2}})(?:st|nd|rd|th)?(?:\s+day)?(?:\s+of)?[\s-]+{_MONTH}(?:,?[\s-]+(\d{{4}}))?\b", re.I
)
_MONTH_DAY = re.compile(rf"\b{_MONTH}\s+(?:the\s+)?(\d{{1,2}})(?:st|nd|rd|th)?(?:,?\s+(\d{{4}}))?\b", re.I)
_SLASHED = re.compile(r"\b(\d{1,2})[/.](\d{1,2})[/.](\d{4})\b")
_CLOCK = re.compile(r"\b(\d{1,2})[:.](\d{2})\s*(a\.?m\b\.?|p\.?m\b\.?)?(?!\d)", re.I)
_HOUR = re.compile(r"\b(\d{1,2})\s*(a\.?m\b\.?|p\.?m\b\.?|o'clock)", re.I)
_NUMBER = re.compile(r"(?<![\w.,:/-])[-+]?(?:[$€£]\s?)?(\d{1,3}(?:,\d{3})+|\d+)(\.\d+)?(?![\w:/]|-\w|\.\d|,\d)")
_TWENTY = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen twenty"
).split()
# Not "one": in "one of my books" it is no number.
_WORDS = {word: number for number, word in enumerate(_TWENTY) if word != "one"} | {
    "twice": 2, "thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "dozen": 12,
}  # fmt: skip
_WORD = re.compile(r"\b(" + "|".join(_WORDS) + r")\b", re.I)
_QUOTES = str.maketrans({"’": "'", "‘": "'", "“": '"', "”": '"', "–": "-", "—": " - ", "\u00a0": " ", "\u202f": " "})


class Reading:
    """A text read once: its dates, times and numbers, and itself in a form to search."""

    __slots__ = ("dates", "numbers", "text", "times")

    def __init__(self, raw: str):
        text = raw.translate(_QUOTES)
        self.text = f" {plain(text)} "
        self.dates, self.times, rest = _moments(text)
        self.numbers = _numbers(rest)


@lru_cache(maxsize=2048)
def reading(text: str) -> Reading:
    """The text, read; kept since users and checks ask many things of one message."""
    return Reading(text)


@lru_cache(maxsize=8192)
def plain(text: str) -> str:
    """Lower case, words and numbers only, one space between: what "the same words" means here."""
    words = re.findall(r"[\w]+(?:[.'-][\w]+)*|[%]", text.translate(_QUOTES).casefold())
    return " ".join(word.removesuffix("'s") for word in words)


@lru_cache(maxsize=4096, typed=True)
def kind_of(value: Any) -> str:
    """`date`, `time`, `datetime`, `number`, `truth` or `text`."""
    if isinstance(value, bool):
        return "truth"
    if isinstance(value, int | float):
        return "number"
    if re.fullmatch(r"\d{4}-\d{2}-\d{2}", value):
        return "date"
    if re.fullmatch(r"\d{2}:\d{2}", value):
        return "time"
    if re.fullmatch(r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(:\d{2})?", value):
        return "datetime"
    if re.fullmatch(r"-?\d+(\.\d+)?", value) and not (value.startswith("0") and value.isdigit() and value != "0"):
        return "number"
    return "text"


def mentions(text: str, value: Any) -> bool:
    """Whether the text holds the value in a form that a person would accept.

    A date may come without its year, a time in twelve-hour form, a number with separators, a currency sign or as a
    word up to twenty; text must appear as whole words, whatever the case and punctuation.
    """
    read = reading(text)
    kind = kind_of(value)
    if kind == "truth":
        return f" {'yes' if value else 'no'} " in read.text
    if kind == "number":
        return float(value) in read.numbers
    if kind == "date":
        return _has_date(read, date.fromisoformat(value))
    if kind == "time":
        return (int(value[:2]), int(value[3:5])) in read.times
    if kind == "datetime":
        moment = datetime.fromisoformat(value)
        return _has_date(read, moment.date()) and (moment.hour, moment.minute) in read.times
    words = plain(value)
    return bool(words) and f" {words} " in read.text


def mentions_money(text: str, cents: int) -> bool:
    """Whether the text holds an amount: 4250 as "42.50", "$42.50", "4250 cents"; 4200 also as "42"."""
    numbers = reading(text).numbers
    return cents / 100 in numbers or float(cents) in numbers


def _has_date(read: Reading, day: date) -> bool:
    return (day.year, day.month, day.day) in read.dates or (None, day.month, day.day) in read.dates


def _moments(text: str) -> tuple[set[tuple[int | None, int, int]], set[tuple[int, int]], str]:
    """Dates, times, and the text without them (so that their digits are not taken for numbers)."""
    dates: set[tuple[int | None, int, int]] = set()
    times: set[tuple[int, int]] = set()
    if re.search(r"\bnoon\b", text, re.I):
        times.add((12, 0))
    if not any(character.isdigit() for character in text):
        return dates, times, text
    for match in _ISO.finditer(text):
        year, month, day, hour, minute = match.groups()
        dates.add((int(year), int(month), int(day)))
        if hour is not None:
            times.add((int(hour), int(minute)))
    text = _ISO.sub(" ", text)
    for match in _DAY_MONTH.finditer(text):
        dates.add((int(match[3]) if match[3] else None, _MONTHS[match[2].lower()], int(match[1])))
    text = _DAY_MONTH.sub(" ", text)
    for match in _MONTH_DAY.finditer(text):
        dates.add((int(match[3]) if match[3] else None, _MONTHS[match[1].lower()], int(match[2])))
    text = _MONTH_DAY.sub(" ", text)
    for match in _SLASHED.finditer(text):
        one, two, year = int(match[1]), int(match[2]), int(match[3])
        dates |= {(year, two, one), (year, one, two)}  # either order: writers do not agree on one
    text = _SLASHED.sub(" ", text)
    for match in _CLOCK.finditer(text):
        hour, minute = int(match[1]), int(match[2])
        if hour < 24 and minute < 60 and (":" in match[0] or match[3]):
            times.add((_half(hour, match[3]), minute))
    text = re.sub(r"\b\d{1,2}:\d{2}(\s*[ap]\.?m\b\.?)?", " ", text, flags=re.I)
    for match in _HOUR.finditer(text):
        if int(match[1]) < 24:
            times.add((_half(int(match[1]), match[2]), 0))
    text = _HOUR.sub(" ", text)
    return dates, times, text


def _half(hour: int, mark: str | None) -> int:
    if not mark or mark.lower().startswith("o"):
        return hour
    if mark.lower().startswith("p"):
        return hour if hour >= 12 else hour + 12
    return 0 if hour == 12 else hour


def _numbers(text: str) -> set[float]:
    found = {float(whole.replace(",", "") + (part or "")) for whole, part in _NUMBER.findall(text)}
    return found | {float(_WORDS[word.lower()]) for word in _WORD.findall(text)}
