"""The double that everybody's tests talk to."""

import asyncio

import pytest

from synthagent.errors import InputError, ModelFailed
from synthagent.llm.model import ChatModel, ChatReply, ChatRequest
from synthagent.llm.scripted import Scripted, calling


async def test_it_says_its_lines_in_order_and_remembers_what_it_was_asked():
    model: ChatModel = (double := Scripted(["one", ChatReply("two"), calling(("go", {"to": "Rome"}))], name="extra"))
    history = [{"role": "user", "content": "hi"}]
    for expected in ("one", "two"):
        reply = await model.complete(ChatRequest(history))
        assert reply.content == expected
        history.append({"role": "assistant", "content": reply.content})
    (call,) = (await model.complete(ChatRequest(history, seed=3))).tool_calls
    assert (call.name, call.arguments) == ("go", '{"to":"Rome"}')
    assert [len(request.messages) for request in double.requests] == [1, 2, 3]
    assert double.requests[2].seed == 3


async def test_a_script_that_is_too_short_is_its_authors_mistake():
    model = Scripted(["only"])
    await model.complete(ChatRequest([]))
    with pytest.raises(InputError, match="no reply left"):
        await model.complete(ChatRequest([]))


async def test_a_line_may_be_a_failure():
    with pytest.raises(ModelFailed):
        await Scripted([ModelFailed("down")]).complete(ChatRequest([]))


async def test_a_function_may_answer_now_or_later():
    async def later(request: ChatRequest) -> str:
        await asyncio.sleep(0)
        return f"later: {request.seed}"

    assert (
        await Scripted(lambda request: f"now: {request.seed}").complete(ChatRequest([], seed=1))
    ).content == "now: 1"
    assert (await Scripted(later).complete(ChatRequest([], seed=2))).content == "later: 2"


async def test_it_notes_that_it_was_closed():
    model = Scripted([])
    await model.aclose()
    assert model.closed
