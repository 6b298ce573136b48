"""The consistency certificate: does the same call in the same state get the same bytes, however and whenever it comes?

Every check asks twice and compares. A class is exact when the answer must be the same; whether a paraphrase is taken
for the same call is a matter of judgement, so its match rate stands apart, but what was once decided must stay.
"""

import re
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import anyio
import orjson

from synthagent.errors import ToolFailed
from synthagent.schema.episodes import Limits, ToolEvent
from synthagent.schema.tasks import Require, Run, Task
from synthagent.simulation.calling import called
from synthagent.simulation.episode import Cast, Stage, facts_user, play, prepare
from synthagent.simulation.response_map import Tools
from synthagent.simulation.scripted_agents import Spam, scripted

Class = Literal[
    "concurrent", "repeated", "permuted", "formatting", "paraphrased", "read_after_write", "unrelated_write", "restart"
]
CLASSES: tuple[Class, ...] = get_args(Class)
AT_ONCE = 8
"""Identical calls that are made at the same time."""
MOST_PROBES = 2
"""Calls of one tool that are tried."""
MOST_PAIRS = 4
"""Pairs of a write and a read that are tried in a task, of those that have to do with each other and of the others."""

Opening = Callable[[], AbstractAsyncContextManager[Tools | None]]
"""Opens whoever answers for tools; each time as a new process would."""


@dataclass(frozen=True, slots=True)
class Probe:
    """One call that is tried."""

    tool: str
    arguments: dict[str, Any]
    writes: bool

    @property
    def raw(self) -> str:
        return orjson.dumps(self.arguments).decode()


@dataclass(frozen=True, slots=True)
class Check:
    """One question asked twice."""

    kind: Class
    task_id: str
    tool: str
    simulated: bool
    calls: tuple[str, ...]
    first: str
    second: str

    @property
    def identical(self) -> bool:
        return self.first == self.second


@dataclass(slots=True)
class Certificate:
    """What came of all checks."""

    calls: int = 0
    checks: Counter[Class] = field(default_factory=Counter)
    identical: Counter[Class] = field(default_factory=Counter)
    matches: list[bool] = field(default_factory=list)
    """Of each paraphrased call of a simulated tool, whether it was taken for the same call."""
    failed: int = 0
    """Calls that nobody could answer."""
    counterexamples: list[Check] = field(default_factory=list)

    def see(self, check: Check) -> None:
        """Takes note of one check."""
        self.checks[check.kind] += 1
        self.identical[check.kind] += check.identical
        if not check.identical:
            self.counterexamples.append(check)

    @property
    def identical_share(self) -> float | None:
        """Over all classes; None when nothing was checked."""
        checks = self.checks.total()
        return self.identical.total() / checks if checks else None

    @property
    def match_rate(self) -> float | None:
        """Share of paraphrases that were taken for the same call."""
        return sum(self.matches) / len(self.matches) if self.matches else None


async def certify(tasks: Sequence[Task], opening: Opening, certificate: Certificate) -> AsyncIterator[Task]:
    """Tries the tools of each task, filling the certificate; gives each task when it is done. Raises `TaskFault`."""
    for task in tasks:
        trial = _Trial(prepare(task), certificate)
        async with opening() as tools:
            probes = await trial.probes(tools)
            earlier = [check async for check in trial.before_restart(tools, probes)]
        async with opening() as tools:
            await trial.after_restart(tools, earlier)
        yield task


class _Trial:
    """The checks of one task."""

    def __init__(self, stage: Stage, certificate: Certificate):
        self.stage, self.certificate = stage, certificate

    async def probes(self, tools: Tools | None) -> list[Probe]:
        """Calls to try: those of the reference where it can be played, else whatever fits the schema."""
        found: dict[str, list[Probe]] = {tool: [] for tool in self.stage.blueprint.tools}
        cast = Cast(scripted("reference", self.stage), facts_user(self.stage), tools=tools)
        played = await play(self.stage, cast, Limits())
        spam = Cast(Spam(), facts_user(self.stage), tools=tools)
        filled = await play(self.stage, spam, Limits())
        for event in (*played.episode.events, *filled.episode.events):
            if not isinstance(event, ToolEvent) or event.arguments is None or event.error == "bad_arguments":
                continue
            probes = found.get(event.tool)
            if probes is None or event.tool in self.stage.blueprint.ends or len(probes) >= MOST_PROBES:
                continue
            if all(probe.arguments != event.arguments for probe in probes):
                probes.append(Probe(event.tool, event.arguments, self._writes(event.tool)))
        return [probe for probes in found.values() for probe in probes]

    async def before_restart(self, tools: Tools | None, probes: Sequence[Probe]) -> AsyncIterator[tuple[Probe, str]]:
        """Every class but the restart; gives each probe with its answer, to be compared after it."""
        for probe in probes:
            fresh = self._unseen(probe)
            if fresh is not None:
                await self._concurrent(tools, fresh)
            first = await self._asked(tools, probe.raw, probe)
            if first is None:
                continue
            await self._again("repeated", tools, probe, probe.raw, first)
            if len(probe.arguments) > 1:
                await self._again("permuted", tools, probe, _permuted(probe.arguments), first)
            await self._again("formatting", tools, probe, _reformatted(probe.arguments), first)
            await self._paraphrased(tools, probe, first)
            yield probe, first
        await self._sequences(tools, probes)

    async def after_restart(self, tools: Tools | None, earlier: Sequence[tuple[Probe, str]]) -> None:
        """The same calls, of whoever has been started anew."""
        for probe, first in earlier:
            await self._again("restart", tools, probe, probe.raw, first)

    async def _paraphrased(self, tools: Tools | None, probe: Probe, first: str) -> None:
        for arguments in _paraphrases(probe.arguments, self._choices(probe.tool)):
            raw = orjson.dumps(arguments).decode()
            once = await self._asked(tools, raw, probe)
            if once is None:
                continue
            await self._again("paraphrased", tools, probe, raw, once)
            if self._simulated(probe.tool):
                self.certificate.matches.append(once == first)

    async def _concurrent(self, tools: Tools | None, probe: Probe) -> None:
        answers: list[str | None] = []

        async def ask() -> None:
            answers.append(await self._asked(tools, probe.raw, probe))

        async with anyio.create_task_group() as group:
            for _ in range(AT_ONCE):
                group.start_soon(ask)
        told = [answer for answer in answers if answer is not None]
        for other in told[1:]:
            self._see("concurrent", probe, (probe.raw,), told[0], other)

    async def _sequences(self, tools: Tools | None, probes: Sequence[Probe]) -> None:
        """What reads say after writes: the same each time, and nothing new if the write is none of their business."""
        pairs = [(w, r) for w in probes if w.writes for r in probes if not r.writes]
        apart = [pair for pair in pairs if self._unrelated(*pair)]
        related = [pair for pair in pairs if pair not in apart]
        for write, read in (*apart[:MOST_PAIRS], *related[:MOST_PAIRS]):
            answers = [await self._in_turn(tools, [(p.tool, p.raw) for p in (read, write, read)]) for _ in range(2)]
            one, two = answers
            if one is None or two is None:
                continue
            before, done, after = one
            again = two[-1]
            calls = (f"{write.tool}({write.raw})", f"{read.tool}({read.raw})")
            self._see("read_after_write", read, calls, after, again)
            if not done.startswith('{"error"') and self._unrelated(write, read):
                self._see("unrelated_write", read, calls, before, after)

    async def _in_turn(self, tools: Tools | None, calls: Sequence[tuple[str, str]]) -> list[str] | None:
        """The answers to calls in a world of their own; None when one of them got none."""
        with self.stage.blueprint.open() as world:
            try:
                answers = []
                for tool, raw in calls:
                    self.certificate.calls += 1
                    answers.append((await called(world, tools, tool, raw))[0].response)
                return answers
            except ToolFailed:
                self.certificate.failed += 1
                return None

    async def _again(self, kind: Class, tools: Tools | None, probe: Probe, raw: str, first: str) -> None:
        second = await self._asked(tools, raw, probe)
        if second is not None:
            self._see(kind, probe, (probe.raw, raw), first, second)

    async def _asked(self, tools: Tools | None, raw: str, probe: Probe) -> str | None:
        """The answer in the initial state, in a world of its own; None when nobody could answer."""
        found = await self._in_turn(tools, [(probe.tool, raw)])
        return None if found is None else found[0]

    def _see(self, kind: Class, probe: Probe, calls: tuple[str, ...], first: str, second: str) -> None:
        task, simulated = self.stage.task.id, self._simulated(probe.tool)
        self.certificate.see(Check(kind, task, probe.tool, simulated, calls, first, second))

    def _simulated(self, tool: str) -> bool:
        return tool in self.stage.blueprint.simulated

    def _writes(self, tool: str) -> bool:
        blueprint = self.stage.blueprint
        known = blueprint.programs.get(tool) or blueprint.simulated.get(tool)
        return known is not None and known.writes

    def _choices(self, tool: str) -> frozenset[str]:
        properties = next(
            t.function.parameters.get("properties", {}) for t in self.stage.task.brief.tools if t.name == tool
        )
        return frozenset(name for name, schema in properties.items() if {"enum", "format", "pattern"} & schema.keys())

    def _unseen(self, probe: Probe) -> Probe | None:
        """The same call with another text that nobody has asked about yet; None when it has no free text."""
        free = [n for n, v in probe.arguments.items() if isinstance(v, str) and n not in self._choices(probe.tool)]
        if not free:
            return None
        return Probe(probe.tool, {**probe.arguments, free[0]: f"{probe.arguments[free[0]]} all at once"}, probe.writes)

    def _unrelated(self, write: Probe, read: Probe) -> bool:
        """Whether it is known that the write is none of the read's business."""
        reads, touched = self._reads(read.tool), self._touches(write.tool)
        return reads is not None and touched is not None and not reads & touched

    def _reads(self, tool: str) -> frozenset[str] | None:
        blueprint = self.stage.blueprint
        if tool in blueprint.simulated:
            return blueprint.simulated[tool].reads
        return self._tables_in(tool, writing=False)

    def _touches(self, tool: str) -> frozenset[str] | None:
        blueprint = self.stage.blueprint
        if tool in blueprint.simulated:
            return blueprint.simulated[tool].touches
        return self._tables_in(tool, writing=True)

    def _tables_in(self, tool: str, *, writing: bool) -> frozenset[str]:
        """Tables that a program names in its writes, or anywhere."""
        names = [table.name for table in self.stage.blueprint.tables]
        found = set()
        for step in self.stage.blueprint.programs[tool].steps:
            if writing and not isinstance(step, Run):
                continue
            sql = step.require if isinstance(step, Require) else step.run if isinstance(step, Run) else step.query
            found |= {name for name in names if re.search(rf"\b{re.escape(name)}\b", sql)}
        return frozenset(found)


def _permuted(arguments: dict[str, Any]) -> str:
    return orjson.dumps(dict(reversed(arguments.items()))).decode()


def _reformatted(arguments: dict[str, Any]) -> str:
    """The same arguments in another hand: white space, escapes, whole numbers with a point."""
    parts = []
    for name, value in arguments.items():
        whole = isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**53
        text = f"{value}.0" if whole else orjson.dumps(value).decode()
        key = "".join(f"\\u{ord(letter):04x}" for letter in name)
        parts.append(f'\n  "{key}" :  {text}')
    return "{" + ",".join(parts) + "\n}"


def _paraphrases(arguments: dict[str, Any], closed: frozenset[str]) -> Iterator[dict[str, Any]]:
    """The same call in other words, where it has words: another case, an article, another order."""
    for name, value in arguments.items():
        if not isinstance(value, str) or name in closed or not re.search(r"[A-Za-z]{3}", value):
            continue
        if re.search(r"\d", value):
            yield {**arguments, name: value.swapcase()}
            continue
        yield {**arguments, name: f"  {value.upper()} "}
        yield {**arguments, name: f"the {value}"}
        if len(words := value.split()) > 1:
            yield {**arguments, name: " ".join((words[-1], *words[:-1]))}
