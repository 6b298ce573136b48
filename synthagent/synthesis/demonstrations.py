"""What was really done in a task: an episode played again, call by call, with what each call changed.

The input of rubric derivation (Lyu et al., section 3.3): workflow, rules and demonstrations, and no rubric.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import orjson

from synthagent.errors import EpisodeFailure
from synthagent.schema.checks import Check
from synthagent.schema.episodes import AgentEvent, Episode, Event, ToolEvent, UserEvent
from synthagent.schema.tasks import CallStep, Criterion, ReferenceStep, Rubric, SayStep, Task, Tool
from synthagent.scoring.checks import Evidence, decide
from synthagent.simulation.episode import Stage, replay
from synthagent.simulation.simulated import Answer, SimulatedCall
from synthagent.simulation.states import RowChange, diff
from synthagent.simulation.values import mentions
from synthagent.simulation.world import Final, LiveWorld
from synthagent.synthesis.executing import Run
from synthagent.synthesis.outcomes import Outcomes

_NONE = Rubric(subgoals=(Criterion(id="none", text="nothing"),))
_PROSE_WORDS = 4
MOST_TOLD = 200
"""Characters of an error in a report."""


@dataclass(frozen=True)
class Demonstration:
    """An episode with what its calls did. Events are known by their places in it."""

    stage: Stage
    """Of the task without rubric and reference."""
    episode: Episode
    final: Final
    changes: Mapping[int, list[RowChange]]
    """Place of a call -> the rows that it changed."""

    @cached_property
    def evidence(self) -> Evidence:
        """For checks to be tried on."""
        return Evidence(self.stage, self.episode, self.final)

    @cached_property
    def deeds(self) -> dict[int, ToolEvent]:
        """Place -> call that succeeded."""
        return {n: e for n, e in enumerate(self.episode.events) if isinstance(e, ToolEvent) and e.ok}

    @cached_property
    def exchanges(self) -> dict[int, UserEvent]:
        """Place -> what was said and answered."""
        return {n: e for n, e in enumerate(self.episode.events) if isinstance(e, UserEvent)}

    @cached_property
    def messages(self) -> dict[int, str]:
        """Place -> what the agent said to the user, its last word included."""
        found = {n: event.message for n, event in self.exchanges.items()}
        for n, event in enumerate(self.episode.events):
            if isinstance(event, AgentEvent) and event.answer is not None:
                found[n] = event.answer
        return found

    @cached_property
    def asked(self) -> list[str]:
        """What was learned by asking, in the order in which it was asked for."""
        return list(dict.fromkeys(id_ for event in self.exchanges.values() for id_ in event.asked))

    @cached_property
    def outcomes(self) -> Outcomes:
        """The checks of what its calls did."""
        steps: list[ReferenceStep] = [SayStep(say="") for _ in self.episode.events]
        arguments: dict[int, dict[str, Any]] = {}
        for place, event in self.deeds.items():
            arguments[place] = dict(event.arguments or {})
            steps[place] = CallStep(call=event.tool, args=arguments[place])
        run = Run({place: self.result(place) for place in self.deeds}, arguments, dict(self.changes))
        prose = {place: self._prose(place) for place in self.changes}
        return Outcomes(steps, run, self.stage.blueprint.tables, prose)

    def result(self, place: int) -> Any:
        """The parsed result of a call."""
        return self.evidence.result(place)

    def writes(self, place: int) -> bool:
        """Whether a call changed anything, or is of a tool that is there to."""
        return bool(self.changes.get(place)) or self.episode.events[place].changed  # type: ignore[union-attr]

    def holds(self, check: Check) -> bool:
        """Whether a check is true of it. Raises `TaskFault` for SQL that is not usable."""
        return decide(check, self.evidence).holds

    def _prose(self, place: int) -> set[str]:
        """Arguments that everybody would word in their own way: longer texts that stand nowhere else."""
        task = self.stage.task
        facts = [str(fact.value) for fact in task.hidden.facts]
        found = set()
        for name, value in (self.deeds[place].arguments or {}).items():
            if not isinstance(value, str) or len(value.split()) < _PROSE_WORDS or value in facts:
                continue
            earlier = [event.response for n, event in self.deeds.items() if n < place]
            if not mentions(task.brief.instruction, value) and not any(value in response for response in earlier):
                found.add(name)
        return found


@dataclass(frozen=True, slots=True)
class Source:
    """All that a rubric is derived from."""

    workflow: tuple[str, ...]
    rules: tuple[str, ...]
    demonstrations: tuple[Demonstration, ...] = field(default=())


def stripped(task: Task) -> Task:
    """The task without its rubric and its reference: nothing of them can find its way into what is derived."""
    return task.model_copy(update={"rubric": _NONE, "reference": ()})


def demonstrated(stage: Stage, episode: Episode) -> Demonstration:
    """An episode as a demonstration, its calls made again. Raises `ReplayMismatch`, `TaskFault`."""
    replay(stage, episode)
    return acted(stage, episode, episode.events)


def acted(stage: Stage, episode: Episode, events: Iterable[Event]) -> Demonstration:
    """What comes of these events when their calls are made anew, in a fresh world.

    What was said stays as it was; a simulated tool answers what is recorded.
    """
    bare = Stage(stripped(stage.task), stage.blueprint, stage.listener)
    done: list[Event] = []
    changes: dict[int, list[RowChange]] = {}
    with stage.blueprint.open() as world:
        before = stage.blueprint.initial
        for event in events:
            if isinstance(event, ToolEvent):
                event = _called(world, event)
                if event.changed:
                    after = world.rows()
                    if found := diff(stage.blueprint.tables, before, after):
                        changes[len(done)] = found
                    before = after
            done.append(event)
        final = world.final()
    return Demonstration(
        bare, episode.model_copy(update={"events": tuple(done), "digest": final.digest}), final, changes
    )


def _called(world: LiveWorld, event: ToolEvent) -> ToolEvent:
    if event.arguments is None or event.fault is not None:
        return event  # it changed nothing, then as now
    result = world.begin(event.tool, orjson.dumps(event.arguments).decode())
    if isinstance(result, SimulatedCall):
        if event.entry_id is None:
            return event
        result = world.take(result, Answer(event.ok, event.response, event.entry_id, event.alias_of))
    return event.model_copy(
        update={"ok": result.ok, "error": result.error, "response": result.response, "changed": result.changed}
    )


def unusable(error: EpisodeFailure) -> str:
    """Why a check cannot be had, with as much of the error as fits into a report."""
    text = " ".join(str(error).split())
    return f"the check does not run: {text if len(text) <= MOST_TOLD else f'{text[:MOST_TOLD]} ...'}"


def storable(value: Any) -> bool:
    """Whether a world can hold it: no number is too large for one."""
    return not isinstance(value, int) or -(1 << 63) <= value < 1 << 63


def described(tool: Tool) -> dict[str, dict[str, Any]]:
    """Parameter -> its schema; one that takes anything says nothing."""
    found = tool.function.parameters.get("properties", {})
    return {name: schema if isinstance(schema, dict) else {} for name, schema in found.items()}


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted path, scalar) of everything in a result, in order and however deep."""
    waiting = [(path, value)]
    while waiting:
        path, value = waiting.pop()
        if isinstance(value, Mapping):
            inner = [(str(key), item) for key, item in value.items()]
        elif isinstance(value, Sequence) and not isinstance(value, str):
            inner = [(str(number), item) for number, item in enumerate(value)]
        else:
            yield path, value
            continue
        waiting += [(f"{path}.{key}" if path else key, item) for key, item in reversed(inner)]
