"""`heard`: what a message to the user comes to. The user hears, it does not see.

    heard(message) -> question(topics) | confirmation(values) | refusal | claim_done | other

Code decides this, never a user model's own claim, so that "asked" and "declined" in a rubric mean one thing whoever
plays the user. Matching is lexical: a fact's topic and aliases against the words of the sentences that ask.
"""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from synthagent.schema.tasks import Fact, Hidden
from synthagent.simulation.cues import (
    ASKS,
    CHOICE,
    CLOSES,
    CONFIRMS,
    CONFIRMS_WEAKLY,
    DONE,
    GENERIC,
    LOOKED,
    NOT_REFUSED,
    REFUSES,
    STOP,
    SYNONYMS,
    WEAK,
)
from synthagent.simulation.values import kind_of, mentions, plain, reading

Kind = Literal["question", "confirmation", "refusal", "claim_done", "other"]

MOST_FACTS = 2
"""Facts a user gives away in one reply."""
_ENOUGH = 0.75
"""Score at which a fact counts as asked for; one distinctive word is worth 1."""


@dataclass(frozen=True, slots=True)
class Heard:
    """What the user takes from one message."""

    kind: Kind
    topics: tuple[str, ...] = ()
    """Ids of the facts asked for, in the order asked, at most two."""
    named: tuple[str, ...] = ()
    """Ids of the facts whose right value the message names."""
    wrong: tuple[str, ...] = ()
    """Ids of the facts that a confirmation names with a wrong value."""
    refuses: bool = False
    claims: bool = False
    """Says that something is done, or asks whether there is anything else."""
    related: bool = True
    """A confirmation is about what the user wants."""


@dataclass(frozen=True, slots=True)
class _Phrase:
    """One way to ask for a fact, as weighted stems."""

    stems: tuple[str, ...]
    weights: tuple[float, ...]
    total: float
    head: str | None
    """The noun that may stand for the whole; only a topic has one."""


class Listener:
    """One user's ears: compiled once a task from what this user knows."""

    def __init__(self, hidden: Hidden):
        self._facts = hidden.facts
        kinds = Counter(kind_of(fact.value) for fact in hidden.facts)
        words = {fact.id: [*_ways(fact, alone=kinds[kind_of(fact.value)] == 1)] for fact in hidden.facts}
        shared = Counter(stem for ways in words.values() for stem in {stem for way in ways for stem in way})
        self._phrases = {
            fact.id: tuple({_phrase(way, shared, _head(fact.topic)): None for way in words[fact.id] if way})
            for fact in hidden.facts
        }
        wanted = " ".join((hidden.goal, *(request.text for request in hidden.requests)))
        self._wanted = reading(wanted)
        self._vocabulary = set(_content(wanted)) | set(shared)
        for fact in hidden.facts:
            self._vocabulary |= set(_content(str(fact.value)))

    def heard(self, message: str) -> Heard:
        """What the message comes to; see `Heard`."""
        text = message.translate(_PLAIN)
        sentences = _sentences(text)
        asking = [s for s in sentences if s.asks and not CLOSES.search(s.text)]
        confirming = [s for s in asking if self._confirms(s)]
        topics = self._topics([s for s in asking if s not in confirming])
        named = tuple(fact.id for fact in self._facts if mentions(text, fact.value))
        refuses = _refuses(text) and not topics
        claims = any(_claims(s) for s in sentences) and not topics
        if topics:
            return Heard("question", topics, named)
        if confirming:
            wrong = self._wrong(text, named)
            related = bool(wrong or named) or self._related(confirming)
            return Heard("confirmation", (), named, wrong, refuses, claims, related)
        if refuses:
            return Heard("refusal", (), named, refuses=True)
        if claims:
            return Heard("claim_done", (), named, claims=True)
        return Heard("question" if asking else "other", (), named)

    def _confirms(self, sentence: "_Sentence") -> bool:
        text = sentence.text
        if CONFIRMS.search(text):
            return not (CHOICE.search(text) and self._topics([sentence]))
        holds_value = any(mentions(text, fact.value) for fact in self._facts)
        if CONFIRMS_WEAKLY.search(text):
            return holds_value or not self._topics([sentence])
        return holds_value and sentence.mark == "?" and not CHOICE.search(text)

    def _topics(self, sentences: "Iterable[_Sentence]") -> tuple[str, ...]:
        found: dict[str, tuple[int, int]] = {}
        for order, sentence in enumerate(sentences):
            for fact_id, place in self._matches(_stems(sentence.text)):
                found.setdefault(fact_id, (order, place))
        return tuple(sorted(found, key=lambda fact_id: found[fact_id])[:MOST_FACTS])

    def _matches(self, stems: list[str]) -> list[tuple[str, int]]:
        """Facts asked for in one sentence and where; the strongest phrase takes its words from the weaker ones."""
        if not stems:
            return []
        strange = sum(stem not in self._vocabulary and stem not in STOP and stem not in WEAK for stem in set(stems))
        candidates = []
        for fact_id, phrases in self._phrases.items():
            best = max(((_score(phrase, stems, strange), phrase) for phrase in phrases), key=lambda pair: pair[0])
            if best[0] >= _ENOUGH:
                places = [stems.index(stem) for stem in best[1].stems if stem in stems]
                candidates.append((best[0], fact_id, places))
        taken: set[int] = set()
        matches = []
        for _, fact_id, places in sorted(candidates, key=lambda item: -item[0]):
            strong = {place for place in places if stems[place] not in WEAK} or set(places)
            if strong <= taken:
                continue
            taken |= set(places)
            matches.append((fact_id, min(strong - taken or strong)))
        return matches

    def _wrong(self, text: str, named: tuple[str, ...]) -> tuple[str, ...]:
        """Facts that the message gives another value of the same kind, and nowhere the right one."""
        read, own = reading(text), self._wanted
        dates = read.dates - own.dates
        others: dict[str, set[Any]] = {
            "date": dates,
            "datetime": dates,
            "time": read.times - own.times,
            "number": read.numbers - own.numbers,
        }
        kinds = {kind_of(fact.value) for fact in self._facts if fact.id in named}
        quoted = {plain(match) for match in re.findall(r"[\"']([^\"']{3,60})[\"'](?!\w)", text)}
        quoted -= {plain(str(fact.value)) for fact in self._facts}
        wrong = []
        for fact in self._facts:
            kind = kind_of(fact.value)
            if fact.id in named or kind in kinds:
                continue
            other: set[Any] | None = others.get(kind)
            if other is None and kind == "text" and quoted and len(plain(str(fact.value)).split()) > 1:
                stems = _stems(text)
                other = quoted if any(_score(p, stems, 0) >= _ENOUGH for p in self._phrases[fact.id]) else None
            if other and (
                kind != "number" or any(_score(p, _stems(text), 0) >= _ENOUGH for p in self._phrases[fact.id])
            ):
                wrong.append(fact.id)
        return tuple(wrong[:MOST_FACTS])

    def _related(self, confirming: "Iterable[_Sentence]") -> bool:
        content = {stem for sentence in confirming for stem in _content(sentence.text)}
        content -= {"proceed", "ahead", "continu", "confirm", "correct", "right", "everyth", "detail", "chang"}
        return not content or bool(content & self._vocabulary)


@dataclass(frozen=True, slots=True)
class _Sentence:
    text: str
    mark: str
    asks: bool


_PLAIN = str.maketrans(
    {"’": "'", "‘": "'", "“": '"', "”": '"', "–": "-", "—": " - ", "\u00a0": " ", "*": " ", "_": " "}
)
_END = re.compile(r"(?<=[.!?;])\s+|(?<=:)\s+|\n+|(?<=\?)(?=\w)")
_ITEM = re.compile(r"^\s*(?:[-•]|\(?\d{1,2}[.)]|[a-e][.)])\s+")


def _sentences(text: str) -> list[_Sentence]:
    """Sentences; the items of a list that a request announces with a colon are requests too."""
    found: list[_Sentence] = []
    listing = False
    parts = _END.split(text)
    for number, part in enumerate(parts):
        item = _ITEM.match(part)
        body = part[item.end() :] if item else part
        body = body.strip()
        if not body or re.fullmatch(r"\d{1,2}[.)]?", body):
            continue
        # "What kind is it: pothole or lamp?" is one question, cut in two by its colon.
        cut = body.endswith(":") and number + 1 < len(parts) and parts[number + 1].rstrip().endswith("?")
        asks = body.endswith("?") or cut or bool(ASKS.search(body)) or listing
        found.append(_Sentence(body, body[-1], asks))
        if body.endswith(":"):
            listing = asks
        elif not item and listing and body.endswith((".", "?", "!")):
            listing = False
    return found


def _refuses(text: str) -> bool:
    return any(not NOT_REFUSED.match(text[match.end() :]) for match in REFUSES.finditer(text))


def _claims(sentence: _Sentence) -> bool:
    if CLOSES.search(sentence.text):
        return True
    return not sentence.asks and bool(DONE.search(sentence.text)) and not LOOKED.search(sentence.text)


def _ways(fact: Fact, *, alone: bool) -> Iterable[tuple[str, ...]]:
    """Every way to ask for a fact, as stems. `alone`: no other fact holds a value of this kind."""
    for phrase in (fact.topic, *fact.aliases):
        yield tuple(stem for stem in _stems(phrase) if stem not in STOP)
    if alone:
        for phrase in GENERIC.get(kind_of(fact.value), ()):
            yield tuple(_stems(phrase))


def _phrase(stems: tuple[str, ...], shared: Counter[str], head: tuple[tuple[str, ...], str]) -> _Phrase:
    weights = tuple(WEAK.get(stem, 1.0 if shared[stem] < 2 else 0.6) for stem in stems)
    return _Phrase(stems, weights, sum(weights), head[1] if stems == head[0] and head[1] not in WEAK else None)


def _head(topic: str) -> tuple[tuple[str, ...], str]:
    """A topic's stems and its head noun: the last word, or the one before "of", "for" and the like."""
    stems = tuple(stem for stem in _stems(topic) if stem not in STOP)
    front = [stem for stem in _stems(re.split(r"\b(?:of|for|to|on|at|in|from)\b", topic)[0]) if stem not in STOP]
    return stems, (front or list(stems) or [""])[-1]


def _score(phrase: _Phrase, stems: list[str], strange: int) -> float:
    """How well a sentence asks in this phrase's words: all of them, or its head noun and at least half."""
    hit = sum(weight for stem, weight in zip(phrase.stems, phrase.weights, strict=True) if stem in stems)
    if not hit:
        return 0.0
    if hit == phrase.total:
        strong = any(stem not in WEAK for stem in phrase.stems)
        if strong:
            return max(hit, 0.75) + 0.05 * len(phrase.stems)
        return 0.76 if strange == 0 or (len(phrase.stems) > 1 and strange < 2) else 0.0
    if phrase.head in stems:
        return (0.9 if strange < 2 else 0.75) * (0.8 + 0.2 * hit / phrase.total) + 0.1
    return 0.0


def _content(text: str) -> list[str]:
    return [stem for stem in _stems(text) if stem not in STOP and stem not in WEAK]


_STEMS: dict[str, str] = {}


def _stems(text: str) -> list[str]:
    return [_stem(word) for word in plain(text).replace("-", " ").replace("'", " ").split()]


def _stem(word: str) -> str:
    known = _STEMS.get(word)
    if known is None:
        known = _cut(word)
        known = SYNONYMS.get(known, known)
        if len(_STEMS) < 20_000:
            _STEMS[word] = known
    return known


def _cut(word: str) -> str:
    """A light stemmer: plural and verb endings only."""
    for ending, least, back in (
        ("ies", 5, "y"),
        ("sses", 5, "ss"),
        ("ing", 6, ""),
        ("ed", 5, ""),
        ("es", 5, "e"),
        ("s", 4, ""),
    ):
        if word.endswith(ending) and len(word) >= least and not (ending == "s" and word.endswith(("ss", "us", "is"))):
            word = word[: -len(ending)] + back
            break
    if len(word) > 3 and word[-1] == word[-2] and word[-1] not in "ls":
        word = word[:-1]
    return word[:-1] if len(word) > 4 and word.endswith("e") else word
