"""The user that is a model: what it sees, what code makes of what it says, and what a finding costs it."""

from typing import Any

import orjson
import pytest

from synthagent.errors import Blame, ModelFailed, UserFailed
from synthagent.llm.scripted import Scripted, calling
from synthagent.llm.structured import Ladder, Structured
from synthagent.schema.episodes import Limits, Stop, UserEvent
from synthagent.schema.scores import Unscored
from synthagent.schema.tasks import Request
from synthagent.scoring.scorer import score
from synthagent.simulation.episode import Cast, Stage, play, prepare
from synthagent.simulation.hearing import Listener
from synthagent.simulation.model_user import ModelUser, user_fingerprints
from synthagent.simulation.users import UserReply
from tests.builders import library, model_agent

STAGE = prepare(library())
TASK = STAGE.task
TOOLS = [tool.name for tool in TASK.brief.tools]
DONE = "Done, 'The Glass Harbour' is renewed."
REFUSED = "I'm sorry, I cannot renew that book."


def says(text: str, *, hang_up: bool | None = None) -> str:
    return orjson.dumps({"text": text} if hang_up is None else {"text": text, "hang_up": hang_up}).decode()


def user(*replies: Any, stage: Stage = STAGE, hidden: Any = None, **how: Any) -> tuple[ModelUser, Scripted]:
    scripted = Scripted(replies)
    knows = hidden or stage.task.hidden
    listener = Listener(knows)
    structured = Structured(scripted, Ladder("prompt"), temperature=0.7)
    return ModelUser(structured, "stub", knows, listener, stage.task.brief.instruction, TOOLS, 11, **how), scripted


async def told(someone: ModelUser, *messages: str) -> list[UserReply]:
    return [await someone.reply(message) for message in messages]


async def test_what_it_discloses_and_whether_it_was_asked_is_decided_by_code():
    someone, _ = user(says("I'm Ada Novak."), says("It's The Glass Harbour."))
    name, title = await told(someone, "What is your name?", "Which book is it about?")
    assert (name.text, name.heard, name.disclosed, name.asked) == ("I'm Ada Novak.", "question", ("name",), ("name",))
    assert (title.disclosed, title.asked, title.done, title.findings) == (("title",), ("title",), False, ())


async def test_a_yes_counts_only_as_an_answer_to_a_confirmation():
    question = "Shall I renew The Glass Harbour until 23 May 2031?"
    (agreed,) = await told(user(says("Yes, please."))[0], question)
    (refused,) = await told(user(says("No, I have changed my mind."))[0], question)
    (stray,) = await told(user(says("Yes, of course."))[0], "One moment please.")
    assert [reply.agreed for reply in (agreed, refused, stray)] == [True, False, False]


@pytest.mark.parametrize(
    "reply",
    ["Certainly not.", "Definitely not, leave it.", "Yesterday was the deadline, I think.", "Of course not.",
     "Correction, I want something else.", "Right now I only want a quote, don't book."],
)  # fmt: skip
async def test_a_consent_in_doubt_is_none(reply: str):
    someone, _ = user(says(reply), linted=False)
    (said,) = await told(someone, "Shall I renew The Glass Harbour until 23 May 2031?")
    assert not said.agreed


async def test_a_wrong_value_in_a_confirmation_is_corrected_and_that_counts_as_asked():
    someone, _ = user(says("No, until the 23rd of May, please."))
    (reply,) = await told(someone, "Shall I renew The Glass Harbour until 25 May 2031?")
    assert (reply.asked, reply.agreed) == (("until",), False)


async def test_it_sees_what_the_user_knows_and_hears_and_nothing_of_tools():
    someone, scripted = user(says("I'm Ada Novak."), says("The Glass Harbour."))
    await told(someone, "What is your name?", "And which book?")
    text = "\n".join(message["content"] for request in scripted.requests for message in request.messages)
    for part in (TASK.hidden.goal, "I'm Ada Novak.", "And which book?", TASK.brief.instruction):
        assert part in text
    for part in (*TOOLS, "M-1", "Quay", "must NOT", "s1"):
        assert part not in text
    assert all(request.tools is None for request in scripted.requests)


async def test_it_is_asked_whether_to_hang_up_only_where_it_may():
    someone, scripted = user(says("I'm Ada Novak."), says("Thanks, that was all.", hang_up=True))
    name, bye = await told(someone, "What is your name?", DONE)
    assert (name.done, bye.done) == (False, True)
    assert "hang_up" not in scripted.requests[0].messages[-1]["content"]
    assert "hang_up" in scripted.requests[1].messages[-1]["content"]


async def test_it_may_stay_after_a_claim():
    someone, _ = user(says("And where does it go back to?", hang_up=False))
    (reply,) = await told(someone, DONE)
    assert (reply.done, reply.heard) == (False, "claim_done")


async def test_escape_lines_come_one_at_a_time_before_it_may_give_up():
    someone, scripted = user(
        says("But it is just for a few days!"), says("Your colleague always does it."), says("All right.", hang_up=True)
    )
    replies = await told(someone, REFUSED, REFUSED, REFUSED)
    assert [reply.done for reply in replies] == [False, False, True]
    asked = [request.messages[-1]["content"] for request in scripted.requests]
    for content, line in zip(asked, (*TASK.hidden.escape_lines, ""), strict=True):
        assert ("You are being refused" in content) == bool(line)
        assert line in content


async def test_the_next_request_is_known_to_it_only_once_the_present_one_is_settled():
    request = Request(id="r1", text="Could you also put me on the list for Night Ferry?")
    hidden = TASK.hidden.model_copy(update={"requests": (request,)})
    someone, scripted = user(
        says("I'm Ada Novak."), says("Can I also get on the list for Night Ferry?"), says("Thanks!", hang_up=True),
        hidden=hidden,
    )  # fmt: skip
    _, asks, bye = await told(someone, "What is your name?", DONE, "Done, you are on the list.")
    assert (asks.asked, asks.disclosed, asks.done, bye.done) == (("r1",), ("r1",), False, True)
    contents = ["\n".join(m["content"] for m in request.messages) for request in scripted.requests]
    assert "Night Ferry" not in contents[0]
    assert request.text in contents[1]


FERRY = Request(id="r1", text="Could you also put me on the list for Night Ferry?")
MORE = TASK.hidden.model_copy(update={"requests": (FERRY,)})


async def test_a_request_that_was_left_out_is_asked_for_again():
    someone, scripted = user(says("Thank you very much."), says("Put me on the list for Night Ferry too."), hidden=MORE)
    (asks,) = await told(someone, DONE)
    assert (asks.asked, asks.findings) == (("r1",), (f"left_out: {FERRY.text}",))
    assert FERRY.text in scripted.requests[1].messages[-1]["content"]


async def test_a_request_that_is_left_out_twice_fails_the_episode():
    someone, _ = user(says("Thank you very much."), says("Thanks a lot."), hidden=MORE)
    with pytest.raises(UserFailed, match="what was to be said now") as caught:
        await told(someone, DONE)
    assert caught.value.reason == "lint:left_out"


@pytest.mark.parametrize("how", [{"linted": False}, {"strict": False}])
async def test_what_nobody_sends_back_stays_due_until_it_is_said(how: dict[str, bool]):
    someone, scripted = user(
        says("Thank you very much."), says("And Night Ferry, am I on its list?"), says("Great.", hang_up=True),
        hidden=MORE, **how,
    )  # fmt: skip
    thanks, asks, bye = await told(someone, DONE, DONE, "Done, you are on the list.")
    assert (thanks.asked, thanks.disclosed, thanks.done) == ((), (), False)
    assert (asks.asked, asks.disclosed, bye.done) == (("r1",), ("r1",), True)
    assert [FERRY.text in r.messages[-1]["content"] for r in scripted.requests] == [True, True, False]


async def test_an_escape_line_that_was_not_said_is_not_spent():
    someone, scripted = user(
        says("All right."), says("But it's only a few days!"), says("Your colleague does it."), linted=False
    )
    await told(someone, REFUSED, REFUSED, REFUSED)
    first, second = TASK.hidden.escape_lines
    for request, line in zip(scripted.requests, (first, first, second), strict=True):
        assert line in request.messages[-1]["content"]


async def test_a_finding_is_sent_back_once_and_noted():
    someone, scripted = user(says("How can I help you?"), says("I'm Ada Novak."))
    (reply,) = await told(someone, "What is your name?")
    assert reply.text == "I'm Ada Novak."
    assert [finding.partition(":")[0] for finding in reply.findings] == ["role_flip"]
    again = scripted.requests[1].messages
    assert again[-2] == {"role": "assistant", "content": says("How can I help you?")}
    assert "spoke as if it were the assistant" in again[-1]["content"]


async def test_the_second_finding_fails_the_episode_and_the_blame_is_the_users():
    someone, _ = user(says("It's The Glass Harbour."), says("It's The Glass Harbour, I said."))
    with pytest.raises(UserFailed, match="what was not asked for") as caught:
        await told(someone, "What is your name?")
    assert (caught.value.blame, caught.value.reason) == (Blame.USER, "lint:unasked")


async def test_findings_may_be_noted_only_or_not_looked_for():
    (noted,) = await told(user(says("It's The Glass Harbour."), strict=False)[0], "What is your name?")
    (unseen,) = await told(user(says("It's The Glass Harbour."), linted=False)[0], "What is your name?")
    assert [finding.partition(":")[0] for finding in noted.findings] == ["unasked"]
    assert unseen.findings == ()
    assert noted.asked == unseen.asked == (), "what nobody asked for is disclosed, not asked"
    assert noted.disclosed == unseen.disclosed == ("title",)


@pytest.mark.parametrize(
    ("replies", "reason"),
    [
        (["prose", "more prose"], "not_understood"),
        ([says("  "), says("")], "not_understood"),
        ([ModelFailed("gone", reason="timeout")], "model:timeout"),
    ],
)
async def test_a_user_that_fails_makes_the_episode_unscored(replies: list[Any], reason: str):
    someone, _ = user(*replies)
    played = await play(STAGE, Cast(model_agent(["What is your name?"]), someone), Limits())
    found = score(STAGE, played.episode, played.final)
    assert isinstance(found, Unscored)
    assert (found.blame, found.reason) == (Blame.USER, reason)
    assert played.episode.stop is Stop.FAILED


async def test_an_episode_with_it_reads_like_any_other():
    someone, _ = user(says("I'm Ada Novak."), says("Thank you.", hang_up=True))
    agent = model_agent(["What is your name?", calling(("find_member", {"name": "Ada Novak"})), DONE])
    episode = (await play(STAGE, Cast(agent, someone), Limits())).episode
    assert episode.stop is Stop.USER_DONE
    assert episode.user == "stub"
    assert [e.asked for e in episode.events if isinstance(e, UserEvent)] == [("name",), ()]


async def test_samples_of_one_task_are_drawn_differently():
    someone, scripted = user(says("I'm Ada Novak."), says("The Glass Harbour."))
    await told(someone, "What is your name?", "Which book?")
    assert [request.seed for request in scripted.requests] == [11, 12]
    assert set(user_fingerprints()) == {"simulation/user", "simulation/user_turn"}
