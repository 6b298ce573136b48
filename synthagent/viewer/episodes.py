"""One episode whole: events, what each write changed, the rubric with its verdicts; and two of them side by side."""

from collections.abc import Sequence
from difflib import SequenceMatcher
from typing import Any

import orjson

from synthagent.errors import EpisodeFailure
from synthagent.schema.episodes import AgentEvent, Episode, Event, FormEvent, ToolEvent, UserEvent
from synthagent.schema.record import Json
from synthagent.schema.scores import Score, Scored, Verdict
from synthagent.schema.tasks import Criterion, Task
from synthagent.simulation.episode import prepare, replay
from synthagent.simulation.states import RowChange, Rows, diff
from synthagent.simulation.world import LiveWorld

MOST_CHANGES = 1_000
"""Changed rows of one write that are told; how many more there were is told too."""


def whole(task: Task | None, episode: Episode, score: Score | None) -> Json:
    """All that a page shows of an episode. Without its task there are no criteria's words and no state."""
    found: dict[str, Any] = {
        "episode": episode.model_dump(mode="json"),
        "score": score.model_dump(mode="json") if score is not None else None,
        "task": None, "criteria": _criteria(task, score), "changes": {}, "replay_error": None,
    }  # fmt: skip
    if task is None:
        found["replay_error"] = "the task of this episode is not in the run"
        return found
    found["task"] = {
        "id": task.id, "family": task.family, "kind": task.kind, "instruction": task.brief.instruction,
        "rules": list(task.brief.rules), "tools": [tool.name for tool in task.brief.tools],
        "facts": [{"id": fact.id, "topic": fact.topic, "text": fact.text} for fact in task.hidden.facts],
    }  # fmt: skip
    found["changes"], found["replay_error"] = changes_of(task, episode)
    return found


def changes_of(task: Task, episode: Episode) -> tuple[dict[str, Any], str | None]:
    """(event -> the rows it changed, why the replay stopped if it did): the stored calls are run again."""
    changes: dict[str, Any] = {}
    try:
        stage = prepare(task)
        before: Rows = stage.blueprint.initial

        def see(number: int, world: LiveWorld) -> None:
            nonlocal before
            after = world.rows()
            found = diff(stage.blueprint.tables, before, after)
            more = max(0, len(found) - MOST_CHANGES)
            changes[str(number)] = {"rows": [_change(one) for one in found[:MOST_CHANGES]], "more": more}
            before = after

        replay(stage, episode, see)
    except EpisodeFailure as error:
        return changes, str(error)
    return changes, None


def _change(change: RowChange) -> Json:
    return {
        "table": change.table, "key": [_plain(part) for part in change.key], "columns": list(change.columns),
        "before": _row(change.before), "after": _row(change.after),
    }  # fmt: skip


def _row(row: dict[str, Any] | None) -> Json:
    return None if row is None else {name: _plain(value) for name, value in row.items()}


def _plain(value: Any) -> Any:
    """A value as JSON that a browser reads without loss: integers beyond its own go as text."""
    if isinstance(value, bytes):
        return f"x'{value.hex()}'"
    return str(value) if isinstance(value, int) and abs(value) > 2**53 - 1 else value


def _criteria(task: Task | None, score: Score | None) -> list[Json]:
    """The rubric line by line, each with its verdict; of a rubric that is not at hand, the verdicts alone."""
    verdicts: dict[tuple[str, str], Verdict] = {}
    if isinstance(score, Scored):
        parts = (("forbidden", score.forbidden), ("subgoal", score.subgoals), ("interaction", score.interactions))
        verdicts = {(kind, verdict.id): verdict for kind, found in parts for verdict in found}
    listed: dict[tuple[str, str], Criterion | None] = {}
    if task is not None:
        rubric = task.rubric
        groups = (("forbidden", rubric.forbidden), ("subgoal", rubric.subgoals), ("interaction", rubric.interactions))
        listed = {(kind, criterion.id): criterion for kind, found in groups for criterion in found}
    return [
        _criterion(kind, id_, listed.get((kind, id_)), verdicts.get((kind, id_)))
        for kind, id_ in dict.fromkeys((*listed, *verdicts))
    ]


def _criterion(kind: str, id_: str, criterion: Criterion | None, verdict: Verdict | None) -> Json:
    good = None if verdict is None else verdict.holds != (kind == "forbidden")
    return {
        "kind": kind, "id": id_, "text": criterion.text if criterion else "", "good": good,
        "events": list(verdict.events) if verdict else [], "by": verdict.by if verdict else None,
        "check": criterion.check.model_dump(mode="json") if criterion and criterion.check else None,
    }  # fmt: skip


def aligned(one: Episode, other: Episode) -> list[Json]:
    """Two episodes event by event: `{left, right, same}`, either side None where it has nothing to match.

    Events that are of one kind and do the same are put side by side; what they say may differ: then `same` is false.
    """
    left, right = [_shape(event) for event in one.events], [_shape(event) for event in other.events]
    rows: list[Json] = []
    for tag, a, b, c, d in SequenceMatcher(None, left, right, autojunk=False).get_opcodes():
        if tag == "equal":
            rows += [
                {"left": i, "right": j, "same": _essence(one.events[i]) == _essence(other.events[j])}
                for i, j in zip(range(a, b), range(c, d), strict=True)
            ]
            continue
        for step in range(max(b - a, d - c)):
            i, j = (a + step if a + step < b else None), (c + step if c + step < d else None)
            rows.append({"left": i, "right": j, "same": False})
    return rows


def _shape(event: Event) -> str:
    """What kind of thing an event is: the same shape may stand side by side."""
    match event:
        case AgentEvent():
            return f"agent {','.join(call.name for call in event.calls)}"
        case UserEvent():
            return "user"
        case ToolEvent():
            return f"tool {event.tool}"
        case FormEvent():
            return "form"


def _essence(event: Event) -> Sequence[Any]:
    """What an event comes to, without ids and times."""
    match event:
        case AgentEvent():
            return event.text, event.answer, [(call.name, call.arguments) for call in event.calls]
        case UserEvent():
            return event.message, event.text
        case ToolEvent():
            arguments = orjson.dumps(event.arguments, option=orjson.OPT_SORT_KEYS)
            return event.tool, arguments, event.ok, event.response
        case FormEvent():
            return (event.error,)
