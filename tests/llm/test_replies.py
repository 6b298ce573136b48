"""No bytes crash the reader: they are a reply, or a `ModelFailed`."""

import orjson
from hypothesis import given
from hypothesis import strategies as st

from synthagent.errors import ModelFailed
from synthagent.llm.model import ChatReply
from synthagent.llm.replies import excerpt, parse_reply
from synthagent.llm.scripted import calling
from synthagent.llm.stub import completion
from synthagent.schema.messages import Usage

LEAF = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text(max_size=8)
JSON = st.recursive(
    LEAF, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner), max_leaves=8
)


def read(body: bytes) -> ChatReply | None:
    try:
        return parse_reply(body)
    except ModelFailed as failed:
        assert failed.reason == "bad_reply"
        return None


@given(st.binary())
def test_any_bytes(body):
    assert read(body) is None or body.startswith(b"{")


def places(value, path=()):
    """The path of every value inside a JSON value."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from places(inner, (*path, key))


@given(st.data(), JSON)
def test_a_good_reply_with_anything_anywhere(data, strange):
    body = completion(calling(("find_flight", {"number": 12}), content="hm"), 1, "m", 100)
    *way, last = data.draw(st.sampled_from([path for path in places(body) if path]))
    target = body
    for key in way:
        target = target[key]
    target[last] = strange
    got = read(orjson.dumps(body))
    assert got is None or isinstance(got.content, str)


@given(st.text(), st.text(min_size=1), JSON)
def test_what_the_stub_says_is_what_the_client_reads(text, name, arguments):
    said = calling((name, orjson.dumps(arguments).decode()), content=text)
    got = read(orjson.dumps(completion(said, 1, "m", 40)))
    assert (got.content, got.tool_calls, got.finish_reason) == (said.content, said.tool_calls, "tool_calls")
    assert got.usage.prompt == 10


def test_usage_is_optional_and_may_be_null():
    for usage in ({}, {"usage": None}, {"usage": {}}, {"usage": {"prompt_tokens": None, "total_tokens": 3}}):
        assert read(orjson.dumps({"choices": [{"message": {}}], **usage})).usage == Usage()


@given(st.binary())
def test_an_excerpt_is_one_short_printable_line(body):
    assert len(excerpt(body)) <= 200
    assert excerpt(body).isprintable()
