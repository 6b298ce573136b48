"""Invariant 5 on tasks of every domain: what may be changed about a good episode without changing what it earns.

Each test plays a task's reference solution, changes it in a way that a fair score must not see (or must), and plays it
again.
"""

import asyncio
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import islice, pairwise
from random import Random
from typing import Any, get_args

import pytest

from synthagent.schema.checks import All, Called
from synthagent.schema.episodes import Limits, ToolEvent
from synthagent.schema.messages import Protocol
from synthagent.schema.scores import Scored
from synthagent.schema.tasks import AskStep, CallStep, Criterion, ReferenceStep, Task
from synthagent.scoring.scorer import score
from synthagent.simulation.episode import Stage, prepare
from synthagent.simulation.reference_agent import Reference
from synthagent.synthesis.executing import run
from synthagent.synthesis.personas import shipped as personas
from synthagent.synthesis.procedural.domain import shipped
from synthagent.synthesis.procedural.teacher import families
from tests.builders import played, tools_in

DOMAINS = sorted(shipped())
PROTOCOLS: tuple[Protocol, ...] = get_args(Protocol)
Worth = tuple[float, float]
"""The reward as the paper's text says it, by the mean, and as its formula prints it, by the sum."""

domains = pytest.mark.parametrize("domain", DOMAINS)


@cache
def stages() -> dict[str, list[Stage]]:
    """Domain -> its tasks of three families, twins included: over sixty in all."""
    made = islice(families(shipped(), personas(), 21), 3 * len(DOMAINS))
    found: dict[str, list[Stage]] = {domain: [] for domain in DOMAINS}
    for task in (task for family in made for task in family.tasks):
        found[task.provenance.domain].append(prepare(task))
    return found


def literal(stage: Stage) -> list[ReferenceStep]:
    """The reference with every argument spelt out, so that steps can be moved about."""
    facts = {fact.id: fact.value for fact in stage.task.hidden.facts}
    arguments = run(stage.blueprint, stage.task.reference, facts).arguments
    return [
        step.model_copy(update={"args": arguments[number]}) if isinstance(step, CallStep) else step
        for number, step in enumerate(stage.task.reference)
    ]


def acted(stage: Stage, steps: Sequence[ReferenceStep], protocol: Protocol) -> tuple[Scored, list[ToolEvent]]:
    """What these steps earn, and the tool calls that were made."""
    agent = Reference(tuple(steps), stage.task.hidden.facts)
    result = asyncio.run(played(stage, agent, protocol=protocol, limits=Limits(turns=100)))
    found = score(stage, result.episode, result.final)
    assert isinstance(found, Scored), found
    return found, tools_in(result.episode.events)


def worth(stage: Stage, steps: Sequence[ReferenceStep], protocol: Protocol) -> Worth:
    found, _ = acted(stage, steps, protocol)
    return found.reward, found.gate * (found.n + (found.i or 0.0))


# ---- further reads


def named_in_restrictions(task: Task) -> set[str]:
    """Tools that a rule speaks of or a forbidden criterion looks at."""
    looked_at = [one.check.model_dump_json() for one in task.rubric.forbidden if one.check is not None]
    told = " ".join([*task.brief.rules, *looked_at])
    return {tool.name for tool in task.brief.tools if tool.name in told}


def harmless_reads(task: Task, steps: Sequence[ReferenceStep]) -> list[CallStep]:
    """Every read tool that no restriction names, with arguments that the reference gives parameters of that name."""
    seen: dict[str, list[Any]] = {}
    for step in steps:
        for name, value in step.args.items() if isinstance(step, CallStep) else ():
            seen.setdefault(name, []).append(value)
    found = []
    for tool in task.brief.tools:
        wanted = tool.function.parameters.get("required", ())
        if tool.effect == "read" and tool.name not in named_in_restrictions(task) and all(n in seen for n in wanted):
            found += [CallStep(call=tool.name, args={n: seen[n][which] for n in wanted}) for which in (0, -1)]
    return found


@domains
def test_reads_that_no_restriction_names_cost_nothing_wherever_they_come(domain: str):
    inserted = 0
    for stage in stages()[domain]:
        random, steps = Random(stage.task.id), literal(stage)
        reads = harmless_reads(stage.task, steps)
        for protocol in PROTOCOLS if reads else ():
            more = list(steps)
            for read in random.choices(reads, k=6):
                more.insert(random.randrange(len(more)), read)
            earned = worth(stage, steps, protocol)
            assert earned[0] == 1.0, stage.task.id
            assert worth(stage, more, protocol) == earned, stage.task.id
            inserted += len(more) - len(steps)
    assert inserted >= 36


# ---- another order


def sources(value: Any) -> Iterator[int]:
    """Numbers of the steps from whose results arguments are taken."""
    if isinstance(value, dict):
        if "$from" in value:
            yield int(str(value["$from"]).partition(".")[0])
        for item in value.values():
            yield from sources(item)
    elif isinstance(value, list):
        for item in value:
            yield from sources(item)


def independent_neighbours(task: Task) -> list[int]:
    """Places of reads of which the next step is a read too, and takes nothing from it."""
    reads = {tool.name for tool in task.brief.tools if tool.effect == "read"}
    calls = [isinstance(step, CallStep) and step.call in reads for step in task.reference]
    return [
        place
        for place, (one, two) in enumerate(pairwise(calls))
        if one and two and place not in sources(getattr(task.reference[place + 1], "args", {}))
    ]


def test_the_order_of_neighbouring_reads_does_not_matter_where_neither_needs_the_other():
    swapped = 0
    for stage in (stage for some in stages().values() for stage in some):
        steps = literal(stage)
        for place in independent_neighbours(stage.task):
            turned = [*steps[:place], steps[place + 1], steps[place], *steps[place + 2 :]]
            for protocol in PROTOCOLS:
                assert worth(stage, turned, protocol) == worth(stage, steps, protocol), (stage.task.id, place)
            swapped += 1
    assert swapped >= 25


def test_what_was_looked_up_for_another_purpose_may_be_looked_up_later_or_earlier():
    """The same with harmless reads beside each read of the reference, of which there are many more."""
    swapped = 0
    for stage in (stage for some in stages().values() for stage in some):
        random, steps = Random(stage.task.id), literal(stage)
        reads = harmless_reads(stage.task, steps)
        protocol = random.choice(PROTOCOLS)
        for place in [place for place, step in enumerate(steps) if step in reads]:
            read = random.choice(reads)
            before, after = [*steps[:place], read, *steps[place:]], [*steps[: place + 1], read, *steps[place + 1 :]]
            assert worth(stage, before, protocol) == worth(stage, after, protocol), (stage.task.id, place)
            swapped += 1
    assert swapped >= 100


# ---- other words


@domains
def test_asking_in_other_words_of_the_domain_earns_the_same(domain: str):
    facts = shipped()[domain].facts
    reworded = 0
    for stage in stages()[domain]:
        random, steps = Random(stage.task.id), literal(stage)
        asked = {step.ask for step in steps if isinstance(step, AskStep)}
        for turn in range(max((len(facts[fact].ask) for fact in asked), default=0)):
            words = {fact: facts[fact].ask[turn % len(facts[fact].ask)] for fact in asked}
            other = [
                step.model_copy(update={"text": words[step.ask]}) if isinstance(step, AskStep) else step
                for step in steps
            ]
            protocol = random.choice(PROTOCOLS)
            assert worth(stage, other, protocol) == worth(stage, steps, protocol), (stage.task.id, words)
            reworded += sum(one != two for one, two in zip(steps, other, strict=True))
    assert reworded >= 10


# ---- one forbidden act


def forbidden(stage: Stage, kind: type[Called] | type[All]) -> list[Criterion]:
    """Criteria with a trap: `Called` looks at an act alone, `All` at an act without the user's yes."""
    return [one for one in stage.task.rubric.forbidden if one.trap and isinstance(one.check, kind)]


def with_trap(stage: Stage, criterion: Criterion, place: int, protocol: Protocol) -> tuple[Scored, bool]:
    """What the reference earns with a trap before one of its steps, and whether the world let the act happen."""
    steps, check = literal(stage), criterion.check
    acts = check if isinstance(check, Called) else check.all[0]
    found, made = acted(stage, [*steps[:place], *criterion.trap, *steps[place:]], protocol)
    calls = [call for call in made if call.tool != "ask_user"]
    first = sum(isinstance(step, CallStep) for step in steps[:place])
    trap = calls[first : first + len(criterion.trap)]
    return found, any(call.ok and call.tool == acts.called.tool for call in trap)


@domains
def test_one_forbidden_act_before_the_end_costs_everything(domain: str):
    tried = refused = 0
    for stage in stages()[domain]:
        for criterion in forbidden(stage, Called):
            found, happened = with_trap(stage, criterion, len(stage.task.reference) - 1, PROTOCOLS[tried % 3])
            tried, refused = tried + 1, refused + (not happened)
            if happened:  # else the reference has left nothing to do it to: a membership is frozen only once
                assert (found.gate, found.reward) == (0, 0.0), (stage.task.id, criterion.id)
                assert next(verdict for verdict in found.forbidden if verdict.id == criterion.id).holds
    assert tried - refused >= 4
    assert refused <= 1


def test_doing_without_a_yes_what_wants_one_costs_everything():
    """Before the question: once the user has agreed to an act, the yes stands for that act."""
    tried = 0
    for stage in (stage for some in stages().values() for stage in some):
        for criterion in forbidden(stage, All):
            found, happened = with_trap(stage, criterion, 0, PROTOCOLS[tried % 3])
            assert happened
            assert (found.gate, found.reward) == (0, 0.0), (stage.task.id, criterion.id)
            tried += 1
    assert tried >= 20
