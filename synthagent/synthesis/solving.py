"""The reference solution: planned by the teacher, executed in the world, sent back with what the tools answered."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import orjson

from synthagent import prompts
from synthagent.errors import EpisodeFailure, TaskFault
from synthagent.llm.structured import Structured
from synthagent.schema.record import Record
from synthagent.schema.tasks import (
    AskStep,
    CallStep,
    Fact,
    Hidden,
    ReferenceStep,
    SayStep,
    Tool,
    world_id_of,
)
from synthagent.simulation.arguments import Schema
from synthagent.simulation.compiling import compile_world
from synthagent.simulation.hearing import Listener
from synthagent.simulation.reference_agent import dig
from synthagent.simulation.values import mentions
from synthagent.simulation.world import Blueprint
from synthagent.synthesis.drafts import Name, ToolDraft
from synthagent.synthesis.executing import Run, facts_used, renumbered, run
from synthagent.synthesis.scenario import Scenario
from synthagent.synthesis.tables import TablesDraft
from synthagent.synthesis.world import Argument, Built

_EXPRESSION = re.compile(r"\$([A-Za-z_]\w*)(?:\[([^\[\]]+)\])?((?:\.\w+)*)")
_PLACEHOLDER = re.compile(r"\{(\$[^{}]+)\}")
DONE = "Everything you asked for is done now."
"""Said at the end where the teacher's own last words do not say so."""


class PlanStep(Record):
    """One step of a plan."""

    do: Literal["ask", "call", "say"]
    name: Name = ""
    """ask: the fact's id; call: the tool; say: empty."""
    text: str = ""
    """ask and say: the words; call: empty."""
    arguments: tuple[Argument, ...] = ()
    """call: a value for each parameter that is given."""
    goal: int = 1
    """The number of the workflow's sub-goal that this step belongs to, from 1."""


class Plan(Record):
    """What a good agent does, in order."""

    steps: tuple[PlanStep, ...]


@dataclass(frozen=True, slots=True)
class Saying:
    """A value that a message to the user takes from a tool's result."""

    step: int
    """The message."""
    call: int
    """The call it comes from."""
    path: str


@dataclass(frozen=True, slots=True)
class Solution:
    """A reference solution, as a task holds it, and what it did."""

    steps: tuple[ReferenceStep, ...]
    goals: tuple[int, ...]
    """Step -> the workflow's sub-goal, from 0."""
    hidden: Hidden
    """Without the facts that nothing needed."""
    ran: Run | None
    """None where a tool that is called has no program."""
    blueprint: Blueprint | None
    sayings: tuple[Saying, ...] = ()
    rounds: int = 0


class Unsolved(Exception):
    """No plan works; the text says what the last one ran into."""


async def solve(
    teacher: Structured, scenario: Scenario, drafts: Sequence[ToolDraft], built: Built, tables: TablesDraft | None,
    instruction: str, hidden: Hidden, *, rounds: int = 2, sample: int = 0,
) -> Solution:  # fmt: skip
    """A plan that works when it is executed. Raises `NotUnderstood`, or `Unsolved` when none of its plans works.

    `rounds`: how often a plan that fails is sent back with what the tools answered.
    """
    blueprint = blueprint_of(built)
    names = {"scenario": scenario, "tools": drafts, "tables": tables, "facts": hidden.facts}
    prompt = prompts.render("synthesis/reference", instruction=instruction, **names)
    messages = [{"role": "user", "content": prompt}]
    trouble = ""
    for sent_back in range(rounds + 1):
        asked = await teacher.ask(messages, Plan, stage="reference", sample=sample)
        try:
            return solution(asked.value, built, blueprint, instruction, hidden, len(scenario.workflow), sent_back)
        except (PlanFault, EpisodeFailure) as fault:
            trouble = str(fault)
        retry = prompts.render("synthesis/repair_reference", trouble=trouble)
        messages = [*messages[:1], {"role": "assistant", "content": asked.raw}, {"role": "user", "content": retry}]
    raise Unsolved(trouble)


def blueprint_of(built: Built) -> Blueprint:
    """The world, compiled. Raises `TaskFault`."""
    return compile_world(built.tools, built.world, world_id_of(built.tools, built.world))


class PlanFault(Exception):
    """A plan that cannot be a reference; the text is for its author."""


def solution(
    plan: Plan, built: Built, blueprint: Blueprint, instruction: str, hidden: Hidden, goals: int = 1, rounds: int = 0
) -> Solution:
    """A plan as reference steps, executed where every tool it calls has a program.

    Raises `PlanFault` or `TaskFault` with what its author needs to know.
    """
    facts = {fact.id: fact for fact in hidden.facts}
    tools = {tool.name: tool for tool in built.tools}
    drafted = [*_translated(plan.steps, facts, tools)]
    steps, numbers = [step for step, _ in drafted], [min(max(goal, 1), goals) - 1 for _, goal in drafted]
    _refuse_guesses(steps, tools, instruction)
    called = {step.call for step in steps if isinstance(step, CallStep)}
    if not called:
        raise PlanFault("the plan calls no tool")
    writes = {tool.name for tool in built.tools if tool.effect == "write"} - set(built.world.ends_episode)
    if writes and not called & writes:
        raise PlanFault(f"the plan changes nothing: the person wants something done ({', '.join(sorted(writes))})")
    used = {fact_id for step in steps if isinstance(step, CallStep) for fact_id in facts_used(step.args)}
    # A question whose answer nothing needs would make an interaction out of small talk.
    kept = [n for n, step in enumerate(steps) if not (isinstance(step, AskStep) and step.ask not in used)]
    steps, numbers = renumbered([steps[n] for n in kept], kept), [numbers[n] for n in kept]
    known = hidden.model_copy(update={"facts": tuple(fact for fact in hidden.facts if fact.id in used)})
    if hidden.facts and not used:
        raise PlanFault("the plan needs nothing from the user: ask for the facts and use them as $fact.ID")
    executable = all(step.call in built.world.programs for step in steps if isinstance(step, CallStep))
    ran = _run(blueprint, steps, known) if executable else None
    steps, sayings = _spoken(steps, ran, known, instruction)
    return Solution(tuple(steps), tuple(numbers), known, ran, blueprint if executable else None, sayings, rounds)


def _translated(
    steps: Sequence[PlanStep], facts: Mapping[str, Fact], tools: Mapping[str, Tool]
) -> Iterator[tuple[ReferenceStep, int]]:
    calls: dict[str, int] = {}
    asked: set[str] = set()
    number = 0
    for place, step in enumerate(steps, start=1):
        match step.do:
            case "ask":
                name = step.name if step.name in facts else _asked_for(step.text, facts)
                if name is None or name in asked:
                    continue  # what the user does not know is not worth a question
                asked.add(name)
                yield AskStep(ask=name, text=_question(step.text, facts[name])), step.goal
            case "say":
                if not step.text.strip():
                    continue
                yield SayStep(say=_numbered(step.text.strip(), calls)), step.goal
            case "call":
                tool = tools.get(step.name)
                if tool is None:
                    raise PlanFault(f"step {place} calls '{step.name}', which is no tool ({', '.join(tools)})")
                for name in _facts_named(step, facts):
                    # A question that was forgotten is no reason to think the whole plan over.
                    if name not in asked:
                        asked.add(name)
                        yield AskStep(ask=name, text=_question("", facts[name])), step.goal
                        number += 1
                args = {a.name: _argument(a, calls, facts, place) for a in step.arguments if a.value is not None}
                _check_names(tool, args, place)
                yield CallStep(call=step.name, args=args), step.goal
                calls[step.name] = number
        number += 1


def _check_names(tool: Tool, args: Mapping[str, Any], place: int) -> None:
    parameters = tool.function.parameters
    unknown = [name for name in args if name not in parameters.get("properties", {})]
    missing = [name for name in parameters.get("required", ()) if name not in args]
    if unknown or missing:
        wrong = [f"has no parameter '{n}'" for n in unknown] + [f"needs the parameter '{n}'" for n in missing]
        raise PlanFault(f"step {place}: {tool.name} {' and '.join(wrong)}")
    literals = {name: value for name, value in args.items() if not isinstance(value, dict)}
    schema = {**parameters, "required": []}
    complaint = Schema(schema).complaint(literals)
    if complaint:
        raise PlanFault(f"step {place}: {tool.name}: {complaint}")


def _refuse_guesses(steps: Sequence[ReferenceStep], tools: Mapping[str, Tool], instruction: str) -> None:
    """A plain value that stands neither in the message nor among a parameter's choices is one no agent could know."""
    for step in steps:
        if not isinstance(step, CallStep):
            continue
        properties = tools[step.call].function.parameters.get("properties", {})
        for name, value in step.args.items():
            if isinstance(value, dict | bool) or value in properties[name].get("enum", ()):
                continue
            if not mentions(instruction, value):
                raise PlanFault(
                    f"{step.call}: {name}={value!r} is not in the message: take it from $fact.ID or $TOOL.field"
                )


def _asked_for(text: str, facts: Mapping[str, Fact]) -> str | None:
    """The one fact that a question with a wrong name is heard to ask for; None if there is none."""
    heard = Listener(Hidden(goal="", facts=tuple(facts.values()))).heard(text).topics
    return heard[0] if len(heard) == 1 else None


def _question(text: str, fact: Fact) -> str:
    """The teacher's question, if the user hears that it asks for this fact and no other; else a plain one."""
    own = Listener(Hidden(goal="", facts=(fact,)))
    return text.strip() if own.heard(text).topics == (fact.id,) else f"Could you tell me the {fact.topic}, please?"


def _facts_named(step: PlanStep, facts: Mapping[str, Fact]) -> Iterator[str]:
    """Facts that a call's arguments are made of, in order."""
    for argument in step.arguments:
        for name in re.findall(r"\$(?:facts?\.)?(\w+)", str(argument.value)):
            if name in facts:
                yield name


def _argument(argument: Argument, calls: Mapping[str, int], facts: Mapping[str, Fact], place: int) -> Any:
    """`$fact.title`, `$list_loans.0.loan_id`, `$list_loans[title=$fact.title].loan_id`, or a literal."""
    value = argument.value
    if not isinstance(value, str) or not value.strip().startswith("$"):
        return value
    found = _EXPRESSION.fullmatch(value.strip())
    if found is None:
        raise PlanFault(f"step {place}: {value!r} is neither a value nor of the form $fact.ID or $TOOL.PATH")
    name, where, path = found[1], found[2], found[3].lstrip(".")
    if name in facts and name not in calls and not path and where is None:
        name, path = "fact", name
    if name in ("fact", "facts"):
        if path not in facts:
            raise PlanFault(f"step {place}: there is no fact '{path}' ({', '.join(facts)})")
        return {"$fact": path}
    if name not in calls:
        raise PlanFault(f"step {place}: {value!r}: no earlier step calls '{name}'")
    if where is None:
        return {"$from": f"{calls[name]}.{path}" if path else str(calls[name])}
    pairs = [pair.partition("=") for pair in where.split(",")]
    return {
        "$from": str(calls[name]),
        "where": {
            column.strip(): _argument(
                Argument(name=argument.name, value=item.strip().strip("'\"")), calls, facts, place
            )
            for column, _, item in pairs
        },
        "take": path,
    }


def _numbered(text: str, calls: Mapping[str, int]) -> str:
    """Placeholders by step instead of by tool: a later call of the same tool must not change what was meant."""

    def number(match: re.Match[str]) -> str:
        found = _EXPRESSION.fullmatch(match[1])
        if found is None or found[2] or found[1] not in calls:
            raise PlanFault(f"{match[0]} in a message names no earlier call: write {{$TOOL.PATH}}")
        return f"{{${calls[found[1]]}{found[3]}}}"

    return _PLACEHOLDER.sub(number, text)


def _run(blueprint: Blueprint, steps: Sequence[ReferenceStep], hidden: Hidden) -> Run:
    """Runs the plan; a failure tells what every call before it answered."""
    values = {fact.id: fact.value for fact in hidden.facts}
    try:
        return run(blueprint, steps, values)
    except TaskFault as fault:
        raise PlanFault(f"{fault}{_story(blueprint, steps, values)}") from fault


def _story(blueprint: Blueprint, steps: Sequence[ReferenceStep], values: Mapping[str, Any]) -> str:
    """What the calls that work answer, up to the one that does not."""
    lines = []
    for end in range(1, len(steps)):
        last = steps[end - 1]
        if not isinstance(last, CallStep):
            continue
        try:
            ran = run(blueprint, steps[:end], values)
        except TaskFault:
            break
        answer = orjson.dumps(ran.results[end - 1]).decode()
        lines.append(f"\n{last.call} {orjson.dumps(ran.arguments[end - 1]).decode()} answered {answer[:400]}")
    return "".join(lines)


def _spoken(
    steps: Sequence[ReferenceStep], ran: Run | None, hidden: Hidden, instruction: str
) -> tuple[list[ReferenceStep], tuple[Saying, ...]]:
    """Messages with the values they take from results; the last one says that all is done, and asks nothing."""
    sayings: list[Saying] = []
    found: list[ReferenceStep] = []
    told = [instruction, *(fact.text for fact in hidden.facts)]
    for place, step in enumerate(steps):
        if not isinstance(step, SayStep):
            found.append(step)
            continue

        def value(match: re.Match[str], place: int = place) -> str:
            number, _, path = match[1].lstrip("$").partition(".")
            if ran is None:
                return "as the records say"
            found = dig(ran.results[int(number)], path)
            # What the user said is no news to the user: repeating it proves nothing.
            if isinstance(found, str | int | float) and not any(mentions(text, found) for text in told):
                sayings.append(Saying(place, int(number), path))
            return str(found)

        found.append(SayStep(say=_PLACEHOLDER.sub(value, step.say)))
    listener = Listener(hidden)
    while found and isinstance(found[-1], SayStep):
        if listener.heard(found[-1].say).kind == "claim_done":
            return found, tuple(sayings)
        if len(found) > 1 and isinstance(found[-2], SayStep) and not any(s.step == len(found) - 1 for s in sayings):
            found.pop()
            continue
        found[-1] = SayStep(say=_closing(found[-1].say, listener))
        return found, tuple(sayings)
    return [*found, SayStep(say=DONE)], tuple(sayings)


def _closing(text: str, listener: Listener) -> str:
    """The message with our own last sentence, or that alone where the user would hear a question."""
    both = f"{text} {DONE}"
    return both if listener.heard(both).kind == "claim_done" else DONE
