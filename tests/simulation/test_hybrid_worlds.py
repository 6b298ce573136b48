"""Executable and simulated tools side by side: what a simulated tool depends on, episodes, replays and faults."""

from collections import Counter
from typing import Any

import orjson
import pytest

from synthagent.errors import Blame, ToolFailed
from synthagent.llm.scripted import calling
from synthagent.schema.episodes import Episode, Limits, Stop, ToolEvent
from synthagent.schema.scores import Scored, Unscored
from synthagent.schema.tasks import identified
from synthagent.scoring.scorer import score
from synthagent.simulation.episode import Cast, ReplayMismatch, Stage, facts_user, play, prepare, replay
from synthagent.simulation.faults import FAULTS, Faults
from synthagent.simulation.map_store import MemoryStore, id_of
from synthagent.simulation.model_agent import ModelAgent
from synthagent.simulation.response_map import MapMode, ResponseMap, key_of
from synthagent.simulation.scripted_agents import scripted
from synthagent.simulation.simulated import SimulatedCall
from tests.builders import library, model_agent, text_of, tools_in
from tests.maps import Telling, babbling, hybrid, undeclared

STAGE = prepare(hybrid())
TRUTH = prepare(library())
LOANS = ("list_loans", {"member_id": "M-1"})
HOLD = ("place_hold", {"member_id": "M-1", "title": "Night Ferry"})
RENEW = ("renew_loan", {"loan_id": "L-1", "new_due": "2031-06-01"})


class Truthful:
    """Stands in for tools by running the programs that were taken away, on the same history."""

    name = "truth"

    def __init__(self) -> None:
        self.calls = 0

    async def simulate(self, call: SimulatedCall, known: Any, draw: int = 0) -> Any:
        from synthagent.simulation.response_map import Simulation

        self.calls += 1
        with TRUTH.blueprint.open() as world:
            for deed in call.deeds:
                world.call(deed.tool, text_of(dict(deed.arguments)))
            result = world.call(call.tool.tool.name, call.canonical)
        return Simulation(None, result.ok, result.response)

    prompt = "none"


def talking(*replies: Any) -> ModelAgent:
    """An agent with these turns, and nothing more to say than a point after them."""
    return model_agent([*replies, *["."] * 40])


async def episode_of(
    stage: Stage, tools: ResponseMap | None, agent: Any = None, faults: Faults | None = None
) -> Episode:
    cast = Cast(agent or scripted("reference", stage), facts_user(stage), tools=tools, faults=faults)
    return (await play(stage, cast, Limits())).episode


async def test_a_hybrid_world_with_a_truthful_simulator_is_worth_what_the_executable_one_is():
    truthful = Truthful()
    tools = ResponseMap(MemoryStore(), truthful)
    episode = await episode_of(STAGE, tools)
    assert episode.stop is Stop.USER_DONE
    found = score(STAGE, episode)
    assert isinstance(found, Scored)
    assert found.reward == 1.0
    assert [event.entry_id is not None for event in tools_in(episode.events)] == [True, True, False]
    assert truthful.calls == 2
    again = await episode_of(STAGE, tools)
    assert truthful.calls == 2
    assert [e.response for e in tools_in(again.events)] == [e.response for e in tools_in(episode.events)]


async def test_without_anybody_to_stand_in_the_episode_is_the_tools_failure_and_unscored():
    episode = await episode_of(STAGE, None)
    assert episode.stop is Stop.FAILED
    assert episode.failure is not None
    assert (episode.failure.blame, episode.failure.reason) == (Blame.TOOLS, "no_simulator")
    found = score(STAGE, episode)
    assert isinstance(found, Unscored)
    assert found.blame is Blame.TOOLS


async def test_a_simulator_that_fails_is_never_text_for_the_agent():
    seen: list[Any] = []

    def agent(request: Any) -> Any:
        seen.extend(request.messages)
        return calling(LOANS)

    tools = ResponseMap(MemoryStore(), Telling(ToolFailed("the secret trouble", reason="model:timeout")))
    episode = await episode_of(STAGE, tools, model_agent(agent))
    assert episode.failure is not None
    assert (episode.failure.blame, episode.failure.reason) == (Blame.TOOLS, "model:timeout")
    assert tools_in(episode.events) == []
    assert "trouble" not in str(seen)


def test_what_a_simulated_tool_depends_on_is_what_it_reads():
    with STAGE.blueprint.open() as world:
        loans, member = world.begin(LOANS[0], text_of(LOANS[1])), world.begin("find_member", '{"name":"Ada"}')
        world.call(RENEW[0], text_of(RENEW[1]))
        loans_after, member_after = (
            world.begin(LOANS[0], text_of(LOANS[1])),
            world.begin("find_member", '{"name":"Ada"}'),
        )
    for call in (loans, member, loans_after, member_after):
        assert isinstance(call, SimulatedCall)
    assert loans.state != loans_after.state  # type: ignore[union-attr]
    assert member.state == member_after.state  # type: ignore[union-attr]
    assert [m.state for m in loans_after.moments] == [loans.state, loans_after.state]  # type: ignore[union-attr]


def test_a_state_that_comes_back_is_the_same_state():
    def due(day: str) -> str:
        return text_of({"loan_id": "L-1", "new_due": day})

    with STAGE.blueprint.open() as world:
        first = world.begin(LOANS[0], text_of(LOANS[1]))
        world.call("renew_loan", due("2031-06-01"))
        world.call("renew_loan", due("2031-05-10"))
        back = world.begin(LOANS[0], text_of(LOANS[1]))
    assert isinstance(first, SimulatedCall)
    assert isinstance(back, SimulatedCall)
    assert back.state == first.state
    assert len(back.moments) == 2
    assert back.moments[-1].deeds == 2


def test_undeclared_tools_read_everything():
    stage = prepare(undeclared())
    with stage.blueprint.open() as world:
        before = world.begin("find_member", '{"name":"Ada"}')
        world.call(RENEW[0], text_of(RENEW[1]))
        after = world.begin("find_member", '{"name":"Ada"}')
    assert isinstance(before, SimulatedCall)
    assert isinstance(after, SimulatedCall)
    assert before.state != after.state
    assert set(after.rows) == {"members", "loans", "holds"}


@pytest.mark.parametrize("tools", [hybrid, undeclared])
def test_declarations_belong_to_the_worlds_identity(tools):
    assert tools().world_id != library().world_id
    assert hybrid().world_id != undeclared().world_id
    assert identified(tools()) == tools()


# ---- replay


@pytest.mark.parametrize("mode", ["state", "paper"])
async def test_an_episode_with_simulated_tools_is_scored_again_without_the_map(mode: MapMode):
    tools = babbling(MemoryStore(), mode)
    episode = await episode_of(STAGE, tools, talking(calling(LOANS, HOLD), calling(RENEW, LOANS), "Done."))
    final = replay(STAGE, episode)
    assert final.digest == episode.digest != STAGE.blueprint.digest
    assert score(STAGE, episode) == score(STAGE, episode, final)


async def test_aliases_replay_too():
    held = {"member_id": "M-1", "title": "The night ferry"}
    tools = ResponseMap(MemoryStore(), Telling("held", 1))
    first = await episode_of(STAGE, tools, talking(calling(HOLD), "Done."))
    second = await episode_of(STAGE, tools, talking(calling((HOLD[0], held)), "Done."))
    (alias,) = tools_in(second.events)
    assert alias.alias_of == tools_in(first.events)[0].entry_id
    assert first.digest == second.digest
    replay(STAGE, second)


@pytest.mark.parametrize(
    "forged",
    [
        {"response": '"something better"'},
        {"entry_id": "0" * 16},
        {"entry_id": None},
        {"ok": False},
        {"alias_of": "0" * 16},
    ],
)
async def test_a_changed_answer_of_a_simulated_tool_is_noticed(forged: dict[str, Any]):
    episode = await episode_of(STAGE, babbling(MemoryStore()), talking(calling(HOLD), "Done."))
    events = tuple(e.model_copy(update=forged) if isinstance(e, ToolEvent) else e for e in episode.events)
    with pytest.raises(ReplayMismatch):
        replay(STAGE, episode.model_copy(update={"events": events}))


async def test_an_answer_that_is_no_json_does_not_replay_though_its_id_fits():
    episode = await episode_of(STAGE, babbling(MemoryStore()), talking(calling(HOLD), "Done."))
    with STAGE.blueprint.open() as world:
        call = world.begin(HOLD[0], text_of(HOLD[1]))
    assert isinstance(call, SimulatedCall)
    forged = {"response": "no json", "entry_id": id_of(key_of(call), True, "no json")}
    events = tuple(e.model_copy(update=forged) if isinstance(e, ToolEvent) else e for e in episode.events)
    with pytest.raises(ReplayMismatch):
        replay(STAGE, episode.model_copy(update={"events": events}))


async def test_a_run_without_a_map_replays_what_is_stored():
    episode = await episode_of(STAGE, babbling(MemoryStore(), "none"), talking(calling(LOANS, LOANS, HOLD)))
    one, two, _ = tools_in(episode.events)
    assert one.response != two.response
    assert replay(STAGE, episode).digest == episode.digest


# ---- faults


def spree(*calls: Any) -> Any:
    return talking(*[calling(*calls)] * 6)


async def test_faults_are_off_by_default_and_visible_in_the_record_when_on():
    calm = await episode_of(TRUTH, None, spree(LOANS))
    assert {event.fault for event in tools_in(calm.events)} == {None}
    rough = await episode_of(TRUTH, None, spree(LOANS, RENEW), Faults(0.5, 1, "t", 0))
    struck = [event for event in tools_in(rough.events) if event.fault]
    assert 2 <= len(struck) <= 10
    for event in struck:
        assert (event.ok, event.error, event.changed) == (False, event.fault, False)
        assert orjson.loads(event.response)["error"]["type"] == event.fault
    assert rough.failure is None
    assert rough.malformed == 0


async def test_every_fault_leaves_the_state_alone_and_half_a_list_is_half_of_the_truth():
    episode = await episode_of(TRUTH, None, spree(LOANS, RENEW), Faults(1.0, 3, "t", 0))
    assert episode.digest == TRUTH.blueprint.digest
    by_kind = Counter(event.fault for event in tools_in(episode.events))
    assert set(by_kind) == set(FAULTS)
    partial = next(event for event in tools_in(episode.events) if event.fault == "partial_result")
    assert [row["loan_id"] for row in orjson.loads(partial.response)["partial"]] == ["L-1"]
    assert all(e.fault != "partial_result" for e in tools_in(episode.events) if e.tool == "renew_loan")


async def test_the_same_seed_task_and_sample_strike_alike_and_others_otherwise():
    def struck(faults: Faults) -> list[Any]:
        return [faults.strike(number, writes=False) for number in range(200)]

    assert struck(Faults(0.3, 1, "t", 0)) == struck(Faults(0.3, 1, "t", 0))
    others = [Faults(0.3, 2, "t", 0), Faults(0.3, 1, "u", 0), Faults(0.3, 1, "t", 1)]
    assert all(struck(other) != struck(Faults(0.3, 1, "t", 0)) for other in others)
    assert 40 <= sum(fault is not None for fault in struck(Faults(0.3, 1, "t", 0))) <= 80
    assert not any(struck(Faults(0.0, 1, "t", 0)))


async def test_the_hand_over_never_fails_and_neither_does_what_is_no_call():
    hand_over = ("transfer_to_human", {"summary": "x"})
    episode = await episode_of(TRUTH, None, spree(("find", {}), hand_over), Faults(1.0, 0, "t", 0))
    assert episode.stop is Stop.TRANSFERRED
    assert [event.fault for event in tools_in(episode.events)] == [None, None]


@pytest.mark.parametrize("stage", [TRUTH, STAGE])
async def test_an_episode_with_faults_replays(stage: Stage):
    tools = babbling(MemoryStore())
    episode = await episode_of(stage, tools, spree(LOANS, HOLD, RENEW), Faults(0.5, 5, "t", 0))
    assert any(event.fault for event in tools_in(episode.events))
    assert replay(stage, episode).digest == episode.digest


async def test_a_forged_fault_is_noticed():
    episode = await episode_of(TRUTH, None, spree(RENEW))
    events = tuple(
        e.model_copy(update={"fault": "timeout", "response": '{"error":{"type":"timeout","message":"x"}}'})
        if isinstance(e, ToolEvent) else e for e in episode.events
    )  # fmt: skip
    with pytest.raises(ReplayMismatch):
        replay(TRUTH, episode.model_copy(update={"events": events}))


ERROR = '{"type":"partial_result","message":"the result could not be read to its end; try again"}'
HALF = f'{{"error":{ERROR},"partial":[1]}}'


@pytest.mark.parametrize(
    "forged",
    [
        {"ok": True},
        {"ok": True, "error": None},
        {"error": "timeout"},
        {"changed": True},
        {"arguments": {"member_id": "M-2"}},
        {"response": HALF.replace("[1]", "[]")},
        {"response": HALF.replace("[1]", "{}")},
        {"response": HALF.replace("[1]", "[" * 300 + "]" * 300)},
        {"response": HALF.replace("try again", "it was all true")},
        {"response": HALF.replace("]}", '],"more":1}')},
        {"response": '[{"loan_id":"L-1"}]'},
        {"response": "no json"},
        {"response": "5"},
    ],
)
async def test_half_of_a_simulated_answer_must_look_like_one(forged: dict[str, Any]):
    rows = [{"loan_id": "L-1"}, {"loan_id": "L-2"}, {"loan_id": "L-3"}]
    tools = ResponseMap(MemoryStore(), Telling(rows))
    episode = await episode_of(STAGE, tools, spree(LOANS), Faults(1.0, 3, "t", 0))
    number, half = next(
        (number, event)
        for number, event in enumerate(episode.events)
        if isinstance(event, ToolEvent) and event.fault == "partial_result"
    )
    assert orjson.loads(half.response)["partial"] == rows[:1]
    replay(STAGE, episode)

    def with_half(changes: dict[str, Any]) -> Episode:
        events = (*episode.events[:number], half.model_copy(update=changes), *episode.events[number + 1 :])
        return episode.model_copy(update={"events": events})

    replay(STAGE, with_half({"response": HALF}))
    with pytest.raises(ReplayMismatch):
        replay(STAGE, with_half(forged))


async def test_a_fault_that_was_no_whole_list_replays_with_its_arguments_as_typed():
    tools = ResponseMap(MemoryStore(), Telling(*[["one"]] * 40))
    for stage in (STAGE, TRUTH):
        episode = await episode_of(stage, tools, spree(LOANS), Faults(1.0, 3, "t", 0))
        stored = Episode.model_validate_json(episode.model_dump_json())
        assert replay(stage, stored).digest == episode.digest
