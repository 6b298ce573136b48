"""The same task under other names: tools and parameters renamed, reordered, reworded, everywhere they are spoken of.

A policy that has learnt to use tools earns the same; one that has learnt names does not. All members of a family get
the same names, so that twins stay byte-equal where they have to be. Results keep their field names: the reference, the
checks and the state speak of these.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Literal, get_args

from synthagent.schema.checks import CallPattern, ConfirmedSpec, DeclinedSpec, SaidSpec
from synthagent.schema.record import Record
from synthagent.schema.tasks import (
    Brief,
    CallStep,
    Criterion,
    ReferenceStep,
    Require,
    Return,
    Rubric,
    Run,
    SayStep,
    Step,
    Task,
    Tool,
    World,
    identified,
    world_id_of,
)
from synthagent.simulation.compiling import compile_world
from synthagent.simulation.world import Blueprint
from synthagent.synthesis.executing import run
from synthagent.synthesis.synonyms import SYNONYMS

Kind = Literal["names", "parameters", "order", "wording"]
KINDS: tuple[Kind, ...] = get_args(Kind)

Style = Callable[[Sequence[str]], str]
_STYLES: tuple[Style, ...] = (
    "_".join,
    lambda words: words[0] + "".join(word.capitalize() for word in words[1:]),
    lambda words: "api_" + "_".join(words),
    lambda words: "_".join([*words[1:], words[0]]) if len(words) > 1 else f"{words[0]}_now",
)
"""snake_case, camelCase, with a prefix, verb last."""
_TOKEN = re.compile(
    r"""('(?:[^']|'')*'|"(?:[^"]|"")*"|`[^`]*`|\[[^\]]*\]|--[^\n]*|/\*.*?(?:\*/|\Z))|:([A-Za-z_]\w*)""", re.S
)
"""What may hold a colon without binding anything (texts, quoted names, comments), and what binds a parameter."""


@dataclass(frozen=True, slots=True)
class Names:
    """Old name -> new name; what is not in them stays."""

    tools: Mapping[str, str]
    parameters: Mapping[str, Mapping[str, str]]
    """By the tool's old name."""

    def tool(self, name: str) -> str:
        return self.tools.get(name, name)

    def parameter(self, tool: str, name: str) -> str:
        return self.parameters.get(tool, {}).get(name, name)


def perturbed(task: Task, seed: int, kinds: Iterable[Kind] = KINDS) -> Task:
    """The task under other names, the same for every member of its family; no kinds: the task itself.

    The hand-over to a human keeps its name: agents are told of it in words.
    """
    chosen = set(kinds)
    if not chosen:
        return task
    random = Random(f"{seed}/{task.family}/{','.join(sorted(t.name for t in task.brief.tools))}")
    names = _names(task, random, chosen)
    brief = _brief(task.brief, names, random, chosen)
    provenance = task.provenance.model_copy(
        update={
            "parents": (*task.provenance.parents, task.id),
            "features": tuple(dict.fromkeys((*task.provenance.features, "perturbed"))),
            "passports": {},
        }
    )
    return with_new_ids(
        task,
        task.model_copy(
            update={
                "brief": brief,
                "world": _world(task.world, names),
                "workflow": tuple(_spoken(text, names) for text in task.workflow),
                "rubric": _rubric(task.rubric, names),
                "reference": tuple(_step(step, names) for step in task.reference),
                "provenance": provenance,
            }
        ),
    )


def with_new_ids(old: Task, new: Task, world: World | None = None) -> Task:
    """The new task with the ids that its own world generates: they hash the world and the tool, which have changed.

    They stand in the words of the reference and in the arguments of traps. `world`: the programs that generate them, if
    they are not the new task's own.
    """
    if old.world.grounding:
        return identified(new)
    changed: dict[str, str] = {}
    before = compile_world(old.brief.tools, old.world, old.world_id)
    after = compile_world(new.brief.tools, world or new.world, world_id_of(new.brief.tools, new.world))
    facts = {fact.id: fact.value for fact in old.hidden.facts}
    traps = []
    for one, two in zip(old.rubric.forbidden, new.rubric.forbidden, strict=True):
        seen: dict[str, str] = {}
        _compare(before, one.trap, after, two.trap, facts, seen)
        traps.append(two.model_copy(update={"trap": tuple(_replaced(step, seen) for step in two.trap)}))
    _compare(before, old.reference, after, new.reference, facts, changed)
    reference = tuple(_replaced(step, changed) for step in new.reference)
    rubric = new.rubric.model_copy(update={"forbidden": tuple(traps)})
    return identified(new.model_copy(update={"reference": reference, "rubric": rubric}))


def _compare(
    before: Blueprint, one: Sequence[ReferenceStep], after: Blueprint, two: Sequence[ReferenceStep],
    facts: Mapping[str, Any], changed: dict[str, str],
) -> None:  # fmt: skip
    """Enters every id that the same call generates anew: old -> new. Call by call, since later ones use them."""
    for end in range(1, len(one) + 1):
        if not isinstance(one[end - 1], CallStep):
            continue
        fresh = [_replaced(step, changed) for step in two[:end]]
        old, new = run(before, one[:end], facts).results[end - 1], run(after, fresh, facts).results[end - 1]
        changed.update(_differing(old, new))


_GENERATED = re.compile(r"[A-Za-z]*-[0-9a-f]{6}")
"""What `new_id` gives."""


def _differing(one: Any, two: Any) -> dict[str, str]:
    """Generated ids in the records that two calls answer; lists come in another order, and nothing is said of them."""
    if not isinstance(one, dict) or not isinstance(two, dict):
        one, two = {"": one}, {"": two}
    pairs = [(old, two.get(key)) for key, old in one.items() if isinstance(old, str) and old != two.get(key)]
    return {old: new for old, new in pairs if isinstance(new, str) and _GENERATED.fullmatch(old)}


def _replaced(step: ReferenceStep, changed: Mapping[str, str]) -> ReferenceStep:
    """A step with old ids replaced in its words and in its literal arguments."""
    if not changed:
        return step
    if isinstance(step, SayStep):
        for old, new in changed.items():
            step = SayStep(say=step.say.replace(old, new))
        return step
    if isinstance(step, CallStep):
        return CallStep(call=step.call, args=_literals(step.args, changed))
    return step


def _literals(value: Any, changed: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _literals(item, changed) for key, item in value.items()}
    if isinstance(value, list):
        return [_literals(item, changed) for item in value]
    return changed.get(value, value) if isinstance(value, str) else value


def _names(task: Task, random: Random, chosen: set[Kind]) -> Names:
    style = random.choice(_STYLES)
    tools: dict[str, str] = {}
    parameters: dict[str, dict[str, str]] = {}
    taken = {tool.name for tool in task.brief.tools} | {"ask_user"}
    # The same word becomes the same word throughout a task, as in any real interface.
    words: dict[str, str] = {}
    for tool in sorted(task.brief.tools, key=lambda tool: tool.name):
        if tool.name in task.world.ends_episode:
            continue
        if "names" in chosen:
            tools[tool.name] = _fresh(tool.name, style, words, random, taken)
        if "parameters" in chosen:
            own = list(tool.function.parameters.get("properties", {}))
            used = set(own)
            parameters[tool.name] = {name: _fresh(name, "_".join, words, random, used) for name in own}
    return Names(tools, parameters)


def _fresh(name: str, style: Style, words: dict[str, str], random: Random, taken: set[str]) -> str:
    """Another name of the same meaning that nobody has."""
    parts = [part for part in re.split(r"[_\W]+|(?<=[a-z0-9])(?=[A-Z])", name) if part]
    if not parts:
        return name
    said = [
        words.setdefault(part.lower(), random.choice(SYNONYMS.get(part.lower(), (part.lower(),)))) for part in parts
    ]
    found = style(said)[:60]
    number = 2
    while found in taken and found != name:
        found, number = f"{style(said)[:60]}_{number}", number + 1
    taken.add(found)
    return found


# ---- what the agent sees


def _brief(brief: Brief, names: Names, random: Random, chosen: set[Kind]) -> Brief:
    tools = [_tool(tool, names, random, chosen) for tool in brief.tools]
    if "order" in chosen:
        random.shuffle(tools)
    rules = tuple(_spoken(rule, names) for rule in brief.rules)
    return brief.model_copy(update={"tools": tuple(tools), "rules": rules})


def _tool(tool: Tool, names: Names, random: Random, chosen: set[Kind]) -> Tool:
    parameters = dict(tool.function.parameters)
    properties = {names.parameter(tool.name, n): schema for n, schema in parameters.get("properties", {}).items()}
    if "order" in chosen:
        pairs = list(properties.items())
        random.shuffle(pairs)
        properties = {name: _reordered(schema, random) for name, schema in pairs}
    parameters["properties"] = properties
    if "required" in parameters:
        required = [names.parameter(tool.name, name) for name in parameters["required"]]
        parameters["required"] = random.sample(required, len(required)) if "order" in chosen else required
    description = _mentioned(tool, _spoken(tool.function.description, names), names)
    function = tool.function.model_copy(
        update={
            "name": names.tool(tool.name),
            "description": _reworded(description, random) if "wording" in chosen else description,
            "parameters": parameters,
        }
    )
    return tool.model_copy(update={"function": function})


def _reordered(schema: Any, random: Random) -> Any:
    if isinstance(schema, dict) and isinstance(schema.get("enum"), list):
        return {**schema, "enum": random.sample(schema["enum"], len(schema["enum"]))}
    return schema


_LEADS = ("Use this to {}", "Call this to {}", "This tool lets you {}")


def _reworded(text: str, random: Random) -> str:
    """The same said with other words in front: `Find X.` as `Use this to find X.`; the meaning is not touched."""
    first, _, rest = text.partition(" ")
    plain = first.lower()
    if not rest or not first.isalpha():
        return text
    verb = plain[:-1] if plain.endswith("s") and plain[:-1] in SYNONYMS else plain
    if verb not in SYNONYMS:
        return f"{text.rstrip('.')}. Part of the desk's system."
    return random.choice(_LEADS).format(f"{verb} {rest}")


def _spoken(text: str, names: Names) -> str:
    """A text with every tool under its new name."""
    if not names.tools:
        return text
    known = "|".join(re.escape(name) for name in sorted(names.tools, key=len, reverse=True))
    return re.sub(rf"(?<![A-Za-z0-9_])(?:{known})(?![A-Za-z0-9_])", lambda found: names.tools[found[0]], text)


def _mentioned(tool: Tool, text: str, names: Names) -> str:
    """A text of a tool with its parameters under their new names, where they are plainly names and not words."""
    for old, new in names.parameters.get(tool.name, {}).items():
        if "_" in old:
            text = re.sub(rf"(?<!\w){re.escape(old)}(?!\w)", new, text)
    return text


# ---- what stands behind it


def _world(world: World, names: Names) -> World:
    return world.model_copy(
        update={
            "programs": {
                names.tool(tool): tuple(_program_step(step, tool, names) for step in steps)
                for tool, steps in world.programs.items()
            },
            "grounding": {names.tool(tool): _spoken(text, names) for tool, text in world.grounding.items()},
            "ends_episode": tuple(names.tool(tool) for tool in world.ends_episode),
        }
    )


def _program_step(step: Step, tool: str, names: Names) -> Step:
    match step:
        case Require():
            return Require(require=_bound(step.require, tool, names), otherwise=_spoken(step.otherwise, names))
        case Run():
            return Run(run=_bound(step.run, tool, names))
        case Return():
            return Return(query=_bound(step.query, tool, names), shape=step.shape)


def _bound(sql: str, tool: str, names: Names) -> str:
    """A statement with its parameters under their new names; texts, quoted names and comments stay as they are."""
    return _TOKEN.sub(lambda found: found[0] if found[1] else f":{names.parameter(tool, found[2])}", sql)


def _step(step: ReferenceStep, names: Names) -> ReferenceStep:
    """Results keep their field names, so `$from`, `where` and `take` stay as they are."""
    if not isinstance(step, CallStep):
        return step
    args = {names.parameter(step.call, name): value for name, value in step.args.items()}
    return CallStep(call=names.tool(step.call), args=args)


def _rubric(rubric: Rubric, names: Names) -> Rubric:
    def criterion(one: Criterion) -> Criterion:
        return one.model_copy(
            update={
                "text": _spoken(one.text, names),
                "check": _check(one.check, names),
                "trap": tuple(_step(step, names) for step in one.trap),
            }
        )

    return rubric.model_copy(
        update={
            "forbidden": tuple(map(criterion, rubric.forbidden)),
            "subgoals": tuple(map(criterion, rubric.subgoals)),
            "interactions": tuple(map(criterion, rubric.interactions)),
        }
    )


def _check(value: Any, names: Names) -> Any:
    """A check, or any part of one, under the new names."""
    match value:
        case CallPattern():
            own = {
                "tool": names.tool(value.tool),
                "args": {names.parameter(value.tool, name): item for name, item in value.args.items()},
                "mentions": {names.parameter(value.tool, name): item for name, item in value.mentions.items()},
                "where": None if value.where is None else _bound(value.where, value.tool, names),
            }
            return value.model_copy(update=own)
        case ConfirmedSpec():
            args = tuple(names.parameter(value.tool, name) for name in value.args)
            return value.model_copy(update={"tool": names.tool(value.tool), "args": args})
        case DeclinedSpec() | SaidSpec():
            return value.model_copy(update={"tool": None if value.tool is None else names.tool(value.tool)})
        case Record():
            return value.model_copy(
                update={name: _check(getattr(value, name), names) for name in type(value).model_fields}
            )
        case tuple():
            return tuple(_check(part, names) for part in value)
        case _:
            return value
