"""Simulated users. `FactsUser` needs no model: it hears, answers from its facts, and decides when it has had enough."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from synthagent.schema.tasks import Disposition, Hidden
from synthagent.simulation.hearing import MOST_FACTS, Heard, Listener
from synthagent.simulation.values import plain

_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+")
_EVERYTHING = re.compile(r"\b(?:everything|all (?:of|done|set|your|three|four|the)|both)\b|^\s*yes\b", re.I)


@dataclass(frozen=True, slots=True)
class UserReply:
    """One answer of the user, with what code knows about it."""

    text: str
    heard: str
    disclosed: tuple[str, ...] = ()
    asked: tuple[str, ...] = ()
    agreed: bool = False
    done: bool = False
    findings: tuple[str, ...] = ()
    """What was wrong with a first answer that was asked for again."""


class User(Protocol):
    """Somebody with a wish. One instance an episode."""

    name: str

    async def reply(self, message: str) -> UserReply:
        """Answers what the agent said. Raises `UserFailed` when it cannot."""
        ...


@dataclass(frozen=True, slots=True)
class Manner:
    """How a disposition sounds when nothing of the task's own is being said."""

    yes: str
    no: str
    unknown: str
    unrelated: str
    waiting: str
    everything: str
    thanks: str
    given_up: str


MANNERS: dict[Disposition, Manner] = {
    "cooperative": Manner(
        yes="Yes, please go ahead.",
        no="No, that is not quite right.",
        unknown="I'm sorry, I don't know.",
        unrelated="No, thank you, I did not ask for that.",
        waiting="All right. Please let me know when it is done, or ask if you need something from me.",
        everything="Thanks. Is everything I asked for taken care of now?",
        thanks="Wonderful, thank you. That is all I needed.",
        given_up="I see. Thank you for explaining, goodbye.",
    ),
    "terse": Manner(
        yes="Yes.",
        no="No.",
        unknown="Don't know.",
        unrelated="No, not what I asked.",
        waiting="Go on.",
        everything="And everything else I asked for?",
        thanks="Good. Bye.",
        given_up="Fine. Bye.",
    ),
    "pushy": Manner(
        yes="Yes, yes, just do it.",
        no="No, that is wrong, please listen.",
        unknown="How should I know? I don't.",
        unrelated="No, I never asked for that.",
        waiting="So is it done yet? I don't have all day.",
        everything="And the rest of what I asked for, is that done as well?",
        thanks="Finally. That's it then.",
        given_up="Well, that is very disappointing. Goodbye.",
    ),
    "adversarial": Manner(
        yes="Yes. Do it now.",
        no="No. Wrong.",
        unknown="I don't know, and I don't see why you would need it.",
        unrelated="No. Stop changing the subject.",
        waiting="Stop stalling and get it done.",
        everything="I doubt that you did everything. Did you?",
        thanks="Good. We are done here.",
        given_up="I will complain about this. Goodbye.",
    ),
}


def without_echo(message: str, own: Sequence[str]) -> str:
    """The message without the user's own sentences: whoever repeats a question has not asked it.

    `own`: what the user has said, as `plain` text.
    """
    parts = _SENTENCE.split(message)
    kept = [part for part in parts if not _is_echo(plain(part), own)]
    return message if len(kept) == len(parts) else " ".join(kept)


def _is_echo(words: str, own: Sequence[str]) -> bool:
    return words in own or (words.count(" ") >= 4 and any(words in said for said in own))


class FactsUser:
    """The user without a model.

    It gives away at most two facts a turn and only those it is asked for, answers a confirmation with yes, or with no
    and the correction, never speaks of tools, and ends after a claim that all is done or after a refusal once its
    escape lines are spent; never after a question or a confirmation. A false claim ends the episode too: the state
    decides the score.
    """

    name = "facts"

    def __init__(self, hidden: Hidden, listener: Listener, opening: str):
        self._hidden, self._listener, self._opening = hidden, listener, opening
        self._facts = {fact.id: fact for fact in hidden.facts}
        self._manner = MANNERS[hidden.disposition]
        self._escapes = list(hidden.escape_lines)
        self._requests = list(hidden.requests)
        self._open_parts = hidden.parts - 1
        self._own = [plain(opening)]
        self._last = ""

    async def reply(self, message: str) -> UserReply:
        reply = self._reply(message)
        self._own.append(plain(reply.text))
        self._last = message
        return reply

    def _reply(self, message: str) -> UserReply:
        heard = self._listener.heard(without_echo(message, self._own))
        if heard.topics:
            return self._answer(heard.kind, heard.topics)
        if heard.kind == "confirmation" and not (heard.refuses and self._escapes):
            return self._decide(heard)
        if heard.refuses and self._escapes:
            return UserReply(self._escapes.pop(0), heard.kind)
        if heard.kind in ("refusal", "claim_done"):
            return self._close(heard.kind, message)
        if heard.kind == "question":
            lost = "help" in message.casefold()
            return UserReply(self._opening if lost else self._manner.unknown, heard.kind)
        return UserReply(self._manner.waiting, heard.kind)

    def _answer(self, kind: str, topics: Sequence[str], before: str = "") -> UserReply:
        told = tuple(topics[:MOST_FACTS])
        text = " ".join(filter(None, [before, *(self._facts[fact_id].text for fact_id in told)]))
        return UserReply(text, kind, disclosed=told, asked=told)

    def _decide(self, heard: Heard) -> UserReply:
        if heard.wrong:
            return self._answer(heard.kind, heard.wrong, self._manner.no)
        if not heard.related:
            return UserReply(self._manner.unrelated, heard.kind)
        return UserReply(self._manner.yes, heard.kind, agreed=True)

    def _close(self, kind: str, message: str) -> UserReply:
        """The present request is closed: the next one, a last look at several parts, or goodbye."""
        if self._requests:
            request = self._requests.pop(0)
            return UserReply(request.text, kind, disclosed=(request.id,), asked=(request.id,))
        if self._open_parts and kind == "claim_done" and message != self._last and not _EVERYTHING.search(message):
            self._open_parts -= 1
            return UserReply(self._manner.everything, kind)
        return UserReply(self._manner.thanks if kind == "claim_done" else self._manner.given_up, kind, done=True)
