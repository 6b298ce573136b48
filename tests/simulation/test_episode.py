"""The loop: who hears what under each protocol, what ends an episode, whose fault a failure is, and replaying."""

from typing import Any

import anyio
import anyio.lowlevel
import pytest

from synthagent.errors import Blame, EpisodeFailure, ModelFailed, TaskFault, UserFailed
from synthagent.llm.model import ChatReply, ContextOverflow
from synthagent.llm.scripted import calling
from synthagent.schema.episodes import AgentEvent, Episode, FormEvent, Limits, Stop, ToolEvent
from synthagent.schema.messages import Usage
from synthagent.schema.tasks import Step, Task, identified
from synthagent.simulation.agent import View
from synthagent.simulation.episode import ReplayMismatch, prepare, replay
from synthagent.simulation.scripted_agents import scripted
from synthagent.simulation.users import UserReply
from tests.builders import give, library, model_agent, played, replies_in, run, tools_in

STAGE = prepare(library())
LOANS = ("list_loans", {"member_id": "M-1"})
RENEW = ("renew_loan", {"loan_id": "L-1", "new_due": "2031-06-01"})
HAND_OVER = ("transfer_to_human", {"summary": "A member needs help."})


def with_programs(**programs: tuple[Step, ...]) -> Task:
    """The library with other programs behind some of its tools."""
    task = library()
    world = task.world.model_copy(update={"programs": {**task.world.programs, **programs}})
    return identified(task.model_copy(update={"world": world}))


def kinds(episode: Episode) -> str:
    """Which events there were, by their first letters."""
    return "".join(event.kind[0] for event in episode.events)


async def episode_of(*replies, **how) -> Episode:
    return (await played(STAGE, model_agent(replies), **how)).episode


# ---- who hears what


async def test_under_text_what_is_no_call_goes_to_the_user_and_the_answer_comes_back():
    agent = model_agent(["May I have your name?", calling(LOANS, content="Let me look."), "All done."])
    episode = (await played(STAGE, agent)).episode
    assert kinds(episode) == "auatau"
    assert [(event.message, event.text) for event in replies_in(episode.events)] == [
        ("May I have your name?", "I'm Ada Novak."),
        ("All done.", "Wonderful, thank you. That is all I needed."),
    ]
    assert episode.stop is Stop.USER_DONE
    assert episode.events[-2].answer is None


async def test_under_tools_the_user_is_a_tool_and_a_message_is_the_last_word():
    requests = []

    def answer(request):
        requests.append(list(request.messages))
        return [calling(("ask_user", {"question": "Your name?"})), calling(LOANS), "Done."][len(requests) - 1]

    episode = (await played(STAGE, model_agent(answer), protocol="tools")).episode
    assert kinds(episode) == "auata"
    assert requests[1][-1] == {"role": "tool", "tool_call_id": "call_0_0", "content": "I'm Ada Novak."}
    assert (episode.stop, episode.events[-1].answer) == (Stop.AGENT_FINAL, "Done.")
    assert [one.message for one in replies_in(episode.events)] == ["Your name?"]


async def test_under_tools_the_user_may_end_it_too():
    episode = await episode_of(
        calling(("ask_user", {"question": "Your loan has been renewed."}), LOANS), protocol="tools"
    )
    assert episode.stop is Stop.USER_DONE
    assert tools_in(episode.events) == []


async def test_under_tags_questions_go_to_the_user_and_an_answer_ends():
    episode = await episode_of(
        "<question>Your name?</question>", calling(LOANS), "Hm.", "<answer>Done.</answer>", protocol="tags"
    )
    assert kinds(episode) == "auatafa"
    assert (episode.stop, episode.events[-1].answer, episode.malformed) == (Stop.AGENT_FINAL, "Done.", 1)
    assert episode.events[1].message == "Your name?"


async def test_a_malformed_turn_is_answered_with_what_was_expected():
    seen = []

    def answer(request):
        seen.append(request.messages[-1])
        return "Hm." if len(seen) == 1 else "<answer>Done.</answer>"

    await played(STAGE, model_agent(answer), protocol="tags")
    assert seen[1]["role"] == "user"
    assert seen[1]["content"].startswith("error: expected a tool call, <question>")


async def test_calls_of_a_malformed_turn_do_not_run_and_each_is_told_so():
    seen = []

    def answer(request):
        seen.append(list(request.messages))
        both = ChatReply("<question>Who?</question>", calling(RENEW, LOANS).tool_calls)
        return both if len(seen) == 1 else "<answer>Done.</answer>"

    result = await played(STAGE, model_agent(answer), protocol="tags")
    assert tools_in(result.episode.events) == []
    assert result.final.digest == STAGE.blueprint.digest
    assert [(one["role"], one["tool_call_id"]) for one in seen[1][-2:]] == [("tool", "call_0_0"), ("tool", "call_0_1")]


@pytest.mark.parametrize("arguments", ["{", "{}", '{"question": 5}', '{"question": " "}', "[]"])
async def test_ask_user_without_a_question_is_malformed_and_the_user_hears_nothing(arguments):
    episode = await episode_of(calling(("ask_user", arguments)), "Bye.", protocol="tools")
    assert (kinds(episode), episode.malformed) == ("afa", 1)


async def test_ask_user_is_no_tool_where_one_simply_speaks():
    episode = await episode_of(calling(("ask_user", {"question": "Who?"})), "Done.")
    (event,) = tools_in(episode.events)
    assert (event.error, episode.malformed) == ("unknown_tool", 1)


# ---- calls


async def test_calls_of_one_turn_run_in_their_order_each_for_itself():
    late = ("renew_loan", {"loan_id": "L-1", "new_due": "2030-01-01"})
    episode = await episode_of(calling(RENEW, late, LOANS), "Done.")
    events = tools_in(episode.events)
    assert [(event.tool, event.ok, event.error, event.changed) for event in events] == [
        ("renew_loan", True, None, True),
        ("renew_loan", False, "precondition", False),
        ("list_loans", True, None, False),
    ]
    assert '"due":"2031-06-01"' in events[2].response
    assert episode.malformed == 0


async def test_a_call_is_recorded_with_its_typed_arguments_and_the_bytes_the_agent_got():
    seen = []

    def answer(request):
        seen.append(request.messages[-1])
        return calling(LOANS) if len(seen) == 1 else "Done."

    episode = (await played(STAGE, model_agent(answer))).episode
    (event,) = tools_in(episode.events)
    assert event.arguments == {"member_id": "M-1"}
    assert seen[1] == {"role": "tool", "tool_call_id": event.call_id, "content": event.response}


async def test_a_transfer_ends_the_episode_and_what_comes_after_it_does_not_run():
    result = await played(STAGE, model_agent([calling(LOANS, HAND_OVER, RENEW, LOANS)]))
    assert (result.episode.stop, kinds(result.episode)) == (Stop.TRANSFERRED, "attf")
    assert result.episode.events[-1] == FormEvent(error="2 further calls came after the end and did not run")
    assert result.final.digest == STAGE.blueprint.digest
    assert result.episode.malformed == 0


async def test_a_transfer_that_fails_ends_nothing():
    episode = await episode_of(calling(("transfer_to_human", {})), "Done.")
    assert (episode.stop, episode.malformed) == (Stop.USER_DONE, 1)


async def test_the_final_state_and_its_digest_are_those_of_the_world_played():
    result = await played(STAGE, model_agent([calling(RENEW), "Done."]))
    assert result.episode.digest == result.final.digest != STAGE.blueprint.digest
    (change,) = result.final.changes(STAGE.blueprint)
    assert (change.table, change.key, change.columns) == ("loans", ("L-1",), ("due",))
    again = await played(STAGE, model_agent(["Done."]))
    assert again.final.changes(STAGE.blueprint) == []


# ---- limits


@pytest.mark.parametrize("protocol", ["text", "tools"])
async def test_an_episode_ends_after_its_turns(protocol):
    episode = await episode_of(*[calling(LOANS)] * 3, protocol=protocol, limits=Limits(turns=3))
    assert (episode.stop, episode.turns, len(tools_in(episode.events)), episode.failure) == (
        Stop.TURN_LIMIT,
        3,
        3,
        None,
    )


async def test_an_episode_ends_after_its_tokens():
    spent = ChatReply("Hm.", usage=Usage(prompt=1000, completion=40))
    episode = await episode_of(spent, spent, spent, limits=Limits(tokens=80))
    assert (episode.stop, episode.turns, episode.usage) == (Stop.TOKEN_LIMIT, 2, Usage(prompt=2000, completion=80))


@pytest.mark.parametrize("error", ["{", '{"member_id": 1}'])
async def test_an_episode_ends_after_too_many_malformed_calls(error):
    episode = await episode_of(*[calling(("list_loans", error))] * 5, limits=Limits(malformed=3))
    assert (episode.stop, episode.malformed, episode.turns) == (Stop.MALFORMED_LIMIT, 3, 3)


async def test_an_episode_ends_after_too_many_failed_calls_of_whatever_kind():
    lost = ("list_loans", {"member_id": "M-9"})
    turns = [calling(lost), calling(("fly", {})), calling(LOANS), calling(lost), "Done."]
    episode = await episode_of(*turns, limits=Limits(errors=3))
    assert (episode.stop, episode.turns, episode.malformed) == (Stop.ERROR_LIMIT, 4, 1)


async def test_unknown_tools_and_empty_turns_are_malformed_but_failed_preconditions_are_not():
    lost = ("list_loans", {"member_id": "M-9"})
    episode = await episode_of(calling(("fly", {})), "", calling(lost, lost, lost), "Done.", limits=Limits(malformed=3))
    assert (episode.stop, episode.malformed) == (Stop.USER_DONE, 2)


async def test_who_ends_in_the_last_turn_has_ended():
    episode = await episode_of(calling(LOANS), "Done.", limits=Limits(turns=2))
    assert episode.stop is Stop.USER_DONE


# ---- failures


class Sleeper:
    name = "sleeper"

    async def act(self, view: View):
        await anyio.sleep_forever()

    async def reply(self, message: str):
        await anyio.sleep_forever()


class Lost:
    """A user simulator that breaks."""

    name = "lost"

    async def reply(self, message: str) -> UserReply:
        raise UserFailed("the user's model made up a fact", reason="invented")


async def test_a_time_limit_is_infrastructure_and_keeps_what_happened():
    agent = model_agent([calling(RENEW), "What is your name?"])
    result = await played(STAGE, agent, user=Sleeper(), limits=Limits(seconds=0.05))
    episode = result.episode
    assert (episode.stop, episode.failure.blame, episode.failure.reason) == (
        Stop.TIME_LIMIT,
        Blame.INFRASTRUCTURE,
        "time_limit",
    )
    assert kinds(episode) == "ata"
    assert len(result.final.changes(STAGE.blueprint)) == 1
    asleep = (await played(STAGE, Sleeper(), limits=Limits(seconds=0.05))).episode
    assert (asleep.stop, asleep.turns) == (Stop.TIME_LIMIT, 0)


async def test_a_model_that_fails_is_infrastructure():
    episode = await episode_of(calling(LOANS), ModelFailed("no answer", reason="timeout"))
    assert (episode.stop, episode.failure.blame, episode.failure.reason) == (
        Stop.FAILED,
        Blame.INFRASTRUCTURE,
        "timeout",
    )
    assert episode.failure.detail == "no answer"


async def test_a_user_that_fails_is_to_blame():
    episode = await episode_of("What is your name?", user=Lost())
    assert (episode.stop, episode.failure.blame, episode.failure.reason) == (Stop.FAILED, Blame.USER, "invented")
    assert (kinds(episode), episode.user) == ("a", "lost")


async def test_a_task_that_fails_is_to_blame():
    stage = prepare(with_programs(list_loans=(give("SELECT 1 AS loan_id"),)))
    episode = (await played(stage, model_agent([calling(LOANS)]))).episode
    assert (episode.stop, episode.failure.blame, episode.failure.reason) == (Stop.FAILED, Blame.TASK, "outputs")


async def test_a_state_that_cannot_be_read_is_the_tasks_fault():
    spoiled = (run("UPDATE loans SET title = json_extract(:title, '$')"), give("SELECT 'x'", "value"))
    stage = prepare(with_programs(place_hold=spoiled))
    arguments = {"member_id": "M-1", "title": '"\\ud800"'}
    result = await played(stage, model_agent([calling(("place_hold", arguments)), "Done."]))
    assert (result.episode.stop, result.episode.failure.blame) == (Stop.FAILED, Blame.TASK)
    assert result.episode.digest == stage.blueprint.digest == result.final.digest


async def test_a_conversation_that_no_longer_fits_is_the_agents_and_is_scored_as_it_stands():
    episode = await episode_of(calling(LOANS), ContextOverflow("8,192 tokens"))
    assert (episode.stop, episode.failure, episode.turns) == (Stop.TOKEN_LIMIT, None, 1)


async def test_a_bug_of_ours_is_not_swallowed():
    with pytest.raises(ZeroDivisionError):
        await episode_of(ZeroDivisionError())


async def test_a_failed_episode_leaves_the_world_clean_for_the_next():
    for _ in range(3):
        await episode_of(calling(RENEW), ModelFailed("gone"))
        with STAGE.blueprint.open() as world:
            assert world.digest == STAGE.blueprint.digest
            assert world.call("list_loans", '{"member_id": "M-1"}').value[0]["due"] == "2031-05-10"


async def test_episodes_played_at_once_do_not_meet():
    results = {}

    async def one(number: int) -> None:
        due = f"2031-06-{number + 10}"

        async def answer(request):
            await anyio.lowlevel.checkpoint()
            done = sum(message["role"] == "assistant" for message in request.messages)
            return [calling(("renew_loan", {"loan_id": "L-1", "new_due": due})), calling(LOANS), "Done."][done]

        results[due] = (await played(STAGE, model_agent(answer))).episode

    async with anyio.create_task_group() as group:
        for number in range(8):
            group.start_soon(one, number)
    for due, episode in results.items():
        assert f'"due":"{due}"' in tools_in(episode.events)[1].response
    assert len({episode.digest for episode in results.values()}) == 8


# ---- playing again


async def reference(protocol: str = "text") -> Episode:
    return (await played(STAGE, scripted("reference", STAGE), protocol=protocol)).episode


@pytest.mark.parametrize("protocol", ["text", "tools", "tags"])
async def test_a_stored_episode_replays_to_the_same_state(protocol):
    episode = await reference(protocol)
    stored = Episode.model_validate_json(episode.model_dump_json())
    assert stored == episode
    assert replay(STAGE, stored).digest == episode.digest
    assert replay(prepare(library()), stored).digest == episode.digest


async def test_the_same_agent_plays_the_same_episode_but_for_the_time():
    one, two = [(await reference()).model_dump(exclude={"started", "seconds"}) for _ in range(2)]
    for episode in (one, two):
        for event in episode["events"]:
            event.pop("seconds", None)
    assert one == two


def changed(episode: Episode, number: int, **update) -> Episode:
    events = list(episode.events)
    events[number] = events[number].model_copy(update=update)
    return episode.model_copy(update={"events": tuple(events)})


async def test_a_response_that_comes_out_differently_is_a_mismatch():
    episode = await reference()
    number = next(i for i, event in enumerate(episode.events) if isinstance(event, ToolEvent))
    with pytest.raises(ReplayMismatch, match=f"event {number}: find_member answers differently now"):
        replay(STAGE, changed(episode, number, response="[]"))


@pytest.mark.parametrize(
    "update",
    [{"ok": False}, {"error": "limit"}, {"changed": True}, {"arguments": {"name": "Eve"}}, {"arguments": None}],
)
async def test_whatever_a_score_may_look_at_is_compared_and_not_just_the_response(update: dict[str, Any]):
    episode = await reference()
    number = next(i for i, event in enumerate(episode.events) if isinstance(event, ToolEvent))
    with pytest.raises(ReplayMismatch, match=f"event {number}: find_member answers differently now"):
        replay(STAGE, changed(episode, number, **update))


async def test_an_answer_without_its_call_is_a_mismatch():
    episode = await reference()
    number = next(i for i, event in enumerate(episode.events) if isinstance(event, AgentEvent) and event.calls)
    with pytest.raises(ReplayMismatch, match=f"event {number + 1}: no turn made this call"):
        replay(STAGE, changed(episode, number, calls=()))
    with pytest.raises(ReplayMismatch, match="no turn made this call"):
        replay(STAGE, changed(episode, number + 1, tool="list_loans"))


async def test_another_state_than_the_stored_one_is_a_mismatch():
    episode = await reference()
    with pytest.raises(ReplayMismatch, match="the final state differs"):
        replay(STAGE, episode.model_copy(update={"digest": STAGE.blueprint.digest}))


async def test_another_program_is_a_mismatch_and_the_fault_of_no_player():
    episode = await reference()
    sloppy = (run("UPDATE loans SET due = :new_due"), give("SELECT loan_id, due FROM loans", "row"))
    stage = prepare(with_programs(renew_loan=sloppy))
    with pytest.raises(ReplayMismatch) as caught:
        replay(stage, episode)
    assert isinstance(caught.value, EpisodeFailure)
    assert caught.value.blame is Blame.INFRASTRUCTURE
    with STAGE.blueprint.open() as world:
        assert world.digest == STAGE.blueprint.digest


async def test_equal_calls_in_one_turn_replay_in_their_order():
    hold = ("place_hold", {"member_id": "M-1", "title": "Night Ferry"})
    episode = await episode_of(calling(hold, hold), "Done.")
    assert [event.ok for event in tools_in(episode.events)] == [True, False]
    assert replay(STAGE, episode).digest == episode.digest


def test_a_task_whose_world_does_not_compile_cannot_be_prepared():
    with pytest.raises(TaskFault, match=r"world\.programs\.list_loans\.0: no such table: gone"):
        prepare(with_programs(list_loans=(give("SELECT * FROM gone"),)))
