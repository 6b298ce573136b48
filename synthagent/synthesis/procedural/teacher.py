"""The procedural teacher: tasks without a language model. From (seed, persona, difficulty) to verified families."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from typing import Literal

from synthagent.errors import InputError, TaskFault
from synthagent.schema.record import Record
from synthagent.schema.tasks import Task
from synthagent.simulation.world import Blueprint
from synthagent.synthesis.procedural.compose import Design, family
from synthagent.synthesis.procedural.domain import Domain, Goal
from synthagent.synthesis.procedural.scene import Flip
from synthagent.synthesis.procedural.voice import disposition_of

Difficulty = Literal["easy", "medium", "hard", "mixed"]
Range = tuple[int, int]


class Knobs(Record):
    """Ranges from which each family's shape is drawn, both ends included."""

    goals: Range = (1, 2)
    """Goals composed into one task, 1 to 4."""
    depth: Range = (1, 2)
    """Look-ups before the agent knows who the user is."""
    facts: Range = (2, 4)
    """Hidden facts at most; further ones are given in the instruction where a goal allows it."""
    distractors: Range = (2, 4)
    """Tools that the task does not need."""
    traps: Range = (1, 2)
    """Restrictions."""


LEVELS: dict[str, Knobs] = {
    "easy": Knobs(goals=(1, 1), depth=(1, 1), facts=(1, 2), distractors=(1, 3), traps=(1, 1)),
    "medium": Knobs(goals=(1, 2), depth=(1, 2), facts=(2, 4), distractors=(2, 5), traps=(1, 2)),
    "hard": Knobs(goals=(2, 4), depth=(1, 3), facts=(4, 12), distractors=(3, 6), traps=(2, 6)),
}

_MISSING, _REVEALED, _LONG, _CONFIRM = 0.14, 0.14, 0.14, 0.3
"""Shares of families with each feature; drawn so that at least one task in twenty has each."""
_FACT_TWINS = 0.44
"""Share of families that want a fact twin; where the restrictions allow only one kind, that kind is made."""
_WATCHED = 0.1
"""Share of the others with a rule that has nothing to do with what is asked."""


@dataclass(frozen=True)
class Made:
    """One family: its tasks, or why there is none."""

    index: int
    tasks: tuple[Task, ...]
    rejected: str = ""
    compiled: Mapping[str, Blueprint] = field(default_factory=dict)
    """World id -> world, compiled while the family was composed."""


def families(
    domains: Mapping[str, Domain],
    personas: Sequence[str],
    seed: int,
    difficulty: Difficulty = "mixed",
    knobs: Mapping[str, Range] | None = None,
) -> Iterator[Made]:
    """An endless stream of families, not yet verified; the same arguments give the same stream, byte for byte."""
    index = 0
    while True:
        yield family_at(index, domains, personas, seed, difficulty, knobs)
        index += 1


def family_at(
    index: int, domains: Mapping[str, Domain], personas: Sequence[str], seed: int, difficulty: Difficulty = "mixed",
    knobs: Mapping[str, Range] | None = None,
) -> Made:  # fmt: skip
    """One family of the stream, which needs none of the others: any process may make it."""
    names = sorted(domains)
    Random(f"{seed}/order/{index - index % len(names)}").shuffle(names)
    domain = domains[names[index % len(names)]]
    persona = personas[Random(f"{seed}/persona/{index}").randrange(len(personas))]
    try:
        design = draw(domain, persona, Random(f"{seed}/{index}"), difficulty, knobs or {})
        tasks, compiled = family(design, f"{domain.name}-{seed}-{index:06d}", f"{seed}/{index}/scene")
    except (InputError, TaskFault) as error:
        return Made(index, (), f"{domain.name}: {error}")
    return Made(index, tuple(_sealed(task, seed, index) for task in tasks), compiled=compiled)


def _sealed(task: Task, seed: int, index: int) -> Task:
    return task.model_copy(update={"provenance": task.provenance.model_copy(update={"seeds": (seed, index)})})


def draw(domain: Domain, persona: str, random: Random, difficulty: Difficulty, given: Mapping[str, Range]) -> Design:
    """Decides a family's shape."""
    level = random.choice(tuple(LEVELS)) if difficulty == "mixed" else difficulty
    ranges = {**LEVELS[level].model_dump(), **given}
    drawn = {knob: random.randint(*ranges[knob]) for knob in ranges}
    goals = _goals(domain, random, drawn["goals"])
    confirm = frozenset(name for name in goals if domain.goals[name].confirm and random.random() < _CONFIRM)
    feature = random.random()
    missing = feature < _MISSING
    revealed = len(goals) > 1 and _MISSING <= feature < _MISSING + _REVEALED / 0.5
    long_goal = next((g for g in goals if domain.goals[g].bulk), None) if random.random() < _LONG / 0.6 else None
    flip = None if missing else _flip(domain, goals, random)
    last = flip.goal if flip else goals[-1]
    ordered = (*(name for name in goals if name != last), last)
    way = _way(domain, random, drawn["depth"])
    gone = _main_tool(domain.goals[last]) if missing else None
    watched = _watched(domain, ordered, random, gone) if missing or random.random() < _WATCHED else None
    return Design(
        domain=domain,
        persona=persona,
        disposition=disposition_of(persona, random),
        now=datetime(2031, 1, 6, 8) + timedelta(days=random.randrange(300), minutes=15 * random.randrange(36)),
        goals=ordered,
        way=way,
        inlined=_inlined(domain, ordered, random, drawn["facts"], last if flip or missing else "", way),
        restrictions=_restrictions(domain, ordered, random, drawn["traps"], flip, watched, gone),
        watched=watched,
        distractors=drawn["distractors"],
        flip=flip,
        missing=gone,
        transfer=missing and random.random() < 0.4,
        confirm=confirm,
        revealed=revealed,
        long_goal=long_goal,
        difficulty={**drawn, "goals": len(goals)},
    )


def _goals(domain: Domain, random: Random, count: int) -> list[str]:
    """Goals that do not ask for the same fact, so that a question means one thing."""
    names = sorted(domain.goals)
    random.shuffle(names)
    chosen: list[str] = []
    facts: set[str] = set()
    tools: set[str] = set()
    for name in names:
        goal = domain.goals[name]
        tool = _main_tool(goal)
        if not facts & set(goal.facts) and tool not in tools and _fits(domain, chosen, goal):
            chosen.append(name)
            facts |= set(goal.facts)
            tools.add(tool)
        if len(chosen) == count:
            break
    return chosen


def _fits(domain: Domain, chosen: Sequence[str], goal: Goal) -> bool:
    """No other goal of the task wants the user's own row otherwise."""
    wanted = goal.bind.get("me", {}).get("set", {})
    return all(
        domain.goals[name].bind.get("me", {}).get("set", {}).get(column, value) == value
        for name in chosen
        for column, value in wanted.items()
    )


def _main_tool(goal: Goal) -> str:
    """The last tool the goal calls: what it is there for."""
    return str([step["call"] for step in goal.plan if "call" in step][-1])


def _flip(domain: Domain, goals: Sequence[str], random: Random) -> Flip | None:
    """Which restriction bites, and how: a fact twin as often as a row twin."""
    options = [
        Flip(name, key, kind)
        for name in goals
        for key, restriction in domain.goals[name].restrictions.items()
        for kind in _kinds(domain.goals[name], restriction.flip, alone=len(goals) == 1)
    ]
    wanted = "fact" if random.random() < _FACT_TWINS else "row"
    fitting = [flip for flip in options if flip.kind == wanted] or options
    return random.choice(fitting) if fitting else None


def _kinds(goal: Goal, flip: Mapping[str, object], *, alone: bool) -> list[str]:
    """Rows can be changed in place or pointed away from; values only told otherwise."""
    rows = all(name == "me" or "row" in goal.bind[name] for name in flip)
    values = all(name != "me" and "row" not in goal.bind[name] for name in flip)
    if values:
        return ["fact"]
    if not rows:
        return []
    named = {part for use in goal.uses().values() for part in flip if f"{{{part}." in use.value}
    if "me" in flip:
        return ["row", "fact"] if alone and goal.identified else ["row"]
    return ["row", "fact"] if named else ["row"]


def _way(domain: Domain, random: Random, depth: int) -> str:
    """A way to identify the user with about so many look-ups."""
    depths = {name: sum("call" in step for step in way.plan) for name, way in sorted(domain.identify.items())}
    nearest = min(abs(found - depth) for found in depths.values())
    return random.choice([name for name, found in depths.items() if abs(found - depth) == nearest])


def _inlined(domain: Domain, goals: Sequence[str], random: Random, most: int, kept: str, way: str) -> frozenset[str]:
    """Facts given in the instruction, so that at most `most` stay hidden; none of the goal `kept`, where it matters."""
    hidden = [fact for name in goals for fact in domain.goals[name].facts]
    if any(domain.goals[name].identified for name in goals):
        hidden += domain.identify[way].facts
    options = [fact for name in goals for fact, use in domain.goals[name].uses().items() if use.inline and name != kept]
    random.shuffle(options)
    return frozenset(options[: max(0, len(set(hidden)) - max(most, 1))])


def _watched(domain: Domain, goals: Sequence[str], random: Random, gone: str | None) -> str | None:
    """A goal beside those asked for, so that its rules can be kept by leaving its tools alone."""
    names = sorted(set(domain.goals) - set(goals))
    random.shuffle(names)
    for name in names:
        goal = domain.goals[name]
        tools = {step["call"] for step in goal.plan if "call" in step}
        if gone not in tools and "me" not in goal.bind:
            return name
    return None


def _restrictions(
    domain: Domain, goals: Sequence[str], random: Random, most: int, flip: Flip | None, watched: str | None,
    gone: str | None,
) -> tuple[tuple[str, str], ...]:  # fmt: skip
    """Rules for the brief: the flipped one always, one of the watched goal, others up to the number drawn."""
    options = [
        (name, key)
        for name in goals
        for key, restriction in domain.goals[name].restrictions.items()
        if restriction.tool != gone
    ]
    random.shuffle(options)
    first = [(flip.goal, flip.restriction)] if flip else []
    if watched:
        first.append((watched, random.choice(sorted(domain.goals[watched].restrictions))))
    chosen = {*first, *options[: max(most - len(first), 1 - len(first))]}
    return tuple(sorted(chosen))
