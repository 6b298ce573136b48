"""A model behind our own endpoint: what goes in is what it is asked, what it says is what comes out."""

import io
from contextlib import aclosing, asynccontextmanager
from typing import Any

import aiohttp
import anyio
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthagent.errors import InputError, ModelFailed
from synthagent.llm.model import ChatReply, ChatRequest, ContextOverflow, TransientFailure
from synthagent.llm.openai import OpenAIChat
from synthagent.llm.scripted import Scripted, calling
from synthagent.schema.messages import Message, ToolCall, Usage
from synthagent.serve.agent_endpoint import AgentEndpoint
from synthagent.serve.chat_request import read_request
from synthagent.simulation.agent import View, assistant_message, opening, tools_for
from synthagent.simulation.model_agent import ModelAgent, Sampling
from synthagent.simulation.telling import telling
from tests.builders import NOW, library

BRIEF = library().brief
TOOLS = tools_for(BRIEF, "text")
FORMS = ("native", "hermes", "json", "compact")
HELLO: list[Message] = [{"role": "user", "content": "Hello."}]
SYSTEM = {"role": "system", "content": "You work at a library."}
FIND = '{"name": "Ada Novak"}'
WRITTEN = {
    "native": calling(("find_member", FIND), content="Let me see."),
    "hermes": f'Let me see.\n<tool_call>{{"name": "find_member", "arguments": {FIND}}}</tool_call>',
    "json": f'Let me see.\n```json\n{{"name": "find_member", "arguments": {FIND}}}\n```',
    "compact": f'Let me see.\n<tool_call>{{"name": "find_member", "arguments": {FIND}}}</tool_call>',
}


@asynccontextmanager
async def served(model, form="native", **options):
    """A client of an endpoint in front of the model."""
    async with AgentEndpoint(model, form, "small", **options) as url, aclosing(OpenAIChat("small", url)) as client:
        yield client


async def posted(url: str, body: Any, **headers: str) -> tuple[int, Any]:
    """Status and decoded answer."""
    data = body if isinstance(body, bytes | io.BytesIO) else orjson.dumps(body)
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.post(f"{url}/chat/completions", data=data) as response,
    ):
        return response.status, await response.json()


async def asked_over_the_wire(
    body: dict[str, Any], form="native", reply: Any = "Yes?"
) -> tuple[Any, list[ChatRequest]]:
    """The answer to one request, and what the model was asked."""
    model = Scripted([reply])
    async with AgentEndpoint(model, form, "small") as url:
        status, answer = await posted(url, {"model": "small", "messages": HELLO, **body})
    assert status == 200, answer
    return answer, model.requests


# ---- there and back


async def test_a_reply_comes_back_as_the_model_gave_it():
    reply = ChatReply("Good day.", usage=Usage(prompt=7, completion=3))
    async with served(Scripted([reply])) as client:
        assert await client.complete(ChatRequest(HELLO)) == reply


async def test_calls_come_back_with_their_arguments_as_they_were_written():
    odd = '{"name":  "Ada\\u00e9", "n": 1.0}'
    reply = calling(("find_member", odd), ("list_loans", "not even JSON"))
    async with served(Scripted([reply])) as client:
        back = await client.complete(ChatRequest(HELLO, tools=TOOLS))
    assert [(call.name, call.arguments) for call in back.tool_calls] == [
        ("find_member", odd),
        ("list_loans", "not even JSON"),
    ]
    assert (back.content, back.finish_reason) == ("", "tool_calls")


@pytest.mark.parametrize("form", FORMS)
async def test_whatever_the_form_a_call_is_a_call_on_the_wire(form):
    async with served(Scripted([WRITTEN[form]]), form) as client:
        back = await client.complete(ChatRequest(HELLO, tools=TOOLS))
    assert back.content == "Let me see."
    [call] = back.tool_calls
    assert (call.name, orjson.loads(call.arguments)) == ("find_member", {"name": "Ada Novak"})
    assert back.finish_reason == "tool_calls"


async def test_what_the_model_is_asked_is_what_the_request_says():
    model = Scripted(["Yes?"])
    request = ChatRequest(HELLO, TOOLS, temperature=0.3, max_tokens=40, seed=5, stop=("!",), extra={"top_p": 0.9})
    async with served(model, max_tokens=99) as client:
        await client.complete(request)
    assert model.requests == [request]


async def test_what_a_request_leaves_open_is_left_to_the_model_but_for_the_length():
    model = Scripted(["Yes?"])
    async with served(model, max_tokens=99) as client:
        await client.complete(ChatRequest(HELLO))
    assert model.requests == [ChatRequest(HELLO, max_tokens=99)]


async def test_ids_of_calls_are_unlike_any_in_the_conversation():
    earlier = [
        assistant_message("", (ToolCall(id="call_2_0", name="find_member", arguments="{}"),)),
        {"role": "tool", "tool_call_id": "call_2_0", "content": "[]"},
        assistant_message("", (ToolCall(id="call_0_0", name="find_member", arguments="{}"),)),
        {"role": "tool", "tool_call_id": "call_0_0", "content": "[]"},
    ]
    two = calling(("find_member", {}), ("find_member", {}))
    async with served(Scripted([two])) as client:
        back = await client.complete(ChatRequest([*HELLO, *earlier], tools=TOOLS))
    assert [call.id for call in back.tool_calls] == ["call_3_0", "call_3_1"]


@pytest.mark.parametrize(
    "text",
    [
        '<tool_call>{"name": "find_member", "arguments": {}}',
        'Well. <tool_call>{"name": "find_member", "arguments": {}</tool_call>',
        '<tool_call>{"name": "find_member"}</tool_call> <tool_call>{}</tool_call>',
    ],
)
@pytest.mark.parametrize("form", ["native", "hermes", "compact"])
async def test_a_call_that_cannot_be_read_goes_out_as_the_text_it_is(form, text):
    async with served(Scripted([text]), form) as client:
        back = await client.complete(ChatRequest(HELLO, tools=TOOLS))
    assert (back.content, back.tool_calls, back.finish_reason) == (text, (), "stop")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("without", [{}, {"tools": TOOLS, "tool_choice": "none"}], ids=["no tools", "none"])
async def test_where_no_tool_may_be_called_text_stays_text(form, without):
    answer, [request] = await asked_over_the_wire(without, form, WRITTEN["hermes"])
    message = answer["choices"][0]["message"]
    assert (message["content"], "tool_calls" in message) == (WRITTEN["hermes"], False)
    assert (list(request.messages), request.tools) == (HELLO, None)


async def test_a_turn_that_was_cut_off_says_so():
    cut = ChatReply("I was going to", finish_reason="length")
    async with served(Scripted([cut, cut]), "hermes") as client:
        assert (await client.complete(ChatRequest(HELLO, tools=TOOLS))).finish_reason == "length"
        assert (await client.complete(ChatRequest(HELLO))).finish_reason == "length"


# ---- what the model reads


@pytest.mark.parametrize("protocol", ["text", "tools"])
@pytest.mark.parametrize("form", ["hermes", "json", "compact"])
def test_tools_are_told_in_the_words_of_an_episodes_opening(form, protocol):
    # What a tool gives is known in a task and not on the wire.
    brief = BRIEF.model_copy(update={"tools": tuple(t.model_copy(update={"outputs": {}}) for t in BRIEF.tools)})
    ours = opening(brief, protocol, NOW, form)[0]["content"]
    tools = tools_for(brief, protocol)
    [alone, _] = telling(HELLO, tools, form)
    assert ours.endswith(("\n" if form == "compact" else "\n\n") + alone["content"])
    [under, _] = telling([SYSTEM, *HELLO], tools, form)
    assert under["content"] == SYSTEM["content"] + ours[-len(under["content"]) + len(SYSTEM["content"]) :]
    assert under["content"].startswith(SYSTEM["content"] + "\n") and alone["content"] in under["content"]


@pytest.mark.parametrize(
    ("function", "line"),
    [
        ({"name": "now"}, "now()"),
        ({"name": "now", "description": None, "parameters": {}}, "now()"),
        (
            {"name": "ls", "description": "Lists\n  a folder.", "parameters": {"type": "object"}},
            "ls() - Lists a folder.",
        ),
        ({"name": "ls", "parameters": {"properties": {"a": True}, "required": ["a"]}}, "ls(a)"),
    ],
)
def test_a_tool_of_which_little_is_said_is_told_all_the_same(function, line):
    [system, _] = telling(HELLO, [{"type": "function", "function": function}], "hermes")
    assert f"\n{line}\n" in system["content"]


@st.composite
def histories(draw) -> list[Message]:
    """Turns and answers in OpenAI's form, as an episode's history has them."""
    text = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)
    found: list[Message] = []
    for number in range(draw(st.integers(0, 4))):
        arguments = draw(st.lists(st.one_of(text, st.just('{"a": "</tool_call>"}')), max_size=2))
        names = [draw(st.sampled_from(["find_member", 'odd"name'])) for _ in arguments]
        calls = [
            ToolCall(id=f"call_{number}_{n}", name=name, arguments=raw)
            for n, (name, raw) in enumerate(zip(names, arguments, strict=True))
        ]
        found.append(assistant_message(draw(text), calls))
        found += [{"role": "tool", "tool_call_id": call.id, "content": draw(text)} for call in calls]
        if not calls or draw(st.booleans()):
            found.append({"role": "user", "content": draw(text)})
    return found


@given(history=histories(), form=st.sampled_from(FORMS))
def test_a_history_over_the_wire_is_told_as_in_an_episode(history, form):
    model = Scripted(["Bye."])
    start = opening(BRIEF, "text", NOW, form)
    anyio.run(ModelAgent(model, "m", form, Sampling(), 1).act, View(BRIEF, "text", [*start, *history]))
    [episode] = model.requests
    body = {"model": "small", "messages": [SYSTEM, start[1], *history], "tools": TOOLS}
    asked = read_request(orjson.dumps(body), "small")
    told = telling(asked.messages, asked.tools, form)
    assert told[1:] == list(episode.messages)[1:]
    assert (form == "native") == (told[0] == SYSTEM)
    assert asked.tools == TOOLS


async def test_the_text_of_parts_is_read_as_one_text():
    parts = [{"type": "text", "text": "Hel"}, {"type": "text", "text": "lo."}]
    messages = [{"role": "developer", "content": parts}, {"role": "assistant", "content": None}, *HELLO]
    _, [request] = await asked_over_the_wire({"messages": messages})
    assert [(m["role"], m["content"]) for m in request.messages] == [
        ("system", "Hello."),
        ("assistant", ""),
        ("user", "Hello."),
    ]


# ---- what is refused, and what is not


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"messages": []}, "messages"),
        ({"messages": "Hello."}, "messages"),
        ({"messages": [{"role": "function", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]}, "messages[0].content"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].tool_call_id"),
        ({"messages": [{"role": "assistant", "function_call": {}}]}, "messages[0].function_call"),
        (
            {
                "messages": [
                    {"role": "assistant", "tool_calls": [{"id": "a", "function": {"name": "f", "arguments": {}}}]}
                ]
            },
            "messages[0].tool_calls[0].arguments",
        ),
        ({"tools": [{"type": "function"}]}, "tools[0]"),
        ({"tools": [{"type": "function", "function": {"name": "f", "parameters": {"properties": []}}}]}, "tools[0]"),
        ({"tools": TOOLS, "tool_choice": "required"}, "tool_choice"),
        ({"tools": TOOLS, "tool_choice": {"type": "function", "function": {"name": "f"}}}, "tool_choice"),
        ({"temperature": "hot"}, "temperature"),
        ({"temperature": 3}, "temperature"),
        ({"top_p": 0}, "top_p"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": 5, "max_completion_tokens": 6}, "max_tokens"),
        ({"seed": 1.5}, "seed"),
        ({"stop": ["a", ""]}, "stop"),
        ({"n": 2}, "n"),
        ({"stream": 1}, "stream"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"frequency_penalty": 0.5}, "frequency_penalty"),
        ({"parallel_tool_calls": False}, "parallel_tool_calls"),
        ({"logprobs": True}, "logprobs"),
        ({"guided_json": {}}, "guided_json"),
        ({"no_such_field": 1}, "no_such_field"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_what_cannot_be_kept_is_refused_by_its_name(body, param):
    model = Scripted([])
    async with AgentEndpoint(model, "native", "small") as url:
        status, answer = await posted(url, {"model": "small", "messages": HELLO, **body})
    assert (status, answer["error"]["type"]) == (400, "invalid_request_error")
    assert answer["error"]["param"].startswith(param)
    assert param.split("[")[0] in answer["error"]["message"]
    assert model.requests == []


async def test_fields_that_ask_for_nothing_are_passed_over():
    body = {
        "user": "me", "metadata": {"a": "b"}, "store": False, "n": 1, "frequency_penalty": 0, "presence_penalty": 0.0,
        "logit_bias": {}, "logprobs": False, "response_format": {"type": "text"}, "parallel_tool_calls": True,
        "reasoning_effort": None, "tools": None, "top_p": 1, "stop": "!",
    }  # fmt: skip
    _, [request] = await asked_over_the_wire(body)
    assert request == ChatRequest(HELLO, stop=("!",))


@pytest.mark.parametrize("body", [b"", b"[]", b"\xff", b'{"messages": NaN}'])
async def test_what_is_no_request_is_refused(body):
    async with AgentEndpoint(Scripted([]), "native", "small") as url:
        assert (await posted(url, body))[0] == 400


async def test_another_models_name_is_not_answered_to():
    async with AgentEndpoint(Scripted([]), "native", "small") as url:
        status, answer = await posted(url, {"model": "large", "messages": HELLO})
    assert (status, answer["error"]["code"]) == (404, "model_not_found")
    assert "'small'" in answer["error"]["message"]


async def test_a_request_that_is_too_large_is_refused():
    async with AgentEndpoint(Scripted([]), "native", "small") as url:
        assert (await posted(url, io.BytesIO(b" " * (17 * 1024 * 1024))))[0] == 413


# ---- failures


async def test_a_prompt_beyond_the_window_is_told_so_that_clients_know_it():
    async with AgentEndpoint(
        Scripted([ContextOverflow("9000 tokens, and the window holds 8192")]), "native", "m"
    ) as url:
        status, answer = await posted(url, {"messages": HELLO})
    assert (status, answer["error"]["code"]) == (400, "context_length_exceeded")
    assert "maximum context length" in answer["error"]["message"]
    async with served(Scripted([ContextOverflow("9000 tokens, and the window holds 8192")])) as client:
        with pytest.raises(ContextOverflow):
            await client.complete(ChatRequest(HELLO, max_tokens=9999))


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (ModelFailed("no chat completion", reason="bad_reply"), 500, "bad_reply"),
        (TransientFailure("try later", reason="rate_limited", retry_after=7.0), 503, "rate_limited"),
        (InputError("the script is empty"), 500, "InputError"),
        (RuntimeError("out of memory"), 500, "RuntimeError"),
    ],
)
async def test_a_model_that_fails_is_an_error_and_no_answer(error, status, code):
    heard: list[str] = []
    async with AgentEndpoint(Scripted([error, "Yes?"]), "native", "small", tell=heard.append) as url:
        got, answer = await posted(url, {"model": "small", "messages": HELLO})
        assert (got, answer["error"]["code"], answer["error"]["type"]) == (status, code, "server_error")
        assert str(error) in answer["error"]["message"]
        assert len(heard) == 1 and str(error) in heard[0]
        assert (await posted(url, {"model": "small", "messages": HELLO}))[0] == 200


# ---- streams


async def streamed(body: dict[str, Any], reply: Any) -> list[Any]:
    """The events of a stream, decoded; the last one is its end."""
    request = {"model": "small", "messages": HELLO, "stream": True, **body}
    async with (
        AgentEndpoint(Scripted([reply]), "native", "small", clock=lambda: 5.0) as url,
        aiohttp.ClientSession() as session,
        session.post(f"{url}/chat/completions", json=request) as response,
    ):
        assert response.status == 200
        assert response.content_type == "text/event-stream"
        text = await response.text()
    events = [event.removeprefix("data: ") for event in text.split("\n\n") if event]
    return [event if event == "[DONE]" else orjson.loads(event) for event in events]


async def test_a_stream_holds_the_same_answer():
    reply = calling(("find_member", FIND), content="Let me see.")
    first, last, done = await streamed({"tools": TOOLS}, reply)
    assert first["choices"][0]["delta"] == {
        "role": "assistant",
        "content": "Let me see.",
        "tool_calls": [
            {
                "index": 0,
                "id": "call_0_0",
                "type": "function",
                "function": {"name": "find_member", "arguments": FIND},
            }
        ],
    }
    assert first["choices"][0]["finish_reason"] is None
    assert (last["choices"][0]["delta"], last["choices"][0]["finish_reason"]) == ({}, "tool_calls")
    assert first["id"] == last["id"]
    assert (first["object"], first["created"], done) == ("chat.completion.chunk", 5, "[DONE]")
    assert "usage" not in first


async def test_a_stream_ends_with_what_it_cost_if_that_is_asked():
    reply = ChatReply("Yes?", usage=Usage(prompt=4, completion=2))
    *_, cost, done = await streamed({"stream_options": {"include_usage": True}}, reply)
    assert cost["choices"] == []
    assert cost["usage"] == {"prompt_tokens": 4, "completion_tokens": 2, "total_tokens": 6}
    assert done == "[DONE]"


async def test_a_failure_is_an_error_also_where_a_stream_was_asked_for():
    async with AgentEndpoint(Scripted([ContextOverflow("too long")]), "native", "small") as url:
        status, answer = await posted(url, {"messages": HELLO, "stream": True})
    assert (status, answer["error"]["code"]) == (400, "context_length_exceeded")


# ---- who, how many, and when they leave


async def test_only_so_many_are_answered_at_once_and_the_others_wait():
    busy = peak = 0

    async def slowly(_: ChatRequest) -> str:
        nonlocal busy, peak
        busy += 1
        peak = max(peak, busy)
        await anyio.sleep(0.02)
        busy -= 1
        return "Yes?"

    async with served(Scripted(slowly), in_flight=2) as client, anyio.create_task_group() as group:
        for _ in range(7):
            group.start_soon(client.complete, ChatRequest(HELLO))
    assert peak == 2


async def test_too_many_are_sent_away_with_an_error_that_says_try_again():
    go, asked = anyio.Event(), anyio.Event()

    async def when_told(_: ChatRequest) -> str:
        asked.set()
        await go.wait()
        return "Yes?"

    model = Scripted(when_told)
    async with served(model, in_flight=1, waiting=0) as client, anyio.create_task_group() as group:
        group.start_soon(client.complete, ChatRequest(HELLO))
        await asked.wait()
        with pytest.raises(TransientFailure, match="waiting already"):
            await client.complete(ChatRequest(HELLO))
        go.set()
    assert len(model.requests) == 1


async def test_the_model_is_not_kept_busy_for_who_hung_up():
    asked, given_up = anyio.Event(), anyio.Event()

    async def never(_: ChatRequest) -> str:
        asked.set()
        try:
            await anyio.sleep_forever()
        finally:
            given_up.set()
        return "Never."

    async with AgentEndpoint(Scripted(never), "native", "small", in_flight=1) as url:
        client = OpenAIChat("small", url)
        async with anyio.create_task_group() as group:
            group.start_soon(client.complete, ChatRequest(HELLO))
            await asked.wait()
            group.cancel_scope.cancel()
        await client.aclose()
        with anyio.fail_after(5):
            await given_up.wait()


async def test_it_says_which_model_it_is_and_how_that_is_told_of_tools():
    async with AgentEndpoint(Scripted([]), "compact", "small") as url, aiohttp.ClientSession() as session:
        async with session.get(f"{url}/models") as response:
            [about] = (await response.json())["data"]
        async with session.get(f"{url.removesuffix('/v1')}/health") as response:
            assert (response.status, await response.text()) == (200, "ok")
        async with session.get(f"{url}/chat/completions") as response:
            assert (response.status, "error" in await response.json()) == (404, True)
    assert (about["id"], about["tool_form"]) == ("small", "compact")


async def test_web_pages_and_other_names_of_this_machine_are_turned_away():
    body = {"model": "small", "messages": HELLO}
    async with AgentEndpoint(Scripted(["Yes?"]), "native", "small") as url:
        assert (await posted(url, body, Origin="https://evil.example"))[0] == 403
        assert (await posted(url, body, Host="evil.example"))[0] == 403
        assert (await posted(url, body, Host="localhost:80"))[0] == 200


async def test_with_a_token_only_who_has_it_gets_in():
    async with AgentEndpoint(Scripted(["Yes?"]), "native", "small", token="secret") as url:
        assert (await posted(url, {"messages": HELLO}))[0] == 401
        async with aclosing(OpenAIChat("small", url, "secret")) as client:
            assert (await client.complete(ChatRequest(HELLO))).content == "Yes?"


def test_beyond_loopback_a_token_must_be_set():
    with pytest.raises(InputError, match="SYNTHAGENT_TOKEN"):
        AgentEndpoint(Scripted([]), "native", "small", "0.0.0.0")
