"""Persona -> scenario: what somebody with this background wants done, step by step, and what must not be done.

Source: Lyu et al., section 3.1: a high-level workflow of five to seven macro sub-goals, and testable restrictions.
"""

from collections.abc import Iterator, Sequence

from pydantic import Field

from synthagent import prompts
from synthagent.llm.structured import Structured
from synthagent.schema.record import Record
from synthagent.simulation.values import mentions
from synthagent.synthesis.drafts import Name, snake

WORKFLOW = (5, 7)
"""Fewest and most macro sub-goals."""
RESTRICTIONS = (1, 3)
RESERVED = frozenset({"airline", "retail", "telecom"})
"""Domains of the test benchmarks: training on them would make the figures worthless."""


class Restriction(Record):
    """Something that must not be done."""

    must_not: str
    """What must not be done, in a few words, so that anybody can tell whether it was."""
    because: str


class Detail(Record):
    """Something that the desk must be told."""

    what: str
    """What it is, in two or three words: "new end date"."""
    value: str | int | float
    """The bare value: a title, a number, 2031-05-23."""


class Scenario(Record):
    """What a persona wants done with the help of an assistant that has tools."""

    domain: Name
    """One or two words, lower_snake_case: plant_nursery, choir_archive, ..."""
    person: str
    """The person's first and last name."""
    details: tuple[Detail, ...] = Field(min_length=1, max_length=5)
    """What the desk must know besides: which thing, which date, how many."""
    request: str
    """What the person wants, in the first person, with the name and every detail in it."""
    workflow: tuple[str, ...] = Field(min_length=WORKFLOW[0], max_length=WORKFLOW[1])
    """The five to seven macro sub-goals of getting it done, in order."""
    restrictions: tuple[Restriction, ...] = Field(min_length=RESTRICTIONS[0], max_length=RESTRICTIONS[1])


async def imagine(teacher: Structured, persona: str, sample: int = 0) -> Scenario:
    """The scenario of a persona. Raises `NotUnderstood` when the teacher does not come up with one."""
    prompt = prompts.render("synthesis/scenario", persona=persona, fewest=WORKFLOW[0], most=WORKFLOW[1])
    messages = [{"role": "user", "content": prompt}]
    asked = await teacher.ask(messages, Scenario, stage="scenario", sample=sample, check=lambda s: [*faults(s)])
    return asked.value.model_copy(update={"request": whole_request(asked.value)})


def whole_request(scenario: Scenario) -> str:
    """The request with what its author listed and then left out."""
    found = " ".join(scenario.request.split())
    if not mentions(found, scenario.person):
        found = f"I am {scenario.person}. {found}"
    for detail in scenario.details:
        if not mentions(found, detail.value):
            found = f"{found.rstrip('.')}. The {detail.what.strip().lower()} is {detail.value}."
    return found


def faults(scenario: Scenario) -> Iterator[str]:
    """What is wrong with a scenario, in words for its author."""
    if not scenario.domain:
        yield "domain: one or two words"
    if RESERVED & set(_words(scenario.domain)):
        yield f"domain: not {scenario.domain}; choose something other than airlines, retail or telecom support"
    if len(scenario.request.split()) < 8:
        yield "request: two to four sentences with every name, number and date that is needed"
    if len(scenario.person.split()) < 2:
        yield f"person: '{scenario.person}' is no first and last name"
    for detail in scenario.details:
        if not str(detail.value).strip() or len(str(detail.value).split()) > 8:
            yield f"details: '{detail.what}' needs a bare value, such as a title, a number or 2031-05-23"
    if any("scooter" in restriction.must_not for restriction in scenario.restrictions):
        yield "restrictions: those of the example are for a scooter rental; write your own"
    for number, text in enumerate((*scenario.workflow, *(r.must_not for r in scenario.restrictions)), start=1):
        if len(text.split()) < 2:
            yield f"'{text}' (entry {number}) says too little: write a short sentence"


def _words(domain: str) -> Sequence[str]:
    return snake(domain).split("_")
