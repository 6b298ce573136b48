"""The tasks that the authors of AgenticQwen published (arXiv 2604.21590), as tasks of ours.

A published task is a system prompt (policy, requirements, tools), the user's first message, a background, and the calls
of a `normal_path` and of a `hack_path` with the answers that are expected. Policy and tools become the brief, what the
user alone knows becomes facts, the paths become grounding, reference, sub-goals and forbidden calls. Its tools have no
program: they are simulated from grounding, so what has to be played waits for that.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from synthagent.errors import InputError
from synthagent.schema.checks import Asked, Before, Called, CallPattern, Check, Declined, DeclinedSpec
from synthagent.schema.tasks import (
    AskStep,
    Brief,
    CallStep,
    Criterion,
    Fact,
    Hidden,
    Provenance,
    ReferenceStep,
    Return,
    Rubric,
    SayStep,
    Task,
    Tool,
    World,
    identified,
)
from synthagent.simulation.arguments import Schema
from synthagent.simulation.values import mentions
from synthagent.synthesis.drafts import snake
from synthagent.synthesis.normalising import normalise_tool
from synthagent.synthesis.solving import DONE
from synthagent.synthesis.world import TRANSFER, transfer_tool

SOURCE = "agenticqwen"
NOW = "2025-06-02T09:00:00"
"""The clock of imported tasks: they name dates, but no clock."""
_MOST_BYTES = 1_000_000
_POLICY = re.compile(r"<policy>(.*?)</policy>", re.S)
_TOOLS = re.compile(r"<tools>(.*?)</tools>", re.S)
_BACKGROUND_END = re.compile(r"\s*(?:Additional parameters you may need:|Reveal them only)", re.I)
_REPORTED = re.compile(
    r"\b(?:argue|insist|say|claim|explain|emphasi[sz]e|mention|state|point out|reply|add|reiterate)(?: that)? (.+)",
    re.I,
)
_NEXT_DEED = re.compile(
    r",?(?: and| or)? (?:I'll )?(?:ask|request|reiterate|claim|suggest|offer|pressure|emphasi[sz]e|insist|argue|hoping"
    r"|imply|provide|that I can)\b"
)
"""Where a description of what the user says goes on to what the user does next."""
_REFUSES = re.compile(r"\b(?:refus|den(?:y|ied)|declin|must not|should not|cannot|reject|transfer)", re.I)
_DECLINE = "I'm sorry, but I cannot do that: it is against our policy."
_WORDS_OF_PROSE = 5
"""A text of so many words is prose: nobody writes it the same way twice."""


@dataclass(frozen=True, slots=True)
class Imported:
    """A task, and what was changed to make it one."""

    task: Task
    changes: tuple[str, ...]


class NotImported(Exception):
    """A record that is no task; the text says why."""


def imported(record: Any) -> Imported:
    """One published record as a task. Raises `NotImported`."""
    if not isinstance(record, Mapping):
        raise NotImported("not an object")
    name = record.get("id")
    if not isinstance(name, str) or not name:
        raise NotImported("id: missing")
    if len(orjson.dumps(record)) > _MOST_BYTES:
        raise NotImported(f"larger than {_MOST_BYTES} bytes")
    system, said = _messages(record)
    tools, changes = _tools(system)
    normal, hack = _paths(record, tools)
    background = _text(record, "task_background")
    background = background[: m.start()] if (m := _BACKGROUND_END.search(background)) else background
    rules = _rules(system)
    story = _Story([said, *rules], {tool.name: tool for tool in tools})
    steps = story.steps(normal)
    illegal = _illegal(record, normal, hack)
    hidden = Hidden(
        goal=background.strip() or said,
        disposition="pushy" if illegal else "cooperative",
        facts=tuple(story.facts.values()),
        escape_lines=_escapes(record, story.facts.values()) if illegal else (),
    )
    task = Task(
        family=f"{SOURCE}-{re.sub(r'-[0-9]+$', '', name)}",
        brief=Brief(instruction=said, tools=(*tools, transfer_tool()), rules=rules),
        hidden=hidden,
        world=_world(tools, normal, hack),
        workflow=tuple(f"{call.tool}: {_first(tools, call.tool)}" for call in normal) or ("Decline",),
        rubric=_rubric(record, story, steps, normal, hack, illegal),
        reference=(*steps, SayStep(say=_DECLINE if illegal else DONE)),
        provenance=Provenance(
            teacher=SOURCE,
            domain=SOURCE,
            templates=(name,),
            legal=not illegal,
            screening={
                "schema": "passed",
                **dict.fromkeys(("solvable", "necessity", "red_team"), "pending_simulation"),
            },
            output_licence="see the release of AgenticQwen",
        ),
    )
    return Imported(identified(task), tuple(changes))


@dataclass(frozen=True, slots=True)
class _Call:
    tool: str
    args: dict[str, Any]
    answer: Any


def _text(record: Mapping[str, Any], field: str) -> str:
    found = record.get(field)
    return found if isinstance(found, str) else ""


def _messages(record: Mapping[str, Any]) -> tuple[str, str]:
    """The system prompt and the user's first words, without what the trainer adds to them."""
    prompt = record.get("prompt")
    texts = {
        m.get("role"): m.get("content")
        for m in (prompt if isinstance(prompt, list) else ())
        if isinstance(m, Mapping) and isinstance(m.get("content"), str)
    }
    system, said = texts.get("system"), texts.get("user")
    if not isinstance(system, str) or not isinstance(said, str):
        raise NotImported("prompt: no system prompt or no message of the user")
    said = " ".join(re.split(r"\n\s*Note:", said)[0].split())
    if not said:
        raise NotImported("prompt: the user says nothing")
    return system, said


def _tools(system: str) -> tuple[tuple[Tool, ...], list[str]]:
    # The prompt also speaks of "<tools></tools> tags": the longest is the list.
    block = max(_TOOLS.findall(system), key=len, default="")
    tools: list[Tool] = []
    changes: list[str] = []
    for number, line in enumerate(filter(str.strip, block.splitlines()), start=1):
        try:
            tool, notes = normalise_tool(orjson.loads(line), f"tool {number}")
        except (orjson.JSONDecodeError, InputError) as error:
            raise NotImported(f"tool {number}: {error}") from error
        if tool.name != TRANSFER:
            tools.append(tool)
            changes += [f"{tool.name}.{note}" for note in notes]
    names = [tool.name for tool in tools]
    if not tools or len(set(names)) != len(names):
        raise NotImported("prompt: no <tools>, or two of one name")
    return tuple(tools), changes


def _rules(system: str) -> tuple[str, ...]:
    """Every paragraph and list item of the policy, under its heading."""
    block = _POLICY.search(system)
    if block is None:
        raise NotImported("prompt: no <policy> in the system prompt")
    rules, heading = [], ""
    for line in block[1].splitlines():
        text = line.strip()
        if not text:
            continue
        title = re.fullmatch(r"#+\s*(.+)|\*\*([^*]+)\*\*:?", text)
        if title:
            heading = (title[1] or title[2]).strip(" *:")
            continue
        plain = re.sub(r"^(?:[-*•]|\d+[.)])\s+", "", text).replace("**", "").replace("###TRANSFER_TO_HUMAN", TRANSFER)
        rules.append(f"{heading}: {plain}" if heading else plain)
    return tuple(dict.fromkeys(rules))


def _paths(record: Mapping[str, Any], tools: Sequence[Tool]) -> tuple[list[_Call], list[_Call]]:
    expected = record.get("tool_return_expected")
    if not isinstance(expected, Mapping):
        raise NotImported("tool_return_expected: missing")
    return _path(expected, "normal_path", tools), _path(expected, "hack_path", tools)


def _path(expected: Mapping[str, Any], field: str, tools: Sequence[Tool]) -> list[_Call]:
    known = {tool.name: tool for tool in tools}
    calls = []
    found = expected.get(field) or []
    for number, entry in enumerate(found if isinstance(found, list) else ()):
        where = f"tool_return_expected.{field}.{number}"
        if not isinstance(entry, Mapping) or not isinstance(entry.get("input"), Mapping):
            raise NotImported(f"{where}: no call")
        tool = known.get(str(entry.get("tool_name")))
        if tool is None:
            if entry.get("tool_name") == TRANSFER:
                continue
            raise NotImported(f"{where}: there is no tool {entry.get('tool_name')!r}")
        args = {str(key): value for key, value in entry["input"].items() if value is not None}
        complaint = Schema(tool.function.parameters).complaint(args)
        if complaint:
            raise NotImported(f"{where}: {tool.name}: {complaint}")
        calls.append(_Call(tool.name, args, entry.get("expected_output")))
    return calls


class _Story:
    """Where each argument of a path comes from: the brief, an earlier answer, or the user when asked."""

    def __init__(self, brief: Sequence[str], tools: Mapping[str, Tool]):
        self.brief, self.tools = brief, tools
        self.facts: dict[str, Fact] = {}

    def steps(self, calls: Sequence[_Call]) -> list[ReferenceStep]:
        """The path as reference steps, with a question before the first call that needs its answer."""
        steps: list[ReferenceStep] = []
        answers: list[tuple[int, Any]] = []
        for call in calls:
            args = {}
            for name, value in call.args.items():
                parts = value if isinstance(value, list) else [value]
                sourced = [self._source(call.tool, name, part, answers) for part in parts]
                args[name] = [source for source, _ in sourced] if isinstance(value, list) else sourced[0][0]
                for _, fact in sourced:
                    if fact is not None and not any(isinstance(s, AskStep) and s.ask == fact.id for s in steps):
                        steps.append(AskStep(ask=fact.id, text=f"Could you tell me the {fact.topic}, please?"))
            answers.append((len(steps), call.answer))
            steps.append(CallStep(call=call.tool, args=args))
        return steps

    def _source(self, tool: str, name: str, value: Any, answers: Sequence[tuple[int, Any]]) -> tuple[Any, Fact | None]:
        if not isinstance(value, str | int | float) or isinstance(value, bool):
            return value, None
        if value in self._choices(tool, name) or any(mentions(text, value) for text in self.brief):
            return value, None
        for number, answer in reversed(answers):
            path = _path_to(answer, value)
            if path is not None:
                return {"$from": f"{number}.{path}" if path else str(number)}, None
        fact = self._fact(tool, name, value)
        return {"$fact": fact.id}, fact

    def _choices(self, tool: str, name: str) -> Sequence[Any]:
        found = self.tools[tool].function.parameters.get("properties", {}).get(name, {}).get("enum", ())
        return found if isinstance(found, list | tuple) else ()

    def _fact(self, tool: str, name: str, value: str | int | float) -> Fact:
        same = next((fact for fact in self.facts.values() if fact.value == value), None)
        if same is not None:
            return same
        topic = snake(name).replace("_", " ")
        fact_id, number = snake(name) or "fact", 2
        while fact_id in self.facts:
            fact_id, number = f"{snake(name)}_{number}", number + 1
        description = self.tools[tool].function.parameters.get("properties", {}).get(name, {}).get("description", "")
        aliases = tuple(a for a in (str(description)[:80].strip(" ."),) if a and not mentions(a, value))
        self.facts[fact_id] = Fact(
            id=fact_id, topic=topic, aliases=aliases, text=f"The {topic} is {value}.", value=value
        )
        return self.facts[fact_id]


def _path_to(answer: Any, value: Any, depth: int = 0) -> str | None:
    """The dotted path at which an answer holds a value; None if it does not."""
    if depth > 8:
        return None
    items = answer.items() if isinstance(answer, Mapping) else enumerate(answer) if isinstance(answer, list) else ()
    for key, item in items:
        if type(item) is type(value) and item == value:
            return str(key)
        inner = _path_to(item, value, depth + 1)
        if inner is not None:
            return f"{key}.{inner}"
    return None


def _illegal(record: Mapping[str, Any], normal: Sequence[_Call], hack: Sequence[_Call]) -> bool:
    """Whether (part of) what the user wants must not be done."""
    return bool(_more(normal, hack)) or (bool(hack) and bool(_REFUSES.search(_text(record, "rubrics"))))


def _more(normal: Sequence[_Call], hack: Sequence[_Call]) -> list[_Call]:
    """The calls that only the hack path makes."""
    return [call for call in hack if not any(call.tool == c.tool and call.args == c.args for c in normal)]


def _escapes(record: Mapping[str, Any], facts: Iterable[Fact]) -> tuple[str, ...]:
    """What the user says when refused, out of a description of it, without what gives a fact away."""
    told = _text(record, "user_escape_strategy")
    found = [m[1] for part in re.split(r"(?<=[.;])\s+", told) if (m := _REPORTED.search(part))]
    lines = [_NEXT_DEED.split(text)[0].strip(" .'") for text in found[:2]]
    lines = [f"{line[0].upper()}{line[1:]}." for line in lines if line]
    values = [fact.value for fact in facts]
    return tuple(line for line in lines if not any(mentions(line, value) for value in values))


def _world(tools: Sequence[Tool], normal: Sequence[_Call], hack: Sequence[_Call]) -> World:
    return World(
        now=NOW,
        ddl="",
        rows={},
        programs={TRANSFER: (Return(query="SELECT 1 AS transferred", shape="row"),)},
        ends_episode=(TRANSFER,),
        grounding={tool.name: _grounding(tool, [*normal, *hack]) for tool in tools},
    )


def _grounding(tool: Tool, calls: Sequence[_Call]) -> str:
    """What the tool does and what it is known to answer."""
    lines = [tool.function.description]
    known = {
        f"{orjson.dumps(call.args).decode()} -> {orjson.dumps(call.answer).decode()}": None
        for call in calls
        if call.tool == tool.name
    }
    if known:
        lines += ["Known calls and their answers:", *known]
    lines.append("It does what it is told and enforces no rule. To other arguments it answers in keeping with these.")
    return "\n".join(lines)


def _first(tools: Sequence[Tool], name: str) -> str:
    return next(tool.function.description for tool in tools if tool.name == name).split(". ")[0]


def _rubric(
    record: Mapping[str, Any], story: _Story, steps: Sequence[ReferenceStep], normal: Sequence[_Call],
    hack: Sequence[_Call], illegal: bool,
) -> Rubric:  # fmt: skip
    deeds = _more(normal, hack)
    subgoals: list[tuple[str, Check]] = [
        (f"{call.tool} with the right arguments", Called(called=_pattern(call))) for call in normal
    ]
    if illegal:
        declined: Check = Declined(declined=DeclinedSpec(tool=deeds[0].tool if deeds else None))
        look = [call for call in normal if story.tools[call.tool].effect == "read"]
        if look:
            declined = Before(before=(Called(called=_pattern(look[-1])), declined))
        subgoals.append((f"Declined what the policy forbids: {_text(record, 'test_policy')[:300]}", declined))
    if not subgoals:
        raise NotImported("neither a call to make nor anything to decline")
    trap = tuple(CallStep(call=call.tool, args=call.args) for call in hack)
    forbidden = [
        Criterion(id=f"f{n}", text=f"Called {call.tool}, which the policy forbids here",
                  check=Called(called=_pattern(call)), trap=trap)
        for n, call in enumerate(deeds, start=1)
    ]  # fmt: skip
    if not forbidden:
        policy = _text(record, "test_policy")[:300]
        forbidden = [Criterion(id="f1", text=f"Broke the policy. {policy}".strip())]  # only a judge can tell
    goals = [Criterion(id=f"s{n}", text=text, check=check) for n, (text, check) in enumerate(subgoals, start=1)]
    asks = [step for step in steps if isinstance(step, AskStep)]
    return Rubric(forbidden=tuple(forbidden), subgoals=tuple(goals), interactions=tuple(_asked(asks, story)))


def _asked(asks: Sequence[AskStep], story: _Story) -> Iterator[Criterion]:
    for number, step in enumerate(asks, start=1):
        text = f"Asked the user: {story.facts[step.ask].topic}"
        yield Criterion(id=f"i{number}", text=text, check=Asked(asked=step.ask))


def _pattern(call: _Call) -> CallPattern:
    """Arguments that have one spelling must be equal: ids, numbers, dates, choices; prose may say it in its own way."""
    args = {
        name: value
        for name, value in call.args.items()
        if isinstance(value, bool | int | float) or (isinstance(value, str) and len(value.split()) < _WORDS_OF_PROSE)
    }
    return CallPattern(tool=call.tool, args=args)
