"""The reference agent thinking aloud: before it acts, or declines, it holds what it looked up against the rule.

Made to be learnt from: without such a line a small model that is trained on demonstrations learns to refuse everything
(measured: docs/results/train-demo). What it thinks is said to nobody, see `synthagent.simulation.agent.read_turn`.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from synthagent.errors import TaskFault
from synthagent.schema.checks import Called
from synthagent.schema.messages import AssistantTurn
from synthagent.schema.tasks import AskStep, CallStep, Task
from synthagent.simulation.agent import View
from synthagent.simulation.episode import Stage
from synthagent.simulation.reference_agent import Reference, resolve, results_of, same

_QUOTED = re.compile(r"'[^']*'")
_TABLE = re.compile(r"\bbase\.\w+")
_BOUND = re.compile(r":(\w+)")
_KEY = re.compile(r"\b(\w+)\s*(?:=|IS)\s*:(\w+)")
_WORD = re.compile(r"(?<![:\w.])(?:\w+\.)?([A-Za-z_]\w*)")
_CONDITION = re.compile(r"must NOT be used (.*?)(?:, because .*|\.?)$")
_BROKE = "Broke the rule: "
NO_TOOL = "No tool does this: stop."


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule that looks at what a tool is called with, and at the rows that this names."""

    tool: str
    condition: str
    """When the tool must not be used, in the rule's own words."""
    columns: tuple[str, ...]
    """What decides, of the rows."""
    keys: Mapping[str, str]
    """Column -> argument that picks the row."""
    values: tuple[str, ...]
    """Arguments that decide."""
    today: bool
    trap: Mapping[str, Any]
    """Arguments of the call that the rule forbids."""
    broken: bool
    """The task invites that very call: a sub-goal is to decline it, and says why."""


def rules_of(task: Task, columns: frozenset[str]) -> list[Rule]:
    """The rules of a task whose breach is a condition on a call; `columns`: of all tables."""
    found = []
    for criterion in task.rubric.forbidden:
        check = criterion.check
        if not isinstance(check, Called) or check.called.where is None:
            continue
        sql = _TABLE.sub("", _QUOTED.sub("", check.called.where))
        last = criterion.trap[-1] if criterion.trap else None
        keys = {column: bound for column, bound in _KEY.findall(sql) if column == bound}
        words = dict.fromkeys(word for word in _WORD.findall(sql) if word in columns and word not in keys)
        values = dict.fromkeys(bound for bound in _BOUND.findall(sql) if bound not in keys.values())
        told = _CONDITION.search(criterion.text)
        found.append(
            Rule(
                tool=check.called.tool,
                condition=told[1] if told else criterion.text,
                columns=tuple(words),
                keys=keys,
                values=tuple(values),
                today="today()" in sql,
                trap=last.args if isinstance(last, CallStep) else {},
                broken=any(criterion.text.removeprefix(_BROKE) in subgoal.text for subgoal in task.rubric.subgoals),
            )
        )
    return found


class Careful(Reference):
    """Acts out a task's reference, with a thought wherever a rule is decided."""

    def __init__(self, stage: Stage):
        task = stage.task
        super().__init__(task.reference, task.hidden.facts, "scripted:careful")
        columns = frozenset(name for table in stage.blueprint.tables for name in table.columns)
        self._left = rules_of(task, columns)
        self._today = task.world.now[:10]
        # Where nothing has to be asked, everything is known from the first word.
        self._open = frozenset(self._facts) if "no_gap" in task.provenance.features else frozenset()
        self._told = self._open
        self._acts = {step.call: step.args for step in task.reference if isinstance(step, CallStep)}
        self._stuck = "missing_tool" in task.provenance.features

    async def act(self, view: View) -> AssistantTurn:
        """The next step, and before it what decided it."""
        number = self._next
        last = number == len(self._steps) - 1
        self._told = self._open | frozenset(self._asked)  # what this very turn asks for is not known yet
        turn = await super().act(view)
        thoughts = list(self._decided(view, number))
        if self._stuck and last:
            thoughts.append(NO_TOOL)
        if not thoughts:
            return turn
        thought = f"<think>{' '.join(thoughts)}</think>"
        return turn.model_copy(update={"content": f"{thought}\n{turn.content}" if turn.content else thought})

    def _decided(self, view: View, number: int) -> Iterator[str]:
        """What is decided by now and was not before."""
        if number >= len(self._steps):
            return
        rows = list(self._rows(view))
        for rule in list(self._left):
            known = self._known(rule, view, rows, number)
            if known is not None:
                self._left.remove(rule)
                yield f"{rule.tool} not {rule.condition}: {known}."

    def _known(self, rule: Rule, view: View, rows: list[dict[str, Any]], number: int) -> str | None:
        """What decides a rule, and how; None as long as it is not known, or does not come up."""
        allowed = rule.tool in self._acts
        if not allowed and (not rule.broken or isinstance(self._steps[number], AskStep)):
            return None
        try:
            facts = {fact: value for fact, value in self._facts.items() if fact in self._told}
            arguments = resolve(self._acts[rule.tool], facts, results_of(view)) if allowed else rule.trap
        except TaskFault:
            return None
        unheard = [value for fact, value in self._facts.items() if fact not in self._told]
        if not allowed and any(arguments.get(name) in unheard for name in rule.values):
            return None
        row = next((r for r in rows if _picked(r, rule, arguments) and all(c in r for c in rule.columns)), None)
        if row is None and rule.columns:
            return None
        told = [f"{column} {_written(row[column])}" for column in rule.columns] if row is not None else []
        told += [f"{name} {_written(arguments[name])}" for name in rule.values if name in arguments]
        told += [f"today {self._today}"] if rule.today else []
        return f"{', '.join(told)}, {'fine' if allowed else 'stop'}" if told else None

    def _rows(self, view: View) -> Iterator[dict[str, Any]]:
        """Rows that were looked up, the latest first; each with what it was asked by."""
        for step, result in sorted(results_of(view).items(), reverse=True):
            asked = self._arguments.get(step, {})
            for row in result if isinstance(result, list) else [result]:
                if isinstance(row, dict):
                    yield {**asked, **row}


def _written(value: Any) -> str:
    """As the result has it, to be copied from there."""
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def _picked(row: Mapping[str, Any], rule: Rule, arguments: Mapping[str, Any]) -> bool:
    return all(column in row and same(row[column], arguments.get(bound)) for column, bound in rule.keys.items())
