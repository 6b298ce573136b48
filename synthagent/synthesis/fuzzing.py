"""An over-specified request -> what the agent is told and what only the user knows.

Source: Lyu et al., section 3.1: (I, C), a one-sentence instruction and a private context; without the gap between them
the gain of training vanishes (their ablation).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pydantic import Field

from synthagent import prompts
from synthagent.llm.structured import Structured
from synthagent.schema.record import Record
from synthagent.schema.tasks import Disposition, Fact, Hidden
from synthagent.simulation.values import mentions
from synthagent.synthesis.drafts import Name, Rule, ToolDraft, rule_text, snake
from synthagent.synthesis.leaks import leaked_facts, named_tools
from synthagent.synthesis.scenario import Scenario


class FactDraft(Record):
    """One thing only the user knows."""

    id: Name
    topic: str
    """What it is about, in two to four words, without the value: "new due date"."""
    aliases: tuple[str, ...] = ()
    """Three to six other ways in which somebody may ask for it."""
    text: str
    """How the person says it, in the first person, with the value in it."""
    value: str | int | float
    """The bare value as the records and tools have it: a name, an id, a number, 2031-05-23, 14:30."""


class FuzzDraft(Record):
    """A request split into what is said at once and what is told when asked."""

    instruction: str
    """One vague sentence."""
    goal: str
    """The whole request in the person's words."""
    facts: tuple[FactDraft, ...] = Field(min_length=1, max_length=8)


@dataclass(frozen=True, slots=True)
class Fuzzed:
    """The two halves of a request."""

    instruction: str
    hidden: Hidden


async def fuzz(
    teacher: Structured, scenario: Scenario, tools: Sequence[ToolDraft], rules: Sequence[Rule],
    disposition: Disposition = "cooperative", sample: int = 0,
) -> Fuzzed:  # fmt: skip
    """Splits a scenario's request. Raises `NotUnderstood` when the halves cannot be kept apart."""
    prompt = prompts.render("synthesis/fuzz", scenario=scenario, tools=tools)
    messages = [{"role": "user", "content": prompt}]
    told = [rule_text(rule) for rule in rules]

    def check(draft: FuzzDraft) -> list[str]:
        return [*faults(mended(draft, scenario), [tool.name for tool in tools], told)]

    asked = await teacher.ask(messages, FuzzDraft, stage="fuzz", sample=sample, check=check)
    return fuzzed(mended(asked.value, scenario), disposition)


def mended(draft: FuzzDraft, scenario: Scenario) -> FuzzDraft:
    """The draft without facts that are none, and with those that the scenario lists and the draft forgot.

    A fact whose value is not in the request was made up; one that does not say its value, or says another's, is said
    plainly; a topic that gives the value away is called by its id.
    """
    facts: dict[str, FactDraft] = {}
    listed = [("name", scenario.person), *((detail.what, detail.value) for detail in scenario.details)]
    values = [fact.value for fact in draft.facts] + [value for _, value in listed]
    for fact in draft.facts:
        if fact.id and fact.id not in facts and str(fact.value).strip() and mentions(scenario.request, fact.value):
            facts[fact.id] = _plain_fact(fact, values)
    for what, value in listed:
        if not any(mentions(str(fact.value), value) or mentions(str(value), fact.value) for fact in facts.values()):
            name = snake(what)
            facts.setdefault(name, _plain_fact(FactDraft(id=name, topic=what, text="", value=value), values))
    return draft.model_copy(update={"facts": tuple(facts.values())})


def _plain_fact(fact: FactDraft, values: Sequence[str | int | float]) -> FactDraft:
    told = mentions(fact.text, fact.value) and not any(
        other != fact.value and mentions(fact.text, other) and not mentions(str(fact.value), other) for other in values
    )
    words = fact.id.replace("_", " ")
    return fact.model_copy(
        update={
            "text": fact.text if told else f"It's {fact.value}.",
            "topic": words if not fact.topic.strip() or mentions(fact.topic, fact.value) else fact.topic,
        }
    )


def unfuzzed(scenario: Scenario) -> Fuzzed:
    """Everything said at once: the paper's ablation."""
    return Fuzzed(" ".join(scenario.request.split()), Hidden(goal=scenario.request))


def fuzzed(draft: FuzzDraft, disposition: Disposition) -> Fuzzed:
    """The draft as a task's own records."""
    facts = tuple(
        Fact(id=fact.id, topic=fact.topic.strip(), aliases=_aliases(fact), text=fact.text.strip(), value=_value(fact))
        for fact in draft.facts
    )
    return Fuzzed(draft.instruction.strip(), Hidden(goal=draft.goal.strip(), disposition=disposition, facts=facts))


def faults(draft: FuzzDraft, tools: Sequence[str], rules: Sequence[str]) -> Iterator[str]:
    """What is wrong with a split, in words for its author."""
    found = fuzzed(draft, "cooperative")
    yield from leaked_facts(found.instruction, rules, found.hidden)
    yield from named_tools(found.instruction, tools)
    if len(draft.instruction.split()) > 40:
        yield "instruction: one short sentence"


def _aliases(fact: FactDraft) -> tuple[str, ...]:
    """Ways of asking, without those that tell the answer."""
    return tuple(alias.strip() for alias in fact.aliases if alias.strip() and not mentions(alias, fact.value))


def _value(fact: FactDraft) -> str | int | float:
    return fact.value.strip() if isinstance(fact.value, str) else fact.value
