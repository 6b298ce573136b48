"""A language model as the judge of what code cannot see (Lyu et al., section 3.3, where it decides everything).

One call decides all open criteria of an episode. "Met" counts with proof only: the events cited must exist and be of
the right kind, else it is asked again, and then it cannot be told. Further votes are taken where the judge is not sure.
A judge that fails, or cannot tell, gives no verdict at all: `JudgeFailed`, never a score (invariant 4).
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from pydantic import ValidationError

from synthagent import prompts
from synthagent.errors import JudgeFailed, ModelFailed
from synthagent.llm.portable import schema_of
from synthagent.llm.structured import NotUnderstood, Structured
from synthagent.schema.episodes import Episode
from synthagent.schema.messages import Message
from synthagent.schema.record import Record
from synthagent.schema.scores import JudgeMode, Verdict
from synthagent.schema.tasks import Brief
from synthagent.scoring.citations import Open, complaints, proving
from synthagent.scoring.transcript import Transcript, transcript

JUDGE, EPISODE = "scoring/judge", "scoring/judge_episode"
PROMPTS = (JUDGE, EPISODE)
VerdictWord = Literal["met", "not_met", "cannot_tell"]
ATTEMPTS = 2
"""Calls made for one answer: what is not understood, or fails, is asked once more."""


class Item(Record):
    """The judge on one statement."""

    seen: str = ""
    """What the record shows about it, in a few words."""
    verdict: VerdictWord
    events: tuple[int, ...] = ()
    """Numbers of the events that prove it."""
    sure: bool = True


class PaperItem(Record):
    """The judge on one statement, as the paper asks."""

    met: bool


Kind = TypeVar("Kind", bound=Record)


@dataclass(frozen=True, slots=True)
class Ruling:
    """What the judge makes of one criterion, the votes put together."""

    verdict: VerdictWord
    events: tuple[int, ...] = ()
    """Verified: they exist and are of the right kind."""
    votes: tuple[VerdictWord, ...] = ()


class Judge:
    """Asks a model for verdicts."""

    def __init__(
        self, structured: Structured, name: str, mode: JudgeMode = "checks", *, voting: Structured | None = None,
        votes: int = 3, draw: int = 0,
    ):  # fmt: skip
        """`voting`: asked for the second vote and further ones, warmer; `votes`: at most so many, all told.

        `draw`: judges of one model that differ in it are asked anew, as if by another reader.
        """
        self.name, self.mode = name, mode
        self._structured, self._voting = structured, voting or structured
        self._votes, self._draw = votes, draw

    async def rule(self, brief: Brief, episode: Episode, items: Sequence[Open]) -> dict[str, Ruling]:
        """A ruling a criterion, by id. Raises `JudgeFailed`; a criterion that cannot be told is no failure yet."""
        if self.mode == "paper":
            return await self._as_in_the_paper(brief, episode, items)
        # What nothing in the record could prove needs no judge.
        rulings = {item.criterion.id: Ruling("not_met") for item in items if not proving(item, episode)}
        left = [item for item in items if item.criterion.id not in rulings]
        cast: dict[str, list[Item]] = {item.criterion.id: [] for item in left}
        for vote in range(self._votes):
            left = [item for item in left if not settled(cast[item.criterion.id])]
            if not left:
                break
            for id_, found in (await self._vote(brief, episode, left, vote)).items():
                cast[id_].append(found)
        return rulings | {id_: decided(votes) for id_, votes in cast.items()}

    async def _vote(self, brief: Brief, episode: Episode, items: Sequence[Open], vote: int) -> dict[str, Item]:
        """One vote an item, by id; what is called met without proof, even when asked again, cannot be told."""
        labelled, told = labels(items), transcript(episode)
        read: list[dict[str, Item]] = []

        def check(found: dict[str, Item]) -> Sequence[str]:
            read.append(found)
            return [
                f"{label}: {text}"
                for label, item in found.items()
                if item.verdict == "met"
                for text in complaints(labelled[label], item.events, episode, told)
            ]

        asker = self._structured if vote == 0 else self._voting
        try:
            await self._asked(asker, asked_for(brief, told, labelled, paper=False), labelled, Item, check, vote)
        except JudgeFailed:
            if not read:
                raise
        return {open_.criterion.id: _proven(read[-1][label], open_, episode, told) for label, open_ in labelled.items()}

    async def _as_in_the_paper(self, brief: Brief, episode: Episode, items: Sequence[Open]) -> dict[str, Ruling]:
        """One call, no proof, no votes."""
        labelled = labels(items)
        messages = asked_for(brief, transcript(episode), labelled, paper=True)
        found = await self._asked(self._structured, messages, labelled, PaperItem, lambda _: (), 0)
        return {labelled[label].criterion.id: Ruling("met" if item.met else "not_met") for label, item in found.items()}

    async def _asked(
        self, asker: Structured, messages: Sequence[Message], labelled: Mapping[str, Open], kind: type[Kind],
        check: Callable[[dict[str, Kind]], Sequence[str]], vote: int,
    ) -> dict[str, Kind]:  # fmt: skip
        """An item a label. Raises `JudgeFailed` when there is still none after `ATTEMPTS` calls and their repairs.

        What was read, but stays unproved after its repair, is not asked for anew.
        """
        readable = False

        def read(data: Any) -> tuple[dict[str, Kind] | None, Sequence[str]]:
            nonlocal readable
            found, wrong = items_in(data, labelled, kind)
            readable |= not wrong
            return (None, wrong) if wrong else (found, check(found))

        error: NotUnderstood | ModelFailed
        for attempt in range(ATTEMPTS):
            sample = (self._draw * 16 + vote) * ATTEMPTS + attempt
            try:
                schema = _schema(labelled, kind)
                asked = await asker.ask_json(messages, "verdicts", schema, read, stage="judge", sample=sample)
            except (NotUnderstood, ModelFailed) as failed:
                error = failed
                if readable:
                    break
            else:
                return asked.value
        reason = f"model:{error.reason}" if isinstance(error, ModelFailed) else "not_understood"
        raw = f"; it said: {error.raw[:500]}" if isinstance(error, NotUnderstood) else ""
        raise JudgeFailed(f"{error}{raw}", reason=reason) from error


def labels(items: Sequence[Open]) -> dict[str, Open]:
    """What each criterion is called before the judge: a task file's own ids may be anything."""
    counted: Counter[str] = Counter()
    found = {}
    for item in items:
        counted[item.part] += 1
        found[f"{item.part[0]}{counted[item.part]}"] = item
    return found


def _schema(labelled: Mapping[str, Open], kind: type[Record]) -> dict[str, Any]:
    """One object with a key a statement: where a server keeps to the schema, none is left out and none is invented."""
    properties = {label: schema_of(kind) for label in labelled}
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def items_in(data: Any, labelled: Mapping[str, Open], kind: type[Kind]) -> tuple[dict[str, Kind], list[str]]:
    """(label -> item, what is wrong with an answer)."""
    if not isinstance(data, Mapping):
        return {}, ["write one JSON object with a key for each statement"]
    found, wrong = {}, []
    for label in labelled:
        if label not in data:
            wrong.append(f"{label}: it is missing")
            continue
        try:
            found[label] = kind.model_validate(data[label])
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            wrong.append(".".join([label, *map(str, first["loc"])]) + f": {first['msg']}")
    return found, wrong


def asked_for(brief: Brief, told: Transcript, labelled: Mapping[str, Open], *, paper: bool) -> list[Message]:
    """The conversation in which an episode is put to a judge; the statements come last: votes share the rest."""
    items = [{"id": label, "text": _one_line(item.criterion.text)} for label, item in labelled.items()]
    user = prompts.render(
        EPISODE, instruction=_one_line(brief.instruction), rules=[_one_line(rule) for rule in brief.rules],
        record=told.text, items=items,
    )  # fmt: skip
    return [{"role": "system", "content": prompts.render(JUDGE, paper=paper)}, {"role": "user", "content": user}]


def settled(votes: Sequence[Item]) -> bool:
    """Whether no further vote is needed: a sure first one, or a majority of two or more."""
    if len(votes) == 1:
        return votes[0].sure and votes[0].verdict != "cannot_tell"
    return bool(votes) and max(Counter(vote.verdict for vote in votes).values()) * 2 > len(votes)


def decided(votes: Sequence[Item]) -> Ruling:
    """The verdict that most votes give, with the events that all its votes cite; no majority: it cannot be told."""
    counted = Counter(vote.verdict for vote in votes)
    words = tuple(vote.verdict for vote in votes)
    verdict, number = counted.most_common(1)[0]
    if number * 2 <= len(votes):
        return Ruling("cannot_tell", votes=words)
    events = {event for vote in votes if vote.verdict == verdict for event in vote.events}
    return Ruling(verdict, tuple(sorted(events)), words)


def verdict_of(id_: str, ruling: Ruling) -> Verdict:
    """A ruling as a verdict of the score. Raises `JudgeFailed` for one that could not be told."""
    if ruling.verdict == "cannot_tell":
        raise JudgeFailed(f"{id_}: the judge cannot tell (votes: {', '.join(ruling.votes)})", reason="cannot_tell")
    return Verdict(id=id_, holds=ruling.verdict == "met", events=ruling.events, by="judge")


def _proven(item: Item, open_: Open, episode: Episode, told: Transcript) -> Item:
    """What was asked twice, with events by their indices: the proof that holds good stands, and "met" falls without."""
    if item.verdict != "met":
        return item.model_copy(update={"events": ()})
    sound = [number for number in item.events if not any(True for _ in complaints(open_, (number,), episode, told))]
    places = tuple(place for number in sound if (place := told.place(number)) is not None)
    return item.model_copy(update={"events": places, "verdict": "met" if places else "cannot_tell"})


def _one_line(text: str) -> str:
    return " ".join(text.split())
