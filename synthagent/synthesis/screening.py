"""Verified by execution: what a task must show before it is emitted, and again whenever `check` is asked.

`objections` plays a family of tasks (a root with its twins and branches): the reference, the traps, an agent that does
nothing, the reference with a question left out. Pure otherwise: no files, no models.
"""

import re
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, get_args

import orjson

from synthagent.errors import EpisodeFailure, TaskFault
from synthagent.schema.checks import All, AnyOf, Before, Check, Not, NotCalled, Unchanged
from synthagent.schema.episodes import Limits, ToolEvent
from synthagent.schema.messages import Protocol
from synthagent.schema.record import dump
from synthagent.schema.scores import Scored, Unscored
from synthagent.schema.tasks import AskStep, CallStep, Fact, ReferenceStep, Rubric, Task, identified
from synthagent.scoring.scorer import score
from synthagent.simulation.agent import Agent
from synthagent.simulation.episode import Cast, Played, Stage, facts_user, play, prepare
from synthagent.simulation.reference_agent import Reference, resolve
from synthagent.simulation.response_map import Tools
from synthagent.simulation.scripted_agents import Says
from synthagent.simulation.values import kind_of, mentions
from synthagent.simulation.world import Blueprint
from synthagent.synthesis.executing import facts_used, renumbered
from synthagent.synthesis.leaks import leaked_facts, leaking_tools, named_tools
from synthagent.synthesis.ungapped import NO_GAP

_LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class Objection:
    """Something a task fails to show."""

    task_id: str
    family: str
    screen: str
    """Which screen: reference, trap, nothing, leak, necessity, provenance, order, twin, rubric or world."""
    text: str

    def __str__(self) -> str:
        return f"task {self.task_id} ({self.family}): {self.screen}: {self.text}"


async def objections(
    family: Sequence[Task], compiled: Mapping[str, Blueprint] | None = None, tools: Tools | None = None
) -> list[Objection]:
    """Everything wrong with a family; an empty list means that every task in it is verified.

    `compiled`: world id -> world, for worlds that are compiled already. `tools`: who stands in for tools without a
    program; without it, tasks that need them are looked at on paper only.
    """
    found = [*_twins(family)]
    used = _used_facts(family)
    shown = {_bytes(c.check) for task in family for c in task.rubric.forbidden if c.trap and c.check is not None}
    for task in family:
        found += [
            Objection(task.id, task.family, screen, text)
            async for screen, text in _screened(task, used, shown, compiled or {}, tools)
        ]
    return found


async def _screened(
    task: Task, used: set[str], shown: set[bytes], compiled: Mapping[str, Blueprint], tools: Tools | None
) -> AsyncIterator[tuple[str, str]]:
    for text in _static(task):
        yield "rubric", text
    for text in _leaks(task):
        yield "leak", text
    for text in _provenance(task):
        yield "provenance", text
    try:
        stage = prepare(task, compiled.get(task.world_id))
    except (TaskFault, ValueError) as fault:
        yield "world", str(fault)
        return
    waiting = pending(task)
    if waiting and tools is None:
        return  # its tools are simulated: nothing can be played without a model
    if task.rubric.unchecked:
        yield "rubric", f"only a judge can decide {', '.join(task.rubric.unchecked)}: it was not played"
        return
    broken = False
    async for text in _reference(stage, tools):
        broken = True
        yield "reference", text
    if task.kind == "reasoning":
        return  # one answer and nothing else; what another one earns takes somebody who compares them
    async for text in _nothing(stage, tools):
        yield "nothing", text
    async for text in _traps(stage, shown, tools):
        yield "trap", text
    if broken:
        return  # what follows is measured against a reference that works
    if not waiting:  # what a model answers has no order that SQL would have to fix
        for text in _order(stage):
            yield "order", text
        for text in _given_away(stage):
            yield "necessity", text
    async for text in _necessity(stage, used, tools):
        yield "necessity", text


# ---- on paper


def _static(task: Task) -> Iterator[str]:
    if identified(task).id != task.id:
        yield "the id does not match the content"
    rubric = task.rubric
    ids = [criterion.id for criterion in (*rubric.forbidden, *rubric.subgoals, *rubric.interactions)]
    if len(set(ids)) != len(ids):
        yield "two criteria have one id"
    for criterion in rubric.subgoals:
        if criterion.check is not None and not positive(criterion.check):
            yield f"sub-goal {criterion.id} has no positive event: doing nothing could satisfy it"
    if task.brief.rules and not rubric.forbidden:
        yield "the brief has rules, but nothing is forbidden"


def pending(task: Task) -> bool:
    """Whether the reference or a trap calls a tool that only a model can play: playing it has to wait."""
    lists = (task.reference, *(criterion.trap for criterion in task.rubric.forbidden))
    calls = {step.call for steps in lists for step in steps if isinstance(step, CallStep)}
    return bool(calls & set(task.world.grounding)) or (bool(task.world.grounding) and not calls)


def screened(task: Task) -> Task:
    """The task with what waited for its tools marked as passed, once it has been played with a simulator."""
    waited = {name: "passed" for name, said in task.provenance.screening.items() if said == "pending_simulation"}
    screening = {**task.provenance.screening, **waited}
    return task.model_copy(update={"provenance": task.provenance.model_copy(update={"screening": screening})})


def positive(check: Check) -> bool:
    """Whether the check can only hold because something happened; a state counts: it is tried on doing nothing."""
    match check:
        case Unchanged() | NotCalled() | Not():
            return False
        case All(all=parts):
            return any(positive(part) for part in parts)
        case AnyOf(any=parts):
            return all(positive(part) for part in parts)
        case Before(before=(first, then)):
            return positive(first) and positive(then)
        case _:
            return True


def _leaks(task: Task) -> Iterator[str]:
    brief, hidden = task.brief, task.hidden
    if NO_GAP in task.provenance.features:
        for fact in hidden.facts:
            if not mentions(brief.instruction, fact.value):
                yield f"the task has no information gap, but the instruction does not say fact '{fact.id}'"
    else:
        yield from leaked_facts(brief.instruction, brief.rules, hidden)
        yield from leaking_tools(brief.tools, hidden)
    yield from named_tools(brief.instruction, [tool.name for tool in brief.tools])


def _provenance(task: Task) -> Iterator[str]:
    """Literals of the reference must occur in the brief; everything else comes from an answer or a result."""
    told = [task.brief.instruction, *task.brief.rules, *(request.text for request in task.hidden.requests)]
    enums = {repr(v) for tool in task.brief.tools for v in _enums(tool.function.parameters)}
    for number, step in enumerate(task.reference):
        if not isinstance(step, CallStep) or step.call in task.world.ends_episode:
            continue
        for name, value in _literals(step.args):
            if repr(value) not in enums and not any(mentions(text, value) for text in told):
                yield f"reference step {number}: argument {name}={value!r:.80} comes from nowhere"


def _enums(schema: Any) -> Iterator[Any]:
    if isinstance(schema, dict):
        yield from schema.get("enum", ())
        for item in schema.values():
            yield from _enums(item)
    elif isinstance(schema, list):
        for item in schema:
            yield from _enums(item)


def _literals(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        if "$fact" in value:
            return
        if "$from" in value:
            yield from _literals(value.get("where", {}), name)
            return
        for key, item in value.items():
            yield from _literals(item, key)
    elif isinstance(value, list):
        for item in value:
            yield from _literals(item, name)
    elif value is not None and not isinstance(value, bool):
        yield name, value


def _twins(family: Sequence[Task]) -> Iterator[Objection]:
    """A twin has a sibling that is none, with which it shares its brief and its world (or what the user knows)."""
    roots = [task for task in family if task.provenance.twin is None]
    for task in family:
        kind = task.provenance.twin
        if kind is None:
            continue
        if not roots:
            yield Objection(task.id, task.family, "twin", "its root is not in the file: keep families together")
            continue
        parts = ("brief", "world" if kind == "fact" else "hidden")
        differing = [[p for p in parts if _bytes(getattr(root, p)) != _bytes(getattr(task, p))] for root in roots]
        nearest = min(differing, key=len)
        for part in nearest:
            yield Objection(task.id, task.family, "twin", f"a {kind} twin must have the same {part} as {roots[0].id}")
        like = [root for root, parts_ in zip(roots, differing, strict=True) if not parts_]
        if like and not any(root.id != task.id and _bytes(root.rubric) != _bytes(task.rubric) for root in like):
            yield Objection(task.id, task.family, "twin", f"does not differ from {like[0].id}")


def _bytes(record: Any) -> bytes:
    return orjson.dumps(dump(record))


def _used_facts(family: Sequence[Task]) -> set[str]:
    """Facts that some reference of the family works with."""
    return {
        fact
        for task in family
        for step in task.reference
        if isinstance(step, CallStep)
        for fact in facts_used(step.args)
    }


# ---- by playing


async def _played(
    stage: Stage, agent: Agent, tools: Tools | None, protocol: Protocol = "text"
) -> tuple[Played, Scored | Unscored]:
    played = await play(stage, Cast(agent, facts_user(stage), protocol, tools=tools), _LIMITS)
    return played, score(stage, played.episode, played.final)


async def _reference(stage: Stage, tools: Tools | None) -> AsyncIterator[str]:
    task = stage.task
    for protocol in get_args(Protocol):
        agent = Reference(task.reference, task.hidden.facts)
        played, result = await _played(stage, agent, tools, protocol)
        if isinstance(result, Unscored):
            yield f"protocol {protocol}: {result.blame}: {result.reason}: {result.detail}"
        elif result.reward != 1.0:
            broken = [v.id for v in result.forbidden if v.holds]
            missed = [v.id for v in (*result.subgoals, *result.interactions) if not v.holds]
            yield f"protocol {protocol}: scores {result.reward:.3f} (broken: {broken}, missed: {missed})"
        failed = [e.response for e in played.episode.events if isinstance(e, ToolEvent) and not e.ok]
        if failed:
            yield f"protocol {protocol}: a call fails: {failed[0][:200]}"
    for found in sorted(_generated(played) & _named_in(task.rubric)):
        yield f"a check names '{found}', an id that the world generates: another way of calling gives another"


_IDS = re.compile(r"\b[A-Za-z]*-[0-9a-f]{6}\b")
"""What `new_id` gives."""


def _generated(played: Played) -> set[str]:
    """Ids that stand in the results of calls that write, and nowhere before."""
    found: set[str] = set()
    known: set[str] = set()
    for event in played.episode.events:
        if isinstance(event, ToolEvent):
            ids = set(_IDS.findall(event.response))
            if event.changed:
                found |= ids - known
            known |= ids
    return found


def _named_in(rubric: Rubric) -> set[str]:
    checks = [c.check for c in (*rubric.subgoals, *rubric.interactions, *rubric.forbidden) if c.check is not None]
    return {name for check in checks for name in _IDS.findall(_bytes(check).decode())}


async def _nothing(stage: Stage, tools: Tools | None) -> AsyncIterator[str]:
    _, result = await _played(stage, Says("scripted:nothing", "Goodbye."), tools)
    if isinstance(result, Unscored):
        yield f"{result.blame}: {result.reason}: {result.detail}"
        return
    for verdict in (*result.subgoals, *result.interactions):
        if verdict.holds:
            yield f"{verdict.id} holds although nothing was done"
    if result.reward:
        yield f"scores {result.reward}"


async def _traps(stage: Stage, shown: set[bytes], tools: Tools | None) -> AsyncIterator[str]:
    """`shown`: checks whose trap stands in this task or, where its own state has none, in another of the family."""
    for criterion in stage.task.rubric.forbidden:
        if not criterion.trap:
            if criterion.check is None or _bytes(criterion.check) not in shown:
                yield f"{criterion.id} has no trap"
            continue
        # Under `tools` no user stands between the calls; the last word ends the episode.
        played, result = await _played(stage, Reference(criterion.trap, stage.task.hidden.facts), tools, "tools")
        failed = [e.response for e in played.episode.events if isinstance(e, ToolEvent) and not e.ok]
        if failed:
            yield f"{criterion.id}: the forbidden call fails in the world: {failed[0][:200]}"
        elif isinstance(result, Unscored):
            yield f"{criterion.id}: {result.blame}: {result.reason}: {result.detail}"
        elif result.reward or not any(v.id == criterion.id and v.holds for v in result.forbidden):
            yield f"{criterion.id}: its trap is not seen as a violation"


def _order(stage: Stage) -> Iterator[str]:
    """Each tool gives equal bytes when rows without ORDER BY come in reverse."""
    lists = [stage.task.reference, *(criterion.trap for criterion in stage.task.rubric.forbidden), _probes(stage)]
    unsteady = set()
    for steps in lists:
        straight, reversed_ = (_responses(stage, steps, reverse=reverse) for reverse in (False, True))
        tools = (step.call for step in steps if isinstance(step, CallStep))
        unsteady |= {tool for tool, one, two in zip(tools, straight, reversed_, strict=True) if one != two}
    for tool in sorted(unsteady):
        yield f"{tool} answers in an order that its SQL does not fix"


def _probes(stage: Stage) -> tuple[CallStep, ...]:
    """Calls of every read tool with values that stand in columns of the same name, for tools no reference calls."""
    columns: dict[str, list[Any]] = {}
    for table in stage.blueprint.tables:
        for place, column in enumerate(table.columns):
            columns.setdefault(column, []).extend(row[place] for row in stage.blueprint.initial[table.name][:3])
    steps = []
    for tool in stage.task.brief.tools:
        names = tool.function.parameters.get("required", ())
        if tool.effect == "read" and all(columns.get(name) for name in names):
            for number in range(min((len(columns[name]) for name in names), default=1)):
                steps.append(CallStep(call=tool.name, args={name: columns[name][number] for name in names}))
    return tuple(steps)


def _responses(stage: Stage, steps: Sequence[ReferenceStep], *, reverse: bool) -> list[str]:
    facts = {fact.id: fact.value for fact in stage.task.hidden.facts}
    results: dict[int, Any] = {}
    answers = []
    with stage.blueprint.open(reverse=reverse) as world:
        for number, step in enumerate(steps):
            if isinstance(step, CallStep):
                result = world.call(step.call, orjson.dumps(resolve(step.args, facts, results)).decode())
                results[number] = result.value
                answers.append(result.response)
    return answers


def _given_away(stage: Stage) -> Iterator[str]:
    """A fact must not follow from what anybody may look up: where a result shows it, it shows others beside it."""
    task = stage.task
    open_tools = [t.name for t in task.brief.tools if t.effect == "read" and not t.function.parameters.get("required")]
    shown: list[tuple[int, Any]] = []
    with stage.blueprint.open() as world:
        shown += [(-1, world.call(tool, "{}").value) for tool in open_tools if tool in task.world.programs]
    facts = {fact.id: fact.value for fact in task.hidden.facts}
    results: dict[int, Any] = {}
    asked_at = {step.ask: number for number, step in enumerate(task.reference) if isinstance(step, AskStep)}
    with stage.blueprint.open() as world:
        for number, step in enumerate(task.reference):
            if isinstance(step, CallStep):
                results[number] = world.call(step.call, orjson.dumps(resolve(step.args, facts, results)).decode()).value
                shown.append((number, results[number]))
    for fact in task.hidden.facts:
        for number, value in shown:
            if number < asked_at.get(fact.id, 0) and _tells(value, fact):
                yield f"fact '{fact.id}' can be looked up: no need to ask"
                break


def _tells(value: Any, fact: Fact) -> bool:
    rows = value if isinstance(value, list) else [value]
    for column in {key for row in rows if isinstance(row, dict) for key in row}:
        values = {repr(row.get(column)) for row in rows if isinstance(row, dict)}
        if values == {repr(fact.value)} and kind_of(fact.value) != "number":
            return True
    return False


async def _necessity(stage: Stage, used: set[str], tools: Tools | None) -> AsyncIterator[str]:
    """Each hidden fact matters: without asking for it, and with another value, the reference is worth less."""
    task = stage.task
    if NO_GAP in task.provenance.features:
        return  # nothing has to be asked
    asked = {step.ask for step in task.reference if isinstance(step, AskStep)}
    for fact in task.hidden.facts:
        if fact.id not in asked:
            if fact.id not in used:
                yield f"no reference of the family needs fact '{fact.id}'"
            continue
        steps = tuple(step for step in task.reference if not (isinstance(step, AskStep) and step.ask == fact.id))
        agent = _Guessing(_shifted(steps, task.reference), task.hidden.facts, fact)
        try:
            _, result = await _played(stage, agent, tools)
        except EpisodeFailure:  # pragma: no cover - play never raises these
            continue
        if isinstance(result, Scored) and result.n == 1.0 and result.gate == 1:
            yield f"fact '{fact.id}' is not needed: a guess does as well"


class _Guessing(Reference):
    """The reference that never asks for one fact and takes another value for it."""

    def __init__(self, steps: tuple[ReferenceStep, ...], facts: Sequence[Fact], fact: Fact):
        others = tuple(f.model_copy(update={"value": other_value(f.value)}) if f.id == fact.id else f for f in facts)
        super().__init__(steps, others)
        self._asked.add(fact.id)


def other_value(value: Any) -> Any:
    """A value of the same kind that is not this one."""
    match kind_of(value):
        case "truth":
            return not value
        case "number":
            return value + 1 if not isinstance(value, str) else str(float(value) + 1)
        case "date":
            return (date.fromisoformat(value) + timedelta(days=1)).isoformat()
        case "time":
            return f"{(int(value[:2]) + 1) % 24:02d}:{value[3:]}"
        case _:
            return f"Not {value}"


def _shifted(steps: Sequence[ReferenceStep], original: Sequence[ReferenceStep]) -> tuple[ReferenceStep, ...]:
    """Steps with one left out, `$from` numbers moved along."""
    return tuple(renumbered(steps, [n for n, step in enumerate(original) if any(step is one for one in steps)]))
