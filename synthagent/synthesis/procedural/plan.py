"""From a goal's plan in the domain's words to reference steps."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any

from synthagent.errors import InputError
from synthagent.schema.tasks import AskStep, CallStep, ReferenceStep, SayStep
from synthagent.synthesis.procedural.domain import Domain, Goal, Identify
from synthagent.synthesis.procedural.rows import fill
from synthagent.synthesis.procedural.scene import Names

EXPRESSION = re.compile(r"\$(\w+)(?:\[(.+?)\])?(?:\.([\w.]+))?")
"""Name, condition on rows, path."""


@dataclass
class Plan:
    """Reference steps while they are put together."""

    domain: Domain
    facts: Mapping[str, Any]
    """Fact id -> value, for every fact of the task."""
    inlined: frozenset[str]
    """Facts that the instruction gives away."""
    random: Random
    steps: list[ReferenceStep] = field(default_factory=list)
    aliases: dict[str, int] = field(default_factory=dict)
    """Name of a call -> its step."""
    asked: list[str] = field(default_factory=list)
    me: dict[str, Any] = field(default_factory=dict)
    """What identification gives, as argument values."""
    confirmed: list[tuple[str, int]] = field(default_factory=list)
    """(goal, step) of each question for a yes."""

    def identify(self, way: Identify) -> None:
        """Learns who the user is."""
        for step in way.plan:
            self.add(step, {})
        self.me = {name: self._argument(expression, "") for name, expression in way.gives.items()}

    def add(self, step: Mapping[str, Any], names: Names, goal: str = "") -> None:
        """Adds one step; a fact that is known already is not asked for again."""
        if "ask" in step:
            self._ask(step["ask"])
        elif "call" in step:
            args = {name: self._argument(value, goal) for name, value in step.get("args", {}).items()}
            call = CallStep(call=step["call"], args=args)
            self.aliases[f"{goal}.{step['as']}"] = self._place_of(call)
        elif "confirm" in step:
            self.confirmed.append((goal, len(self.steps)))
            self.steps.append(SayStep(say=fill(step["confirm"], names)))

    def _place_of(self, call: CallStep) -> int:
        """The call's step: an earlier one that looked up the very same since the last write, or a new one."""
        for number in range(len(self.steps) - 1, -1, -1):
            step = self.steps[number]
            if isinstance(step, CallStep):
                if self.domain.tools[step.call].effect == "write":
                    break
                if step == call:
                    return number
        self.steps.append(call)
        return len(self.steps) - 1

    def say(self, text: str) -> None:
        self.steps.append(SayStep(say=text))

    def _ask(self, fact: str) -> None:
        if fact in self.asked or fact in self.inlined:
            return
        self.asked.append(fact)
        self.steps.append(AskStep(ask=fact, text=self.random.choice(self.domain.facts[fact].ask)))

    def _argument(self, value: Any, goal: str) -> Any:
        """`$fact.title`, `$me.member_id`, `$loans[title=$fact.title].loan_id`, `$found.0.member_id`, or a literal."""
        if not isinstance(value, str) or not value.startswith("$"):
            return value
        match = EXPRESSION.fullmatch(value)
        if match is None:
            raise InputError(f"not an argument expression: {value!r}")
        name, where, path = match[1], match[2], match[3] or ""
        if name == "fact":
            return self.facts[path] if path in self.inlined else {"$fact": path}
        if name == "me":
            if path not in self.me:
                raise InputError(f"identification gives no '{path}'")
            return self.me[path]
        step = self.aliases.get(f"{goal}.{name}", self.aliases.get(f".{name}"))
        if step is None:
            raise InputError(f"no earlier call is named '{name}'")
        if where is None:
            return {"$from": f"{step}.{path}" if path else str(step)}
        pairs = (pair.split("=", 1) for pair in where.split(","))
        return {
            "$from": str(step),
            "where": {column.strip(): self._argument(item.strip(), goal) for column, item in pairs},
            "take": path,
        }


def steps_until(goal: Goal, restriction: str) -> list[Mapping[str, Any]]:
    """A goal's steps up to the point where the restriction is known, without questions that no longer matter."""
    found: list[Mapping[str, Any]] = []
    for step in goal.plan:
        if step.get("decide") == restriction:
            break
        found.append(step)
    return _without_idle(found, set(goal.restrictions[restriction].decided_by))


def steps_without(goal: Goal, tool: str) -> list[Mapping[str, Any]]:
    """A goal's steps before the first call of a tool that is missing, without questions that only that call needs."""
    found: list[Mapping[str, Any]] = []
    for step in goal.plan:
        if step.get("call") == tool:
            break
        found.append(step)
    return _without_idle(found, set())


def _without_idle(steps: list[Mapping[str, Any]], kept: set[str]) -> list[Mapping[str, Any]]:
    used = repr([step.get("args") for step in steps])
    acts = max((number for number, step in enumerate(steps) if "call" in step), default=-1)
    return [
        step
        for number, step in enumerate(steps)
        if not ("confirm" in step and number > acts)
        and not ("ask" in step and step["ask"] not in kept and f"$fact.{step['ask']}" not in used)
    ]
