"""One exchange with an endpoint, over real HTTP: what is sent, what is understood, and how each mishap is named."""

import asyncio
import math
from contextlib import aclosing

import aiohttp
import orjson
import pytest

from synthagent.errors import Blame, InputError, ModelFailed
from synthagent.llm.model import ChatReply, ChatRequest, ContextOverflow, TransientFailure
from synthagent.llm.openai import OpenAIChat, retry_after
from synthagent.llm.scripted import calling
from synthagent.llm.stub import FIXED_TEXT, Misbehave, StubServer
from synthagent.schema.messages import ToolCall, Usage

ASK = ChatRequest([{"role": "user", "content": "Is my flight on time?"}])


async def failure(served, request=ASK, **settings) -> ModelFailed:
    """How the client fails when the endpoint serves this."""
    async with StubServer(lambda _: served) as url, aclosing(OpenAIChat("m", url, **settings)) as model:
        with pytest.raises(ModelFailed) as caught:
            await model.complete(request)
    assert caught.value.blame is Blame.INFRASTRUCTURE
    return caught.value


async def reply_to(message: dict, **choice) -> ChatReply:
    """What the client makes of a message, whatever its shape."""
    body = {"choices": [{"message": message, **choice}]}
    async with StubServer(lambda _: Misbehave(body=body)) as url, aclosing(OpenAIChat("m", url)) as model:
        return await model.complete(ASK)


async def test_a_question_is_posted_as_openai_wants_it_and_its_answer_read():
    server = StubServer(lambda body: ChatReply("It is.", usage=Usage(prompt=7, completion=3)))
    tools = [{"type": "function", "function": {"name": "find_flight", "parameters": {"type": "object"}}}]
    request = ChatRequest(ASK.messages, tools, 0.5, 64, 11, ["\n\n"], {"top_p": 0.9})
    async with server as url, aclosing(OpenAIChat("m", url, "sk-secret\n", extra={"n": 1})) as model:
        assert await model.complete(request) == ChatReply("It is.", (), "stop", Usage(prompt=7, completion=3))
    (seen,) = server.seen
    assert seen.path == "/v1/chat/completions"
    assert seen.headers["Authorization"] == "Bearer sk-secret"
    assert seen.body == {
        "model": "m",
        "messages": ASK.messages,
        "tools": tools,
        "temperature": 0.5,
        "max_tokens": 64,
        "seed": 11,
        "stop": ["\n\n"],
        "top_p": 0.9,
        "n": 1,
    }


async def test_what_is_left_out_is_left_to_the_server():
    server = StubServer()
    async with server as url, aclosing(OpenAIChat("m", url + "/", token_field="max_completion_tokens")) as model:
        assert (await model.complete(ASK)).content == FIXED_TEXT
        await model.complete(ChatRequest(ASK.messages, max_tokens=5))
    assert server.seen[0].path == "/v1/chat/completions"
    assert "Authorization" not in server.seen[0].headers
    assert server.seen[0].body == {"model": "m", "messages": ASK.messages}
    assert server.seen[1].body["max_completion_tokens"] == 5


async def test_tool_calls_keep_the_models_own_text():
    sent = calling(("find_flight", '{"number": "LH 12"'), ("now", {}), content="Let me look.")
    async with StubServer(lambda _: sent) as url, aclosing(OpenAIChat("m", url)) as model:
        got = await model.complete(ASK)
    assert (got.content, got.finish_reason) == ("Let me look.", "tool_calls")
    assert got.tool_calls == (
        ToolCall(id="call_0", name="find_flight", arguments='{"number": "LH 12"'),
        ToolCall(id="call_1", name="now", arguments="{}"),
    )


async def test_servers_that_parse_the_arguments_or_give_no_ids_are_understood():
    calls = [
        {"function": {"name": "a", "arguments": {"n": 1}}},
        {"function": {"name": "b", "arguments": [1]}},
        {"id": "x", "function": {"name": "c", "arguments": None}},
    ]
    got = await reply_to({"content": None, "tool_calls": calls}, finish_reason=None)
    assert got == ChatReply(
        "",
        (
            ToolCall(id="call_0", name="a", arguments='{"n":1}'),
            ToolCall(id="call_1", name="b", arguments="[1]"),
            ToolCall(id="x", name="c", arguments="null"),
        ),
        "",
        Usage(),
    )


async def test_a_refusal_is_what_the_model_said():
    assert (await reply_to({"content": None, "refusal": "I cannot help with that."})).content.startswith("I cannot")


DEEP = b"[" * 900 + b"]" * 900  # orjson reads that deep, but writes less deep
GOOD = {"choices": [{"message": {"content": "hi"}}]}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html><body>502 Bad Gateway</body></html>",
        b'{"choices": [{"message": {"content": "half a rep',
        b'{"choices": [{"message": {"content": "\\ud800"}}]}',
        b"\xff\xfe",
        b"[" * 5000,
        [],
        {"error": {"message": "overloaded"}},
        {"choices": []},
        {"choices": {"0": {}}},
        {"choices": ["hi"]},
        {"choices": [{"text": "hi"}]},
        {"choices": [{"message": "hi"}]},
        {"choices": [{"message": {"content": 3}}]},
        {"choices": [{"message": {"content": [{"type": "text", "text": "hi"}]}}]},
        {"choices": [{"message": {"content": "hi"}, "finish_reason": 1}]},
        {"choices": [{"message": {"tool_calls": {"0": {}}}}]},
        {"choices": [{"message": {"tool_calls": ["find_flight"]}}]},
        {"choices": [{"message": {"tool_calls": [{"name": "a", "arguments": "{}"}]}}]},
        {"choices": [{"message": {"tool_calls": [{"function": {"name": None, "arguments": "{}"}}]}}]},
        {"choices": [{"message": {"tool_calls": [{"id": 7, "function": {"name": "a", "arguments": "{}"}}]}}]},
        {"choices": [{"message": {"tool_calls": [{"function": {"name": "a"}}]}}]},
        b'{"choices": [{"message": {"tool_calls": [{"function": {"name": "a", "arguments": %b}}]}}]}' % DEEP,
        {**GOOD, "usage": 12},
        {**GOOD, "usage": {"prompt_tokens": "12"}},
        {**GOOD, "usage": {"prompt_tokens": True}},
        {**GOOD, "usage": {"completion_tokens": -1}},
        {**GOOD, "usage": {"completion_tokens": 1.5}},
    ],
    ids=repr,
)
async def test_whatever_is_no_chat_completion_is_a_bad_reply_that_shows_its_beginning(body):
    caught = await failure(Misbehave(body=body))
    assert caught.reason == "bad_reply"
    sent = body if isinstance(body, bytes) else orjson.dumps(body)
    assert sent[:20].decode("utf-8", "replace") in str(caught)
    assert len(str(caught)) < 450


async def test_an_error_never_carries_what_a_terminal_would_obey():
    caught = await failure(Misbehave(body=b"\x1b[2J\x1b]0;owned\x07 not json\r\nat all" + b"x" * 500))
    assert "not json at all" in str(caught)
    assert str(caught).isprintable()


async def test_a_reply_larger_than_the_cap_is_not_read_to_its_end():
    huge = Misbehave(body=b'{"choices": "' + b"x" * 3_000_000 + b'"}')
    assert "larger than 100000 bytes" in str(await failure(huge, max_reply_bytes=100_000))


async def test_a_compressed_bomb_is_a_bad_reply_too():
    import gzip

    bomb = Misbehave(headers={"Content-Encoding": "gzip"}, body=gzip.compress(b" " * 3_000_000))
    assert (await failure(bomb, max_reply_bytes=100_000)).reason == "bad_reply"


@pytest.mark.parametrize(
    ("served", "reason", "overloaded"),
    [
        (Misbehave(429, {"Retry-After": "7"}, "slow down"), "rate_limited", True),
        (Misbehave(500, body="oops"), "http_500", False),
        (Misbehave(503, body="x" * 100_000), "http_503", True),
        (Misbehave(408), "http_408", False),
        (Misbehave(drop="before"), "connection", False),
        (Misbehave(body=orjson.dumps(GOOD), drop="inside"), "connection", False),
    ],
)
async def test_what_may_pass_is_a_transient_failure(served, reason, overloaded):
    caught = await failure(served)
    assert isinstance(caught, TransientFailure)
    assert (caught.reason, caught.overloaded) == (reason, overloaded)
    assert caught.retry_after == (7.0 if reason == "rate_limited" else None)


@pytest.mark.parametrize("status", [302, 400, 401, 404, 422])
async def test_what_will_not_pass_is_not(status):
    caught = await failure(Misbehave(status, {"Location": "http://127.0.0.1:1/"}, body="no such model"))
    assert (type(caught), caught.reason) == (ModelFailed, f"http_{status}")
    assert "no such model" in str(caught)


async def test_a_server_that_says_nothing_runs_out_of_time():
    caught = await failure(Misbehave(stall=math.inf), timeout=0.05)
    assert isinstance(caught, TransientFailure)
    assert (caught.reason, caught.overloaded) == ("timeout", True)


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (b"220 smtp.example.com ready\r\n\r\n", "bad_reply"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n", "bad_reply"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n{}", "connection"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "bad_reply"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Encoding: gzip\r\n\r\n{}", "connection"),
        (b"HTTP/1.1 200 OK\r\n", "connection"),
        (b"", "connection"),
    ],
)
async def test_bytes_that_are_not_even_http_are_named_too(sent, reason):
    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"}]}")
        writer.write(sent)
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(speak, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    async with server, aclosing(OpenAIChat("m", f"http://{host}:{port}/v1", timeout=5)) as model:
        with pytest.raises(ModelFailed) as caught:
            await model.complete(ASK)
    assert caught.value.reason == reason
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 600


async def test_nobody_there_is_a_lost_connection():
    async with StubServer() as url:
        pass
    async with aclosing(OpenAIChat("m", url)) as model:
        with pytest.raises(TransientFailure) as caught:
            await model.complete(ASK)
    assert caught.value.reason == "connection"
    assert url in str(caught.value)


OPENAI = {"error": {"message": "This model's maximum context length is 8192 tokens. However, your messages resulted in "
          "9001 tokens.", "code": "context_length_exceeded"}}  # fmt: skip
LLAMA_CPP = {"error": {"code": 400, "message": "request (20031 tokens) exceeds the available context size (2048 "
             "tokens), try increasing it", "type": "exceed_context_size_error", "n_ctx": 2048}}  # fmt: skip
VLLM = {"object": "error", "message": "This model's maximum context length is 4096 tokens. However, you requested 4200 "
        "tokens (3944 in the messages, 256 in the completion).", "code": 400}  # fmt: skip
VLLM_NEW = {"error": {"message": "The decoder prompt (length 5000) is longer than the maximum model length of 4096."}}
SGLANG = {"message": "The input (9000 tokens) is longer than the model's context length (8192 tokens)."}
GATEWAY = {"error": {"message": "prompt is too long: 210000 tokens > 200000 maximum"}}


@pytest.mark.parametrize("body", [OPENAI, LLAMA_CPP, VLLM, VLLM_NEW, SGLANG, GATEWAY])
async def test_a_conversation_too_long_for_the_window_is_a_failure_of_its_own(body):
    caught = await failure(Misbehave(400, body=body), ChatRequest(ASK.messages, max_tokens=256))
    assert isinstance(caught, ContextOverflow)
    assert caught.reason == "context_length"


async def test_a_reply_limit_beyond_the_window_is_a_setting_not_an_overflow():
    body = {"message": "'max_tokens' is too large: 5000. This model's maximum context length is 4096 tokens and your "
            "request has 37 input tokens."}  # fmt: skip
    caught = await failure(Misbehave(400, body=body), ChatRequest(ASK.messages, max_tokens=5000))
    assert (type(caught), caught.reason) == (ModelFailed, "http_400")


async def test_other_bad_requests_are_no_overflow():
    assert type(await failure(Misbehave(400, body="'messages' has the wrong length"))) is ModelFailed


async def test_a_request_that_is_no_json_fails_before_it_is_sent():
    for messages in ([{"role": "user", "content": "\ud800"}], [{"role": "user", "content": 2**70}]):
        assert (await failure("never asked", ChatRequest(messages))).reason == "bad_request"


async def test_long_histories_are_sent_whole():
    server = StubServer()
    async with server as url, aclosing(OpenAIChat("m", url)) as model:
        await model.complete(ChatRequest([{"role": "user", "content": "x" * 900_000}] * 2))
    assert len(server.seen[0].body["messages"][1]["content"]) == 900_000


async def test_a_shared_pool_outlives_its_models():
    async with StubServer() as url, aiohttp.ClientSession() as pool:
        for name in ("agent", "judge"):
            async with aclosing(OpenAIChat(name, url, pool=pool)) as model:
                await model.complete(ASK)
        assert not pool.closed


async def test_a_closed_model_says_so_and_may_be_closed_again():
    async with StubServer() as url:
        model = OpenAIChat("m", url)
        await model.complete(ASK)
        await model.aclose()
        await model.aclose()
        with pytest.raises(ModelFailed, match="closed"):
            await model.complete(ASK)


async def test_two_hundred_calls_are_under_way_at_once():
    server = StubServer(latency=0.2)
    async with server as url, aclosing(OpenAIChat("m", url)) as model, asyncio.TaskGroup() as group:
        for _ in range(200):
            group.create_task(model.complete(ASK))
    assert server.peak == 200


@pytest.mark.parametrize(
    "url", ["localhost:8000", "ftp://x/v1", "http://", "http://x:99999/v1", "", "http://me:pw@x/v1"]
)
def test_a_base_url_that_cannot_be_one_is_refused_at_once(url):
    with pytest.raises(InputError):
        OpenAIChat("m", url)


def test_a_key_that_cannot_be_one_is_refused_without_being_shown():
    with pytest.raises(InputError) as caught:
        OpenAIChat("m", "http://x/v1", "sk-a\r\nX-Evil: 1")
    assert "sk-a" not in str(caught.value)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("", None),
        ("soon", None),
        ("nan", None),
        ("inf", None),
        ("0", 0.0),
        ("1.5", 1.5),
        ("-3", 0.0),
        ("Thu, 01 Jan 1970 00:01:40 GMT", 40.0),
        ("Thu, 01 Jan 1970 00:01:40 -0000", 40.0),
        ("Thu, 01 Jan 1970 00:00:10 GMT", 0.0),
        ("Thu, 99 Jan 1970 00:00:10 GMT", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(header, seconds):
    assert retry_after(header, now=60.0) == seconds
