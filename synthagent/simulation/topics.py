"""What a fact can be asked by, and how well a part of a message asks for it. Pure and lexical."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from synthagent.schema.tasks import Fact
from synthagent.simulation.cues import ASIDE, ASKED_KINDS, CONCEPTS, STOP, SYNONYMS, VAGUE, WEAK
from synthagent.simulation.values import kind_of, plain


@dataclass(frozen=True, slots=True)
class Topic:
    """What one fact can be asked by."""

    fact: Fact
    kind: str
    stems: Mapping[str, float]
    """Stem -> weight: 1 for the topic's head, less for what only goes with it."""
    concepts: frozenset[str]
    phrases: tuple[frozenset[str], ...]
    """The topic's and every alias's stems: known ways of asking."""
    verbatim: tuple[str, ...] = ()
    """Where the topic consists of words that say little ("order number"): it and its aliases, as they stand."""


def topic_of(fact: Fact) -> Topic:
    """What this fact can be asked by; kept by its words, which many tasks share."""
    kind = kind_of(fact.value)
    bag, phrases = _bag(fact.topic, fact.aliases), _phrases(fact.topic, fact.aliases)
    return Topic(
        fact, kind, bag, _concepts(fact.topic, fact.aliases, kind), phrases, _verbatim(fact.topic, fact.aliases)
    )


_WHICH = re.compile(
    r"\b(?:which|what) ((?:[\w'-]+ ){0,3}?[\w'-]+) "
    r"(?:is|are|was|were|do|does|did|would|should|shall|will|can|could|has|have|may|must|it)\b",
    re.I,
)
_OF_WHICH = re.compile(
    r"\b(?:which|what|whose)(?: of (?:the|your|our|these|those)(?: own| individual)*)? "
    r"(?!is\b|are\b|was\b|were\b|do|did|would|should|will|can|could|has|have|may)([\w-]+)"
)


def likeness(
    topic: Topic, concepts: set[str], stems: set[str], earlier: set[str], noun: str | None, strange: int
) -> float:
    """How well a part of a message asks for a fact: by its words, the words before it, its likeness to a known way of
    asking (the share of words they have in common), and its concept. The weights were set on the questions of the
    tests' `dev` and `near` splits."""
    said = sum([topic.stems[stem] for stem in stems if stem in topic.stems])
    said += sum([0.8 * topic.stems[stem] for stem in earlier if stem in topic.stems and stem not in stems])
    content = stems - STOP
    size = len(content)
    alike = 0.0
    for phrase in topic.phrases:
        both = len(phrase & content)
        if both:
            alike = max(alike, both / (len(phrase) + size - both))
    said += 1.2 * math.pow(alike, 1.2)
    meant = concepts & topic.concepts
    if said == 0.0 and strange > 1:
        meant -= VAGUE  # only the kind of value fits, in a sentence about something else
    beside = noun is not None and noun not in topic.stems and not meant
    return (
        said
        + (1.2 if "self" in meant else 0.7 if meant - {"count"} else 0.4 if meant else 0.0)
        - (0.3 if beside else 0.0)
    )


def kinds_asked(part: str) -> set[str] | None:
    """Kinds of values, or concepts, that the first question word allows; None: any."""
    found = [(match.start(), kinds) for cue, kinds in ASKED_KINDS if (match := cue.search(part))]
    return min(found, key=lambda pair: pair[0])[1] if found else None


def noun_asked(part: str) -> str | None:
    """What "which ... would you", or "which of your ...", asks for: its last noun, if it says anything."""
    match = _WHICH.search(part) or _OF_WHICH.search(part)
    stem = stems_of(match[1])[-1] if match and stems_of(match[1]) else ""
    return stem if stem and stem not in STOP and stem not in WEAK and stem not in ("kind", "type", "sort") else None


@lru_cache(maxsize=2048)
def _bag(topic: str, aliases: tuple[str, ...]) -> Mapping[str, float]:
    """Stems by which a fact may be named: its topic's head alone suffices, the words of an alias do so together."""
    bag: dict[str, float] = {}
    head = _head(topic)
    for number, phrase in enumerate((topic, *aliases)):
        stems = [stem for stem in stems_of(phrase) if stem not in STOP]
        for stem in stems:
            if stem not in WEAK:
                bag[stem] = max(bag.get(stem, 0.0), 1 / len(stems) ** 0.7, 0.0 if number else 0.4)
    if head:
        bag[head] = 1.0
    return bag


@lru_cache(maxsize=2048)
def _phrases(topic: str, aliases: tuple[str, ...]) -> tuple[frozenset[str], ...]:
    phrases = (frozenset(stem for stem in stems_of(phrase) if stem not in STOP) for phrase in (topic, *aliases))
    return tuple({phrase: None for phrase in phrases if any(stem not in WEAK for stem in phrase)})


@lru_cache(maxsize=2048)
def _verbatim(topic: str, aliases: tuple[str, ...]) -> tuple[str, ...]:
    if content_stems(topic):
        return ()
    return tuple(plain(phrase) for phrase in (topic, *aliases) if " " in plain(phrase))


def _head(topic: str) -> str:
    """The head noun of a topic: the last word, or the one before "of", "for" and the like."""
    front = re.split(r"\b(?:of|for|to|on|at|in|from|with|who|that)\b", topic)[0]
    return next((stem for stem in reversed(stems_of(front)) if stem not in STOP and stem not in WEAK), "")


@lru_cache(maxsize=2048)
def _concepts(topic: str, aliases: tuple[str, ...], kind: str) -> frozenset[str]:
    """Concepts that a fact's topic and aliases speak of, and those of its kind of value."""
    head, words = topic.casefold(), " ".join((topic, *aliases)).casefold()
    return frozenset(
        concept
        for concept, (of_fact, _, kinds) in CONCEPTS.items()
        if kind in kinds and (of_fact is None or of_fact.search(head if concept == "name" else words))
    )


def fitting(fact: Fact) -> frozenset[int]:
    """Numbers of the lines of `ASIDE` whose questions this fact can answer."""
    digits = any(character.isdigit() for character in str(fact.value))
    return _fitting(fact.topic, fact.aliases, "in_digits" if digits else "in_words")


@lru_cache(maxsize=2048)
def _fitting(topic: str, aliases: tuple[str, ...], written: str) -> frozenset[int]:
    spoken = " ".join((topic, *aliases, written)).lower()
    return frozenset(number for number, (_, known) in enumerate(ASIDE) if known.search(spoken))


def content_stems(text: str) -> list[str]:
    """The stems that say something."""
    return [stem for stem in stems_of(text) if stem not in STOP and stem not in WEAK]


def stems_of(text: str) -> list[str]:
    """The text's words in order, each cut to its stem and put for its synonyms."""
    return [_stem(word) for word in plain(text).replace("-", " ").replace("'", " ").split()]


@lru_cache(maxsize=20_000)
def _stem(word: str) -> str:
    known = SYNONYMS.get(word) or _cut(word)
    return SYNONYMS.get(known, known)


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
