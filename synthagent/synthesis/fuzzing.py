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
from synthagent.synthesis.drafts import Name, Rule, ToolDraft, rule_text
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
        return [*faults(draft, scenario, [tool.name for tool in tools], told)]

    asked = await teacher.ask(messages, FuzzDraft, stage="fuzz", sample=sample, check=check)
    return fuzzed(asked.value, disposition)


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


def faults(draft: FuzzDraft, scenario: Scenario, tools: Sequence[str], rules: Sequence[str]) -> Iterator[str]:
    """What is wrong with a split, in words for its author."""
    ids = [fact.id for fact in draft.facts]
    for name in sorted({name for name in ids if ids.count(name) > 1}):
        yield f"facts: two have the id '{name}'"
    for fact in draft.facts:
        if not fact.id or not fact.topic.strip() or not str(fact.value).strip():
            yield f"fact '{fact.id}': id, topic and value are needed"
        elif not mentions(scenario.request, fact.value):
            yield f"fact '{fact.id}': the value {fact.value!r} is not in the request; take it from there"
        if mentions(fact.topic, fact.value):
            yield f"fact '{fact.id}': its topic gives the value away"
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
