"""What a simulated user may not do, found by code: one reply, in its conversation, and what is wrong with it.

Published rates of critical errors of simulated users are 6 to 13 % (mission: weaknesses seen); an error that is not
detected becomes the agent's reward. Everything here is lexical, like the ears: the same reply is judged the same way
everywhere, and at no cost.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, get_args

from synthagent.schema.tasks import Fact, Hidden
from synthagent.simulation.conveying import conveys
from synthagent.simulation.cues import STOP
from synthagent.simulation.hearing import MOST_FACTS, Heard, Listener
from synthagent.simulation.user_cues import (
    AGREES,
    CHECKS,
    CORRECTS,
    COUNTED,
    CUSTOMERS_VERBS,
    DENIES,
    DID,
    EVADES,
    HANDLED,
    HAS_NONE,
    IN_THE_SYSTEM,
    IRREGULAR,
    LEAVES,
    NAMES_NO_ONE,
    NEVER,
    NOT_DONE,
    NOT_KNOWING,
    PENDING,
    PROMISES,
    SERVES,
    SETTLES,
    SYNTAX,
    TRIED,
    UNDER_WAY,
)
from synthagent.simulation.values import Reading, kind_of, mentions, plain, reading

Kind = Literal[
    "leaked_more", "unasked", "invented", "role_flip", "tool_names", "ended_early", "claimed_action", "contradicts",
    "left_out",
]  # fmt: skip
KINDS: tuple[Kind, ...] = get_args(Kind)

WHAT: dict[Kind, str] = {
    "leaked_more": "gave away more than was asked for",
    "unasked": "gave away what was not asked for",
    "invented": "stated something that is in none of the facts",
    "role_flip": "spoke as if it were the assistant",
    "tool_names": "named a tool, or wrote a call",
    "ended_early": "ended the conversation at a question, a confirmation, or with a request still open",
    "claimed_action": "claimed to have done what the assistant is there to do",
    "contradicts": "contradicted what was said before, or the facts",
    "left_out": "did not say what was to be said now",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One error of a user."""

    kind: Kind
    detail: str

    def __str__(self) -> str:
        return f"{WHAT[self.kind]} ({self.detail})"


@dataclass(frozen=True)
class Turn:
    """One reply of a user and all that it is judged by."""

    hidden: Hidden
    listener: Listener
    opening: str
    tools: Sequence[str]
    """Names of the agent's tools, which a user cannot know."""
    history: Sequence[tuple[str, str]]
    """(what the agent said, what the user answered), oldest first."""
    message: str
    """What the agent says now."""
    reply: str
    done: bool
    heard: Heard
    """What the message comes to."""
    told: Sequence[str] = ()
    """What else the user was to say now, or has said: follow-up requests, escape lines."""
    open_requests: bool = False
    """The user has something left to ask for."""
    due: str = ""
    """What the user was to say now, in its own words; empty where it may say what it likes."""
    _mentioned: dict[str, bool] = field(default_factory=dict, repr=False, compare=False)

    @cached_property
    def own_words(self) -> tuple[str, ...]:
        """What the user has said before."""
        return (self.opening, *(said for _, said in self.history))

    @cached_property
    def leaves_out(self) -> bool:
        """Whether the reply says nothing of what was due."""
        return not conveys(self.reply, self.due, "\n".join((*self.own_words, self.message)))

    @cached_property
    def common(self) -> str:
        """All that has been said by either side, and what the user was told to say."""
        return "\n".join((self.opening, *(text for pair in self.history for text in pair), self.message, *self.told))

    @cached_property
    def known(self) -> Reading:
        """The values that the user may speak of."""
        facts = "\n".join(f"{fact.text}\n{fact.value}\n{fact.topic}" for fact in self.hidden.facts)
        lines = "\n".join((*self.hidden.escape_lines, *(request.text for request in self.hidden.requests)))
        return reading("\n".join((self.hidden.goal, facts, lines, self.common)))

    @cached_property
    def given(self) -> tuple[Fact, ...]:
        """The facts whose values the reply holds."""
        return tuple(fact for fact in self.hidden.facts if tells(self.reply, fact))

    @cached_property
    def new(self) -> tuple[Fact, ...]:
        """Those of them that nobody has spoken of before."""
        return tuple(fact for fact in self.given if not tells(self.common, fact))

    @cached_property
    def asked(self) -> frozenset[str]:
        """Ids of the facts that the message asks for, or names wrongly in a confirmation."""
        heard = frozenset((*self.heard.topics, *self.heard.wrong))
        return heard or self.leanings

    @cached_property
    def leanings(self) -> frozenset[str]:
        """Ids of the facts that a question may well ask for, as far as the ears can tell."""
        return self.listener.leanings(self.message) if self.heard.kind == "question" else frozenset()


def tells(text: str, fact: Fact) -> bool:
    """Whether a text gives a fact's value away. A yes or a no by itself gives away nothing."""
    return kind_of(fact.value) != "truth" and mentions(text, fact.value)


def lint(turn: Turn) -> tuple[Finding, ...]:
    """Everything that is wrong with a reply."""
    found = []
    for kind, find in _DETECTORS.items():
        detail = next(find(turn), None)
        if detail is not None:
            found.append(Finding(kind, detail))
    return tuple(found)


# ---- facts


def _leaked_more(turn: Turn) -> Iterator[str]:
    if not turn.asked & {fact.id for fact in turn.given}:
        return
    for fact in turn.new:
        if fact.id not in turn.asked:
            yield fact.topic
    if len(turn.new) > MOST_FACTS:
        yield f"{len(turn.new)} things at once"


def _unasked(turn: Turn) -> Iterator[str]:
    if turn.asked & {fact.id for fact in turn.given}:
        return  # what comes on top of an answer is `leaked_more`
    if turn.heard.kind == "confirmation" and len(turn.new) == 1 and DENIES.match(plain_line(turn.reply)):
        return  # a wrong value is put right
    for fact in turn.new:
        if fact.id not in turn.leanings:
            yield fact.topic


_AT_ONCE = re.compile(rf"^(?:{DENIES.pattern})")
_BRIEF = 7
"""Words of an answer that cannot be about anything but what was asked."""


def _contradicts(turn: Turn) -> Iterator[str]:
    before, lowered = "\n".join(turn.own_words), plain_line(turn.reply)
    read = reading(turn.reply)
    for fact in turn.hidden.facts:
        told, asked = tells(before, fact), fact.id in (*turn.heard.topics, *turn.heard.wrong)
        if tells(turn.reply, fact) or not (told or asked):
            continue
        if kind_of(fact.value) == "truth":
            continue
        if fact.id in turn.heard.wrong and AGREES.match(lowered):
            yield f"agrees to a wrong {fact.topic}"
        elif asked and NOT_KNOWING.search(lowered):
            if told:
                yield f"does not know {fact.topic}, which it has told"
        elif (
            _another(fact, read, turn) if asked else CORRECTS.search(lowered) and _another_value(fact, read, turn.known)
        ):
            yield f"another {fact.topic}"
        elif fact.id in turn.heard.topics and HAS_NONE.match(lowered):
            yield f"has no {fact.topic}"
        elif asked and told and lowered.count(" ") < _BRIEF and not EVADES.search(lowered):
            yield f"something else for {fact.topic}"
    named = turn.heard.kind == "confirmation" and turn.heard.named and not turn.heard.wrong and not turn.new
    denials = (_AT_ONCE, NEVER, NOT_KNOWING)
    if named and CHECKS.search(plain_line(turn.message)) and any(cue.search(lowered) for cue in denials):
        yield "denies what is so"
    agreed = next((heard for heard, said in reversed(turn.history) if AGREES.match(said.lower().strip())), None)
    if agreed is not None and turn.heard.kind == "confirmation" and not turn.heard.wrong:
        same = turn.listener.heard(agreed)
        denies = DENIES.match(lowered)
        alike = same.kind == "confirmation" and same.named == turn.heard.named and _alike(agreed, turn.message)
        if denies and (alike or NEVER.search(lowered)):
            yield "refuses what it agreed to"


def _another(fact: Fact, read: Reading, turn: Turn) -> bool:
    """Whether the reply gives a fact that it should tell another value, one that nobody has named."""
    if kind_of(fact.value) == "text":
        return next(_strange_codes(turn), None) is not None or next(_strange_names(turn), None) is not None
    return _another_value(fact, read, turn.known)


def _another_value(fact: Fact, read: Reading, known: Reading) -> bool:
    """Whether a text holds a date, time or number of the fact's kind that nobody has named."""
    match kind_of(fact.value):
        case "date" | "datetime":
            return bool(_strange_dates(read, known))
        case "time":
            return bool(read.times - known.times)
        case "number":
            return bool(read.numbers - known.numbers)
    return False


def _alike(one: str, other: str) -> bool:
    left, right = set(plain(one).split()), set(plain(other).split())
    return len(left & right) >= 0.6 * min(len(left), len(right))


# ---- made up


def _invented(turn: Turn) -> Iterator[str]:
    read, known = reading(turn.reply), turn.known
    for year, month, day in _strange_dates(read, known):
        yield f"{year or ''}-{month:02}-{day:02}".removeprefix("-")
    for hour, minute in sorted(t for t in read.times - known.times if ((t[0] + 12) % 24, t[1]) not in known.times):
        yield f"{hour:02}:{minute:02}"
    digits = {number for number in read.numbers - known.numbers if _written(number, turn.reply)}
    for number in sorted(digits):
        if not _converted(number, known):
            yield str(int(number)) if number.is_integer() else str(number)
    for match in COUNTED.finditer(plain_line(turn.reply)):
        if not reading(match[1]).numbers <= known.numbers:
            yield match[0]
    yield from _strange_codes(turn)
    yield from _strange_names(turn)


def _strange_dates(read: Reading, known: Reading) -> list[tuple[int | None, int, int]]:
    days = {(month, day) for _, month, day in known.dates}
    exact = {date for date in known.dates if date[0] is not None}
    return sorted(
        (date for date in read.dates if date[1:] not in days or (date[0] and exact and not _fits(date, known.dates))),
        key=lambda date: (date[0] or 0, *date[1:]),
    )


def _fits(date: tuple[int | None, int, int], known: set[tuple[int | None, int, int]]) -> bool:
    return any(date[1:] == other[1:] and (other[0] is None or date[0] == other[0]) for other in known)


def _written(number: float, text: str) -> bool:
    """Whether a number stands there in digits: "two" of something is a manner of speaking."""
    return number > 999 or bool(re.search(rf"(?<![\w.,]){number:g}(?![\w]|[.,]\d)", text))


def _converted(number: float, known: Reading) -> bool:
    """Cents for units, and a year that belongs to a date."""
    years = {year for year, _, _ in known.dates if year}
    return number * 100 in known.numbers or number / 100 in known.numbers or number in years


_CODE = re.compile(
    r"(?<![\w@.])(?=[\w-]*\d)(?=[\w-]*[A-Za-z])[A-Za-z0-9]+(?:-[A-Za-z0-9]+)*(?![\w@])|[\w.+-]+@[\w-]+\.\w+"
)
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
_ORDINAL = re.compile(r"\d+(?:st|nd|rd|th|am|pm|h|min|x|k|km|kg|cm|m|s)?", re.I)


def _strange_codes(turn: Turn) -> Iterator[str]:
    for match in _CODE.finditer(turn.reply):
        code = match[0]
        if (
            not _ORDINAL.fullmatch(code)
            and not _DAY.fullmatch(code)
            and plain(code)
            and plain(code) not in turn.known.text
        ):
            yield code


_NAME = re.compile(r"\b[A-Z][\w'’-]+(?:\s+(?:of|the|de|van|von|da|and|&)?\s*[A-Z][\w'’-]+)*")
_NAME_ALONE = re.compile(r"[A-Z][\w'’-]+(?: [A-Z][\w'’-]+)?[.!]?")
_QUOTED = re.compile(r"[\"“]([^\"”]{3,60})[\"”]|(?<!\w)['‘]([^'’]{3,60})['’](?!\w)")


def _strange_names(turn: Turn) -> Iterator[str]:
    """Names and titles that occur nowhere: quoted ones, and capitals within a sentence."""
    words = set(turn.known.text.split())
    if SYNTAX.search(turn.reply.lower()):
        return  # quotes and capitals of a call name nothing
    for match in _QUOTED.finditer(turn.reply):
        title = plain(match[1] or match[2])
        if title and not set(title.split()) <= words:
            yield title
    bare = bool(turn.heard.topics) and bool(_NAME_ALONE.fullmatch(turn.reply.strip()))
    for match in _NAME.finditer(turn.reply):
        name = match[0]
        parts = [word for word in plain(name).split() if not {word, word.partition("'")[0]} & (NAMES_NO_ONE | STOP)]
        begins = not match.start() or turn.reply[: match.start()].rstrip()[-1:] in ".!?:\"'“‘\n-—…"
        if begins and not bare:
            first = plain(name.split()[0])
            parts = [part for part in parts if part != first] if len(name.split()) > 1 else []
        if parts and not name.isupper() and not set(parts) & words:
            yield name


# ---- out of the role


def _role_flip(turn: Turn) -> Iterator[str]:
    text = plain_line(turn.reply)
    match = SERVES.search(text)
    if match:
        yield match[0].strip()
    tools = {name.lower().split("_")[0] for name in turn.tools} - CUSTOMERS_VERBS
    for match in PROMISES.finditer(text):
        if match["deed"] in tools:
            yield match[0].strip()


def _tool_names(turn: Turn) -> Iterator[str]:
    lowered = turn.reply.lower()
    for name in turn.tools:
        if re.search(rf"(?<!\w){re.escape(name.lower())}(?!\w)", lowered) and (
            "_" in name or f"{name.lower()}(" in lowered
        ):
            yield name
    known = f"{turn.common}\n{turn.hidden.goal}".lower() + "".join(
        str(fact.value).lower() for fact in turn.hidden.facts
    )
    for match in SYNTAX.finditer(lowered):
        if match[0] not in known:  # a value may look like a name in code
            yield match[0][:40]


def _claimed_action(turn: Turn) -> Iterator[str]:
    verbs = _deeds(turn)
    if handled := HANDLED.search(plain_line(turn.reply)):
        yield handled[0]
    for sentence in re.split(r"(?<=[.!?;])\s+", plain_line(turn.reply)):
        for match in DID.finditer(sentence):
            deed = match["deed"] or match["deed2"]
            if f" i {deed} " in turn.known.text or TRIED.search(match[0]):
                continue  # it is a part of the story, or came to nothing
            if NOT_DONE.search(sentence[max(0, match.start() - 20) : match.start()]):
                continue
            if (_stem(deed) in verbs and (match["deed"] or match["soon"])) or IN_THE_SYSTEM.search(sentence):
                yield match[0].strip()


def _deeds(turn: Turn) -> frozenset[str]:
    """Stems of what the agent's tools do and of what the user wants done."""
    tools = {_stem(part) for name in turn.tools for part in name.lower().split("_")[:1]}
    wanted = {_stem(word) for word in plain(f"{turn.hidden.goal} {turn.opening}").split()}
    return frozenset(tools | wanted)


def _stem(word: str) -> str:
    word = IRREGULAR.get(word, word)
    for ending in ("ted", "led", "ned", "ped", "red", "ed", "d", "e"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            base = word.removesuffix(ending)
            return base + ending[0] if len(ending) == 3 and base[-1] != ending[0] else base
    return word


def plain_line(text: str) -> str:
    """In lower case, with plain apostrophes, on one line."""
    return " ".join(text.translate(_PLAIN).lower().split())


_PLAIN = str.maketrans({"’": "'", "‘": "'", "“": '"', "”": '"', "—": " - ", "\u00a0": " "})


# ---- the end


def settles(message: str) -> bool:
    """Whether a message tells that something is done, or refused for good, in words that `heard` is not sure of.

    Enough to let a user go who wants to, not to send one away.
    """
    text = plain_line(message)
    return bool(SETTLES.search(text)) and not PENDING.search(text)


def _ended_early(turn: Turn) -> Iterator[str]:
    heard = turn.heard
    if not turn.done:
        if heard.kind in ("question", "confirmation") and not heard.claims and LEAVES.search(plain_line(turn.reply)):
            yield f"says goodbye at a {heard.kind}"
        return
    if heard.kind in ("question", "confirmation") and not heard.claims:
        yield f"at a {heard.kind}"
    elif UNDER_WAY.search(plain_line(turn.message)) and not heard.refuses:
        yield "while it goes on"
    elif turn.open_requests:
        yield "with a request still open"
    elif not (heard.claims or heard.refuses or heard.kind in ("claim_done", "refusal") or settles(turn.message)):
        yield "while nothing was done or refused"


def _left_out(turn: Turn) -> Iterator[str]:
    if turn.leaves_out:
        yield turn.due


_DETECTORS: dict[Kind, Callable[[Turn], Iterator[str]]] = {
    "role_flip": _role_flip,
    "tool_names": _tool_names,
    "leaked_more": _leaked_more,
    "unasked": _unasked,
    "contradicts": _contradicts,
    "invented": _invented,
    "claimed_action": _claimed_action,
    "ended_early": _ended_early,
    "left_out": _left_out,
}
