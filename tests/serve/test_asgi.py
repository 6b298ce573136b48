"""Our rules of access in front of somebody else's application, and our own handlers behind it."""

import orjson
import pytest

from synthagent.errors import InputError
from synthagent.serve.asgi import AsgiServer, bridged, guarded
from synthagent.serve.listening import Rate, Refused, answer


async def inner(scope, receive, send):
    """Says how large the body was, or accepts a socket."""
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        return
    size, more = 0, True
    while more:
        message = await receive()
        size, more = size + len(message["body"]), message["more_body"]
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": str(size).encode()})


async def asked(app, *parts, kind="http", path="/", **headers):
    """What an application sends for a request in these parts."""
    waiting = [{"type": "http.request", "body": part, "more_body": n + 1 < len(parts)} for n, part in enumerate(parts)]
    waiting = waiting or [{"type": "http.request", "body": b"", "more_body": False}]
    if kind == "websocket":
        waiting = [{"type": "websocket.connect"}]
    sent = []
    scope = {"type": kind, "method": "POST", "path": path, "client": ("127.0.0.1", 1)}
    scope["headers"] = [(name.encode(), value.encode()) for name, value in ({"host": "localhost:1"} | headers).items()]

    async def receive():
        return waiting.pop(0)

    async def send(message):
        sent.append(message)

    await app(scope, receive, send)
    return sent


def refused(sent):
    return sent[0]["status"], orjson.loads(sent[1]["body"])["error"]["message"]


async def test_a_request_that_may_pass_passes_with_its_whole_body():
    assert (await asked(guarded(inner, None), b"one", b"two"))[1]["body"] == b"6"
    assert (await asked(guarded(inner, "secret"), host="far.example", authorization="Bearer secret"))[0][
        "status"
    ] == 200


@pytest.mark.parametrize(
    ("token", "headers"),
    [
        (None, {"host": "evil.example"}),
        (None, {"origin": "https://evil.example"}),
        ("secret", {}),
        ("secret", {"authorization": "Bearer guess"}),
    ],
)
async def test_strangers_are_turned_away_from_requests_and_websockets(token, headers):
    app = guarded(inner, token)
    assert (await asked(app, **headers))[0]["status"] == 403
    [closed] = await asked(app, kind="websocket", **headers)
    assert (closed["type"], closed["code"]) == ("websocket.close", 1008)


async def test_a_body_that_is_too_large_is_not_read_to_its_end():
    status, why = refused(await asked(guarded(inner, None, largest=5), b"123", b"456", b"789"))
    assert (status, "more than 5 bytes" in why) == (413, True)


async def test_who_asks_too_often_is_told_when_to_come_again():
    app = guarded(inner, None, rate=Rate(1.0, lambda: 0.0))
    statuses = [(await asked(app))[0]["status"] for _ in range(3)]
    assert statuses == [200, 200, 429]
    assert (b"retry-after", b"1") in (await asked(app))[0]["headers"]


async def test_a_handler_of_ours_answers_and_refuses_as_it_does_elsewhere():
    async def handler(request, body):
        if request.path == "/no":
            raise Refused(404, "there is nothing", code="none")
        return answer({"method": request.method, "size": len(body)}, 201)

    sent = await asked(bridged(handler), b"abc", path="/yes")
    assert (sent[0]["status"], orjson.loads(sent[1]["body"])) == (201, {"method": "POST", "size": 3})
    assert refused(await asked(bridged(handler), path="/no")) == (404, "there is nothing")


def test_beyond_loopback_there_must_be_a_token():
    with pytest.raises(InputError, match="SYNTHAGENT_TOKEN"):
        AsgiServer(inner, "0.0.0.0")
