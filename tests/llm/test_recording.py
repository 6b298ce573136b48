"""Exchanges are kept as they were, and played back."""

import pytest

from synthagent.errors import InputError, ModelFailed
from synthagent.llm.model import ChatReply, ChatRequest, ContextOverflow
from synthagent.llm.recording import Exchange, Replayed, exchanges, recorded
from synthagent.llm.scripted import Scripted, calling
from synthagent.schema.messages import Usage
from synthagent.schema.record import dump


def ask(text, **how):
    return ChatRequest([{"role": "user", "content": text}], **how)


async def test_what_was_recorded_is_played_back_in_order_failures_too():
    said = [ChatReply("one", usage=Usage(prompt=1, completion=2)), ChatReply("two"), calling(("find", {"x": 1}))]
    kept: list[Exchange] = []
    model = recorded(Scripted([*said, ModelFailed("broken", reason="http_500")]), kept.append)
    requests = [ask("a", stage="s"), ask("a"), ask("b", extra={"top_p": 0.5}), ask("c")]
    for request in requests[:3]:
        await model.complete(request)
    with pytest.raises(ModelFailed):
        await model.complete(requests[3])

    lines = [dump(exchange) for exchange in kept]
    again = Replayed(exchanges(lines, "file"), "scripted")
    for request, reply in zip(requests[:3], said, strict=True):
        assert await again.complete(request) == reply
    with pytest.raises(ModelFailed, match="broken") as caught:
        await again.complete(requests[3])
    assert caught.value.reason == "http_500"
    assert kept[0].stage == "s"
    assert kept[2].parameters["top_p"] == 0.5


async def test_what_was_never_asked_or_not_so_often_is_told_with_its_stage():
    kept: list[Exchange] = []
    await recorded(Scripted(["x"]), kept.append).complete(ask("a"))
    again = Replayed(kept, "scripted")
    await again.complete(ask("a"))
    for request in (ask("a", stage="world"), ask("b", stage="world")):
        with pytest.raises(InputError, match="no \\(further\\) answer to this request of stage 'world'"):
            await again.complete(request)


async def test_a_conversation_that_was_too_long_is_so_again():
    kept: list[Exchange] = []
    with pytest.raises(ContextOverflow):
        await recorded(Scripted([ContextOverflow("too long")]), kept.append).complete(ask("a"))
    with pytest.raises(ContextOverflow, match="too long"):
        await Replayed(kept, "scripted").complete(ask("a"))


async def test_every_parameter_that_was_given_is_kept():
    kept: list[Exchange] = []
    given = {"temperature": 0.5, "max_tokens": 9, "seed": 3, "stop": ["x"], "sample": 2}
    await recorded(Scripted(["x"]), kept.append).complete(ask("a", **given, extra={"top_p": 0.5}))
    assert kept[0].parameters == {**given, "top_p": 0.5}


async def test_what_was_asked_is_kept_as_it_was_then():
    kept: list[Exchange] = []
    history = [{"role": "user", "content": "a"}]
    await recorded(Scripted(["x"]), kept.append).complete(ChatRequest(history))
    history.append({"role": "user", "content": "later"})
    assert len(kept[0].messages) == 1


def test_a_line_that_is_no_exchange_is_told_with_file_line_and_field():
    with pytest.raises(InputError, match=r"calls\.jsonl:1: messages: Field required"):
        list(exchanges([{"key": "k", "model": "m"}], "calls.jsonl"))
