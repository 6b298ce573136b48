"""A teacher's reading of a demonstration: which events reach which sub-goal, and what each rule forbids.

The teacher points, code looks: events, tools and values that it names are checked against the record, and what a check
becomes is decided in `synthagent.synthesis.derivation`.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Literal, Protocol

from synthagent import prompts
from synthagent.llm.structured import Structured
from synthagent.schema.record import Record, content_id
from synthagent.scoring.transcript import Transcript, transcript
from synthagent.synthesis.demonstrations import Demonstration, Source

ALIGN, RESTRICT = "synthesis/align", "synthesis/restrict"
PROMPTS = (ALIGN, RESTRICT)


class Reached(Record):
    """A sub-goal that the demonstration reaches."""

    goal: int
    """The sub-goal's number, from 1."""
    text: str = ""
    """What is true once it is reached, in the past tense, in words that allow other ways there."""
    events: tuple[int, ...]
    """Numbers of the events that reach it; for something told, the call it came from too."""
    told: str = ""
    """A value that the user was told, as it stands in the call's result; empty if nothing was to be told."""
    declined: str = ""
    """The tool that was rightly not used, if the sub-goal is to decline; `none` if there was none for it."""


class Alignment(Record):
    """The sub-goals that a demonstration reaches; those that it leaves undone are not in it."""

    reached: tuple[Reached, ...] = ()


class Restriction(Record):
    """What a rule forbids, in a form that code can check."""

    rule: int
    """The rule's number, from 1."""
    kind: Literal["never", "first", "confirm", "other"]
    """never: some calls of the tool are forbidden; first: the tool needs another call before it; confirm: the tool
    needs the user's yes; other: nothing of these, a reader has to judge."""
    tool: str = ""
    where: str = ""
    """never: SQL that gives a row for a call that breaks the rule; empty: every call does."""
    first: str = ""
    """first: the tool that has to be called before."""


class Restrictions(Record):
    """One for each rule; several for a rule that restricts several tools."""

    restrictions: tuple[Restriction, ...] = ()


class Aligner(Protocol):
    """Whoever reads demonstrations."""

    name: str

    async def align(self, source: Source, one: Demonstration) -> Alignment:
        """Which sub-goals a demonstration reaches, its events by the numbers of its transcript.

        Raises `NotUnderstood`, `ModelFailed`; so does `restrict`.
        """
        ...

    async def restrict(self, source: Source, one: Demonstration) -> Restrictions:
        """What the rules forbid; `one` shows a legal way."""
        ...


class ModelAligner:
    """A language model that reads demonstrations."""

    def __init__(self, structured: Structured, name: str):
        self.name, self._structured = name, structured

    async def align(self, source: Source, one: Demonstration) -> Alignment:
        """See `Aligner`."""
        told = transcript(one.episode)
        prompt = prompts.render(ALIGN, workflow=source.workflow, rules=source.rules, record=told.text)

        def check(found: Alignment) -> Sequence[str]:
            return complaints(found, source, told)

        messages = [{"role": "user", "content": prompt}]
        return (await self._structured.ask(messages, Alignment, stage="align", check=check)).value

    async def restrict(self, source: Source, one: Demonstration) -> Restrictions:
        """See `Aligner`."""
        task = one.stage.task
        names = {tool.name for tool in task.brief.tools}
        prompt = prompts.render(
            RESTRICT,
            rules=source.rules,
            tools=[tool.function for tool in task.brief.tools],
            ddl=task.world.ddl,
            record=transcript(one.episode).text,
        )

        def check(found: Restrictions) -> Sequence[str]:
            wrong = [f"rule {n}: it is missing" for n in range(1, len(source.rules) + 1)
                     if n not in {r.rule for r in found.restrictions}]  # fmt: skip
            for item in found.restrictions:
                wrong += [f"rule {item.rule}: there is no tool '{name}'" for name in (item.tool, item.first)
                          if name and name not in names]  # fmt: skip
            return wrong

        messages = [{"role": "user", "content": prompt}]
        return (await self._structured.ask(messages, Restrictions, stage="restrict", check=check)).value


class Reading(Record):
    """One answer of an aligner, to be kept."""

    key: str
    """Of all that was asked."""
    alignment: Alignment | None = None
    restrictions: Restrictions | None = None


class Remembering:
    """An aligner that is asked for nothing twice: what it answered is kept, and found again."""

    def __init__(self, aligner: Aligner, known: dict[str, Reading], keep: Callable[[Reading], object]):
        self.name, self._aligner, self._known, self._keep = aligner.name, aligner, known, keep

    async def align(self, source: Source, one: Demonstration) -> Alignment:
        """See `Aligner`."""
        key = self._key(ALIGN, source, one)
        if key not in self._known or self._known[key].alignment is None:
            self._note(Reading(key=key, alignment=await self._aligner.align(source, one)))
        return self._known[key].alignment or Alignment()

    async def restrict(self, source: Source, one: Demonstration) -> Restrictions:
        """See `Aligner`."""
        key = self._key(RESTRICT, source, one)
        if key not in self._known or self._known[key].restrictions is None:
            self._note(Reading(key=key, restrictions=await self._aligner.restrict(source, one)))
        return self._known[key].restrictions or Restrictions()

    def _key(self, what: str, source: Source, one: Demonstration) -> str:
        record = transcript(one.episode).text
        asked = [self.name, what, prompts.fingerprint(what), *source.workflow, "", *source.rules, "", record]
        return content_id([*asked, one.stage.task.world_id])

    def _note(self, reading: Reading) -> None:
        self._known[reading.key] = reading
        self._keep(reading)


def complaints(found: Alignment, source: Source, told: Transcript) -> list[str]:
    """What is wrong with an alignment, in words for its author."""
    entries = Counter(item.goal for item in set(found.reached))
    wrong = [f"sub-goal {goal}: it is there more than once; put all its events into one" for goal in entries
             if entries[goal] > 1]  # fmt: skip
    for item in found.reached:
        where = f"sub-goal {item.goal}"
        if not 1 <= item.goal <= len(source.workflow):
            wrong.append(f"there is no {where}")
        wrong += [f"{where}: there is no event {n}" for n in item.events if told.place(n) is None]
        if not item.events:
            wrong.append(f"{where}: name the events that reach it, or leave it out")
    return wrong
