"""`heard`: what a message to the user comes to. The user hears, it does not see.

    heard(message) -> question(topics) | confirmation(values) | refusal | claim_done | other

Code decides this, never a user model's own claim, so that "asked" and "declined" in a rubric mean one thing whoever
plays the user. Matching is lexical: a fact's topic and aliases against the words of the sentences that ask.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from synthagent.schema.tasks import Hidden
from synthagent.simulation.cues import (
    ANNOUNCES,
    ASIDE,
    ASKS,
    CHOICE,
    CLOSES,
    CONCEPTS,
    CONFIRMS,
    CONFIRMS_WEAKLY,
    DONE,
    IDIOMS,
    LOOKED,
    NOT_REFUSED,
    POLAR,
    REFUSES,
    STOP,
    WEAK,
)
from synthagent.simulation.topics import (
    Topic,
    content_stems,
    fitting,
    kinds_asked,
    likeness,
    noun_asked,
    stems_of,
    topic_of,
)
from synthagent.simulation.values import kind_of, mentions, plain, reading

Kind = Literal["question", "confirmation", "refusal", "claim_done", "other"]

MOST_FACTS = 2
"""Facts a user gives away in one reply."""
_ENOUGH = 0.95
"""Score at which a fact counts as asked for; one distinctive word is worth 1."""
_LEANING = 0.6
"""Score at which a fact may have been meant."""
_MARGIN = 0.1
"""By how much the best fact must lead the next."""
_MOST_KEPT = 512
"""Messages whose meaning one listener remembers."""


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


class Listener:
    """One user's ears: compiled once a task from what this user knows."""

    def __init__(self, hidden: Hidden):
        self._facts = hidden.facts
        self._kept: dict[str, Heard] = {}
        self._topics_known = [topic_of(fact) for fact in hidden.facts]
        self._aside = self._told_apart_by()
        """(cue, ids of the facts that such a question can be about)"""
        self._scored: dict[tuple[str, str, frozenset[str]], list[tuple[float, str]]] = {}
        """What `_scores` found for the parts of the message being heard: they are looked at more than once."""
        self._own_idioms = {fact.topic.lower() for fact in hidden.facts if IDIOMS.fullmatch(fact.topic.lower())}
        """Topics that are idioms themselves, such as "date of birth"."""
        self._concepts = frozenset(concept for topic in self._topics_known for concept in topic.concepts)
        wanted = " ".join((hidden.goal, *(request.text for request in hidden.requests)))
        self._wanted = reading(wanted)
        self._vocabulary = set(content_stems(wanted)) | {stem for topic in self._topics_known for stem in topic.stems}
        for fact in hidden.facts:
            self._vocabulary |= set(content_stems(str(fact.value)))

    def _told_apart_by(self) -> list[tuple[re.Pattern[str], frozenset[str]]]:
        """The cues of `ASIDE` that rule out any of this user's facts."""
        lines = {fact.id: fitting(fact) for fact in self._facts}
        fits = [frozenset(name for name, fit in lines.items() if number in fit) for number in range(len(ASIDE))]
        return [(said, names) for (said, _), names in zip(ASIDE, fits, strict=True) if len(names) < len(lines)]

    def heard(self, message: str) -> Heard:
        """What the message comes to; see `Heard`. Kept, since user and checks ask about the same messages."""
        found = self._kept.get(message)
        if found is None:
            found = self._hear(message)
            if len(self._kept) >= _MOST_KEPT:
                self._kept.clear()
            self._kept[message] = found
        return found

    def _hear(self, message: str) -> Heard:
        self._scored.clear()
        text = _plain(message)
        sentences = _sentences(text)
        asking = [s for s in sentences if s.asks and not CLOSES.search(s.text)]
        confirming = [s for s in asking if self._confirms(s)]
        topics = self._topics([s for s in asking if s not in confirming])
        named = tuple(fact.id for fact in self._facts if mentions(text, fact.value))
        refuses = not topics and _refuses(text)
        claims = not topics and any(_claims(s) for s in sentences)
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
        found: dict[str, None] = {}
        for sentence in sentences:
            if not sentence.polar:
                found |= dict.fromkeys(self._matches(sentence))
        return tuple(found)[:MOST_FACTS]

    def _matches(self, sentence: "_Sentence") -> list[str]:
        """Facts asked for in one sentence: the best of each of its parts, or of the whole."""
        text = self._request_in(sentence.text)
        parts = [part for part in _PARTS.split(text) if part.strip()]
        found: list[str] = []
        if len(parts) > 1:
            kinds = kinds_asked(parts[0])
            for part in parts:
                own = kinds if part.count(" ") > 3 and not CHOICE.search(part) else None
                best = self._best(part, sentence.before, own) or self._best(part, text, own)
                found += [best] if best else []
        if not found:
            best = self._best(text, sentence.before) or self._best(text, sentence.before, leans=True)
            found += [best] if best else []
        return found

    def _request_in(self, text: str) -> str:
        """The sentence from where it begins to ask, without idioms that only look like topics."""
        text = IDIOMS.sub(lambda found: found[0] if found[0] in self._own_idioms else " ", text)
        starts = [match.start() for match in (ASKS.search(text), CHOICE.search(text)) if match]
        return text[min(starts) :] if starts and text[min(starts) :].count(" ") > 1 else text

    def leanings(self, message: str) -> frozenset[str]:
        """Ids of the facts that a message may well ask for: what `heard` is not sure enough of, or takes for another.

        Not enough to be told something by itself; enough for not being surprised when it is told.
        """
        text = _plain(message)
        found: set[str] = set()
        for sentence in _sentences(text):
            if sentence.asks and not CLOSES.search(sentence.text):
                stems, earlier = set(stems_of(sentence.text)), set(stems_of(sentence.before))
                meant = {concept for concept in self._concepts if CONCEPTS[concept][1].search(sentence.text)}
                scores = {t.fact.id: likeness(t, meant, stems, earlier, None, 0) for t in self._topics_known}
                enough = max(_LEANING, max(scores.values(), default=0.0) - _LEANING)
                found |= {fact_id for fact_id, score in scores.items() if score >= enough}
        return frozenset(found)

    def _best(self, part: str, before: str, allowed: set[str] | None = None, *, leans: bool = False) -> str | None:
        """The fact that this part asks for; None when none stands out. `allowed`: kinds, where it has no question word.

        The sentence before helps where the part itself points back ("which one?") or fits two facts alike, and where
        nothing else does (`leans`).
        """
        scores = self._scores(part, before if leans or _POINTS_BACK.search(part) else "", allowed)
        if before and len(scores) > 1 and scores[0][0] >= _ENOUGH and scores[0][0] - scores[1][0] < _MARGIN:
            scores = self._scores(part, before, allowed)
        if not scores or scores[0][0] < _ENOUGH:
            return None
        return None if len(scores) > 1 and scores[0][0] - scores[1][0] < _MARGIN else scores[0][1]

    def _scores(self, part: str, before: str, kinds: set[str] | None) -> list[tuple[float, str]]:
        """(score, fact id), best first, of the facts that the question word allows."""
        key = (part, before, frozenset(kinds or ()))
        if key not in self._scored:
            self._scored[key] = self._score_all(part, before, kinds)
        return self._scored[key]

    def _score_all(self, part: str, before: str, kinds: set[str] | None) -> list[tuple[float, str]]:
        stems, earlier = set(stems_of(part)), set(stems_of(before))
        aside = [fits for said, fits in self._aside if said.search(part)]
        allowed, noun = kinds_asked(part) or kinds, noun_asked(part)
        meant = {concept for concept in self._concepts if CONCEPTS[concept][1].search(part)}
        strange = sum(stem not in self._vocabulary and stem not in STOP and stem not in WEAK for stem in stems)
        scores = [
            (likeness(topic, meant, stems, earlier, noun, strange) + _verbatim(topic, part), topic.fact.id)
            for topic in self._topics_known
            if (allowed is None or topic.kind in allowed or allowed & topic.concepts)
            and all(topic.fact.id in fits for fits in aside)
        ]
        if allowed is not None and len(scores) == 1 and strange < 2:
            scores = [(scores[0][0] + 0.4, scores[0][1])]  # nothing else could answer this question word
        return sorted(scores, key=lambda pair: -pair[0])

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
        stems = set(stems_of(text))
        wrong = []
        for topic in self._topics_known:
            fact = topic.fact
            if fact.id in named or topic.kind in kinds:
                continue
            spoken_of = sum(weight for stem, weight in topic.stems.items() if stem in stems) >= _ENOUGH
            other: set[Any] | None = others.get(topic.kind)
            if other is None and topic.kind == "text" and len(plain(str(fact.value)).split()) > 1:
                other = quoted
            if other and (spoken_of or topic.kind in ("date", "time", "datetime")):
                wrong.append(fact.id)
        return tuple(wrong[:MOST_FACTS])

    def _related(self, confirming: "Iterable[_Sentence]") -> bool:
        content = {stem for sentence in confirming for stem in content_stems(sentence.text)}
        content -= {"proceed", "ahead", "continu", "confirm", "correct", "right", "everyth", "detail", "chang"}
        return not content or bool(content & self._vocabulary)


@dataclass(frozen=True, slots=True)
class _Sentence:
    text: str
    mark: str
    asks: bool
    before: str
    """The sentence before it."""
    polar: bool
    """A question for yes or no, which asks for no value."""


_PLAIN = str.maketrans(
    {"’": "'", "‘": "'", "“": '"', "”": '"', "–": "-", "—": " - ", "\u00a0": " ", "*": " ", "_": " "}
)
_BLANKS = re.compile(r"[^\S\n]+")
_BREAKS = re.compile(r"\n[\n ]*")
_END = re.compile(r"(?<=[.!?;])\s+|(?<=:)\s+|\n+|(?<=\?)(?=\w)")
_PARTS = re.compile(r"\s*(?:,|;|\b(?:and|as well as|along with|plus|and also|secondly|then)\b)\s*", re.I)
_POINTS_BACK = re.compile(r"\b(?:one|ones|it|that|this|them|these|those)\b", re.I)
_NUMBER = re.compile(r" no\.(?!\w)", re.I)
_NUMBERED = re.compile(r"(?:^|\n)\s*\(?\d{1,2}[.)]\s+")
_ITEM = re.compile(r"^\s*(?:[-•]|[a-e][.)])\s+")


def _plain(message: str) -> str:
    """A message in lower case, with plain marks and one blank at a time: of many a pattern would try every part."""
    text = _BREAKS.sub("\n", _BLANKS.sub(" ", message.translate(_PLAIN).lower()))
    return _NUMBER.sub(" number", text)


def _sentences(text: str) -> list[_Sentence]:
    """Sentences; the items of a list that a request announces with a colon are requests too."""
    found: list[_Sentence] = []
    listing = announced = False
    lead = ""
    parts = _END.split(_NUMBERED.sub("\n- ", text))
    for number, part in enumerate(parts):
        item = _ITEM.match(part)
        body = part[item.end() :] if item else part
        body = body.strip()
        if not body:
            continue
        # "What kind is it: pothole or lamp?" is one question, cut in two by its colon.
        cut = body.endswith(":") and number + 1 < len(parts) and parts[number + 1].rstrip().endswith("?")
        asks = body.endswith("?") or cut or bool(ASKS.search(body)) or announced or bool(item and listing)
        before = lead if item else found[-1].text if found else ""
        found.append(_Sentence(body, body[-1], asks, before, asks and bool(POLAR.match(body))))
        if not item:
            lead = body
            listing = asks or bool(ANNOUNCES.search(body))
        announced = body.endswith(":") and listing  # "two things: your name, and the day"
    return found


def _refuses(text: str) -> bool:
    return any(not NOT_REFUSED.match(text[match.end() :]) for match in REFUSES.finditer(text))


def _claims(sentence: _Sentence) -> bool:
    if CLOSES.search(sentence.text):
        return True
    return not sentence.asks and bool(DONE.search(sentence.text)) and not LOOKED.search(sentence.text)


def _verbatim(topic: Topic, part: str) -> float:
    """What it is worth that a topic of words that say little is named as it stands."""
    if not topic.verbatim:
        return 0.0
    words = f" {plain(part)} "
    return 1.0 if any(f" {phrase} " in words for phrase in topic.verbatim) else 0.0
