"""A model is asked for a type and gives one, whatever its server can or cannot do; or says what it could not."""

import math

import orjson
import pytest

from synthagent.errors import ModelFailed
from synthagent.llm.model import ChatReply, TransientFailure
from synthagent.llm.openai import OpenAIChat
from synthagent.llm.retrying import Backoff, retried
from synthagent.llm.scripted import Scripted, calling
from synthagent.llm.structured import RUNGS, Ladder, NotUnderstood, Structured
from synthagent.llm.stub import Misbehave, StubServer
from synthagent.schema.record import Record

PROBED = '{"answer": ["zebra-47", "zebra-47"]}'
GOOD = '{"name": "Ada", "age": 36}'
ASK = [{"role": "user", "content": "Who?"}]


class Person(Record):
    """Somebody."""

    name: str
    age: int


def server(supports, answers):
    """A handler that honours one rung (or none) and otherwise chats; `answers` in order for what is no probe."""
    left = iter(answers)

    def handle(body):
        probing = body["messages"][-1]["content"].startswith("Say good morning")
        asked = rung_of(body)
        if asked not in (supports, "prompt"):
            return Misbehave(400, body={"error": {"message": f"unknown parameter: {asked}"}})
        if probing:
            return PROBED if supports not in ("json_object",) else "{}"
        return next(left)

    return handle


def rung_of(body):
    kind = (body.get("response_format") or {}).get("type")
    if kind:
        return kind
    named = {"structured_outputs": "structured_outputs", "guided_json": "guided_json", "json_schema": "grammar",
             "format": "format"}  # fmt: skip
    return next((rung for key, rung in named.items() if key in body), "prompt")


async def asked(handler, **how):
    stub = StubServer(handler)
    async with stub as url:
        model = OpenAIChat("m", url)
        structured = Structured(model)
        try:
            return await structured.ask(ASK, Person, stage="who", **how), structured, stub
        finally:
            await model.aclose()


@pytest.mark.parametrize("rung", RUNGS)
async def test_each_way_of_making_a_schema_known_is_found_by_trying(rung):
    found, structured, stub = await asked(server(rung, [GOOD]))
    assert (found.value, found.rung, found.turns, found.mended) == (Person(name="Ada", age=36), rung, 1, False)
    assert structured.ladder.rung == rung
    assert [name for name, _ in structured.ladder.tried] == list(RUNGS[: RUNGS.index(rung) + 1])
    last = stub.seen[-1].body
    told = "JSON Schema" in last["messages"][0]["content"]
    assert told == (rung in ("json_object", "prompt")), (
        "the schema is in the conversation only where nothing else has it"
    )
    assert "tools" not in last


async def test_a_server_that_ignores_the_schema_is_not_believed():
    def handle(body):
        return "Good morning to you!" if body["messages"][-1]["content"].startswith("Say good") else GOOD

    found, structured, _ = await asked(handle)
    assert found.rung == "prompt"
    assert all("ignored" in outcome for _, outcome in structured.ladder.tried[:-1])


async def test_the_endpoint_is_probed_once_for_all_who_ask():
    model = Scripted(lambda request: PROBED if request.stage == "probe" else GOOD)
    ladder = Ladder()
    for _ in range(3):
        await Structured(model, ladder).ask(ASK, Person, stage="who")
    assert [request.stage for request in model.requests] == ["probe", "who", "who", "who"]


async def test_a_server_that_fails_open_later_is_caught_by_validation():
    found, _, stub = await asked(server("json_schema", ['{"name": "Ada", "age": "many"}', GOOD]))
    assert found.turns == 2
    told = stub.seen[-1].body["messages"][-1]["content"]
    assert "age: Input should be a valid integer" in told


async def test_a_schema_that_is_refused_later_costs_a_rung_and_is_told():
    calls = []

    def handle(body):
        calls.append(rung_of(body))
        if body["messages"][-1]["content"].startswith("Say good"):
            return PROBED
        return Misbehave(400, body={"error": {"message": "schema too complex"}}) if calls[-1] == "json_schema" else GOOD

    found, structured, _ = await asked(handle)
    assert found.rung == "json_object"
    assert len(structured.ladder.downgrades) == 1
    assert "schema too complex" in structured.ladder.downgrades[0]


@pytest.mark.parametrize(
    ("text", "mended"),
    [
        (f"```json\n{GOOD}\n```", False),
        (f"Sure, here you are:\n\n{GOOD}\n\nAnything else?", False),
        (f"<think>A person, {{so}} ...</think>{GOOD}", False),
        ('{"person": {"name": "Ada", "age": 36}}', False),
        ('{"name": "Ada", "age": 36, "mood": "fine", "more": {"x": 1}}', False),
        ("{'name': 'Ada', 'age': 36,}", True),
    ],
)
async def test_what_a_model_plainly_means_is_taken(text, mended):
    model = Scripted(lambda request: PROBED if request.stage == "probe" else text)
    found = await Structured(model).ask(ASK, Person, stage="who")
    assert (found.value, found.mended, found.turns) == (Person(name="Ada", age=36), mended, 1)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("I would rather not.", "holds no JSON object"),
        ("", "the reply is empty"),
        ('{"name": "Ada"}', "age: Field required"),
        ('{"name": 3, "age": 36}', "name: Input should be a valid string"),
        ("[1, 2]", "valid dictionary"),
        ('{"name": "Ada", "age": NaN}', "age"),
        ("{" * 5000, ""),
        ("{'name': 'half \\ud800 of a letter', 'age': 36}", "the reply is not valid JSON"),
    ],
)
async def test_what_cannot_be_used_is_sent_back_once_with_the_error_and_then_given_up(text, error):
    model = Scripted(lambda request: PROBED if request.stage == "probe" else text)
    with pytest.raises(NotUnderstood) as caught:
        await Structured(model).ask(ASK, Person, stage="who")
    assert (caught.value.stage, caught.value.raw) == ("who", text)
    assert any(error in one for one in caught.value.errors)
    first, second = model.requests[1:]
    assert [message["role"] for message in second.messages] == ["user", "assistant", "user"]
    assert second.messages[1]["content"] == text
    assert error in second.messages[2]["content"]
    assert len(first.messages) == 1


async def test_a_reply_that_was_cut_off_is_not_mended():
    cut = ChatReply(content='{"name": "Ada", "age": 3', finish_reason="length")
    model = Scripted(lambda request: PROBED if request.stage == "probe" else cut)
    with pytest.raises(NotUnderstood, match="cut off"):
        await Structured(model).ask(ASK, Person, stage="who")


async def test_what_the_caller_finds_wrong_goes_back_like_a_wrong_type():
    answers = iter([PROBED, '{"name": "Ada", "age": 3}', GOOD])
    model = Scripted(lambda _: next(answers))
    grown = lambda person: [] if person.age > 17 else [f"{person.name} is too young"]  # noqa: E731
    found = await Structured(model).ask(ASK, Person, stage="who", check=grown)
    assert found.turns == 2
    assert "Ada is too young" in model.requests[-1].messages[-1]["content"]


async def test_a_repair_turn_is_warm_for_a_cold_model_says_the_same_again():
    answers = iter([PROBED, "no", GOOD])
    model = Scripted(lambda _: next(answers))
    await Structured(model, temperature=0.1).ask(ASK, Person, stage="who")
    assert [request.temperature for request in model.requests] == [0.0, 0.1, 0.8]


async def test_an_endpoint_that_is_down_is_not_taken_for_one_that_can_do_nothing():
    ladder = Ladder()
    model = Scripted([TransientFailure("refused", reason="connection")])
    with pytest.raises(ModelFailed):
        await Structured(model, ladder).ask(ASK, Person, stage="who")
    assert ladder.rung is None


async def test_a_busy_server_is_asked_again_and_then_understood():
    trouble = iter([Misbehave(429, headers={"Retry-After": "0"}), Misbehave(503), Misbehave(drop="inside")])

    def handle(body):
        busy = next(trouble, None)
        return busy or (PROBED if body["messages"][-1]["content"].startswith("Say good") else GOOD)

    async with StubServer(handle) as url:
        model = retried(OpenAIChat("m", url), Backoff(first=0.01, longest=0.02))
        found = await Structured(model).ask(ASK, Person, stage="who")
        await model.aclose()
    assert found.value.name == "Ada"


async def test_a_server_that_stalls_for_ever_is_a_failure_of_the_model():
    async with StubServer(lambda _: Misbehave(stall=math.inf)) as url:
        model = OpenAIChat("m", url, timeout=0.1)
        with pytest.raises(ModelFailed) as caught:
            await Structured(model).ask(ASK, Person, stage="who")
        await model.aclose()
    assert caught.value.reason == "timeout"


async def test_a_tool_call_instead_of_an_answer_is_sent_back():
    answers = iter([PROBED, calling(("who", {"name": "Ada"})), GOOD])
    model = Scripted(lambda _: next(answers))
    found = await Structured(model).ask(ASK, Person, stage="who")
    assert found.turns == 2


async def test_errors_that_go_back_are_bounded():
    class Many(Record):
        numbers: tuple[int, ...]

    bad = orjson.dumps({"numbers": ["x" * 600] * 500}).decode()
    model = Scripted(lambda request: PROBED if request.stage == "probe" else bad)
    with pytest.raises(NotUnderstood):
        await Structured(model).ask(ASK, Many, stage="many")
    told = model.requests[-1].messages[-1]["content"]
    assert "and 488 more" in told
    assert len(told) < 6000
