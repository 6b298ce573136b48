"""Error rates of users: shares of replies, with intervals that cluster by family."""

from synthagent.audit.statistics import interactions, map_size, of_tasks
from synthagent.audit.users import UserTurn, rates
from synthagent.schema.episodes import AgentEvent, Episode, Stop, ToolEvent, UserEvent
from synthagent.schema.tasks import Provenance
from synthagent.simulation.user_linter import KINDS
from tests.builders import library


def turn(family: str, *findings: str) -> UserTurn:
    return UserTurn(family, UserEvent(message="What?", text="That.", findings=findings))


def test_a_reply_with_two_findings_is_one_error_and_counts_for_both_kinds():
    found = rates([turn("a", "invented: 5", "role_flip: let me"), turn("a"), turn("b"), turn("b", "invented: 7")])
    assert found.turns == 4
    assert found.errors is not None
    assert (found.errors.mean, found.errors.clusters) == (0.5, 2)
    assert {kind: count for kind, (count, _) in found.by_kind.items() if count} == {"invented": 2, "role_flip": 1}
    assert set(found.by_kind) == set(KINDS)
    interval = found.by_kind["role_flip"][1]
    assert interval is not None
    assert interval.mean == 0.25
    assert interval.low < 0.25 < interval.high


def test_without_replies_there_are_no_rates():
    found = rates([])
    assert (found.turns, found.errors) == (0, None)


def test_statistics_leave_the_hand_over_out_and_average_over_tasks():
    task = library()
    other = task.model_copy(update={"provenance": Provenance(tokens=3000)})
    figures = of_tasks([task, other])
    assert (figures.tasks, figures.tools_per_task, figures.tokens_per_task) == (2, 4.0, 1500.0)
    assert of_tasks([]).tools_per_task is None


def test_interactions_are_tool_calls_and_exchanges_with_the_user():
    call = ToolEvent(call_id="1", tool="t", ok=True, response="1")
    one = Episode(
        task_id="t", agent="a", stop=Stop.USER_DONE, events=(AgentEvent(), call, call, UserEvent(message="", text=""))
    )
    assert interactions([one, one.model_copy(update={"events": (AgentEvent(),)})]) == 1.5
    assert interactions([]) is None


def test_the_map_is_measured_on_the_worlds_it_knows():
    assert map_size({"a": 10, "b": 0, "c": 20}) == 15.0
    assert map_size({"a": 0}) is None
