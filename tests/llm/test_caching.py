"""No call is paid for twice: not by two who ask at once, not after a kill, not on another day."""

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthagent.errors import InputError, ModelFailed
from synthagent.llm.caching import CallCache, cached, key_of
from synthagent.llm.model import ChatReply, ChatRequest
from synthagent.llm.scripted import Scripted, calling
from synthagent.schema.messages import Usage

ASK = ChatRequest([{"role": "user", "content": "hi"}], temperature=0.5, max_tokens=9)
AT = "http://there/v1"

values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=4),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text(max_size=3), below, max_size=3),
    max_leaves=6,
)


def change(path: Path, sql: str) -> None:
    """What somebody else does to a file of SQLite's."""
    with closing(sqlite3.connect(path)) as db, db:
        db.execute(sql)


@pytest.fixture
def cache(tmp_path: Path):
    found = CallCache.open(tmp_path / "calls.sqlite")
    yield found
    found.close()


async def test_what_was_asked_before_is_not_asked_again(tmp_path: Path):
    path = tmp_path / "calls.sqlite"
    reply = ChatReply("hello", calling(("find", {"x": 1})).tool_calls, "stop", Usage(prompt=3, completion=4))
    for attempt in range(2):
        cache = CallCache.open(path)
        model = Scripted([reply] if attempt == 0 else [])
        found = await cached(model, cache, address=AT).complete(ASK)
        assert (found.content, found.tool_calls, found.usage) == (reply.content, reply.tool_calls, reply.usage)
        assert found.cached == (attempt == 1)
        assert (cache.hits, cache.misses) == ((0, 1) if attempt == 0 else (1, 0))
        cache.close()


@pytest.mark.parametrize(
    "change",
    [
        {"messages": [{"role": "user", "content": "ho"}]},
        {"temperature": 0.6},
        {"max_tokens": 10},
        {"seed": 1},
        {"stop": ("x",)},
        {"extra": {"top_p": 0.5}},
        {"tools": [{"type": "function"}]},
        {"sample": 1},
    ],
    ids=lambda change: next(iter(change)),
)
def test_whatever_shapes_an_answer_is_a_part_of_the_key(change):
    import dataclasses

    assert key_of("m", AT, dataclasses.replace(ASK, **change)) != key_of("m", AT, ASK)


def test_another_model_or_another_endpoint_is_another_key_but_what_it_is_for_is_not():
    import dataclasses

    assert len({key_of("m", AT, ASK), key_of("n", AT, ASK), key_of("m", "http://else", ASK)}) == 3
    assert key_of("m", AT, dataclasses.replace(ASK, stage="world")) == key_of("m", AT, ASK)


@given(st.dictionaries(st.text(max_size=4), values, max_size=5))
def test_the_order_of_keys_never_matters(extra):
    turned = dict(reversed(extra.items()))
    assert key_of("m", AT, ChatRequest([], extra=extra)) == key_of("m", AT, ChatRequest([], extra=turned))


async def test_what_was_paid_is_known_from_the_file(cache):
    for number in range(3):
        reply = ChatReply("x", usage=Usage(prompt=100 + number, completion=10))
        request = ChatRequest([{"role": "user", "content": str(number)}])
        for _ in range(2):
            await cached(Scripted([reply]), cache, address=AT).complete(request)
    assert cache.paid() == Usage(prompt=303, completion=30)


async def test_two_who_ask_the_same_at_once_make_one_call(cache):
    waiting = asyncio.Event()

    async def slow(_):
        await waiting.wait()
        return "hello"

    model = Scripted(slow)
    wrapped = cached(model, cache, address=AT)
    tasks = [asyncio.create_task(wrapped.complete(ASK)) for _ in range(5)]
    await asyncio.sleep(0)
    waiting.set()
    replies = await asyncio.gather(*tasks)
    assert len(model.requests) == 1
    assert [reply.content for reply in replies] == ["hello"] * 5
    assert sum(not reply.cached for reply in replies) == 1


async def test_a_failure_is_not_kept_and_whoever_waited_tries_for_itself(cache):
    turns = iter([ModelFailed("no", reason="http_500"), "hello", "unused"])

    async def answer(_):
        await asyncio.sleep(0.01)
        return next(turns)

    wrapped = cached(Scripted(answer), cache, address=AT)
    first, second = await asyncio.gather(wrapped.complete(ASK), wrapped.complete(ASK), return_exceptions=True)
    assert isinstance(first, ModelFailed)
    assert second.content == "hello"


async def test_whoever_is_cancelled_takes_nobody_along(cache):
    started, go = asyncio.Event(), asyncio.Event()

    async def answer(_):
        started.set()
        await go.wait()
        return "hello"

    wrapped = cached(Scripted(answer), cache, address=AT)
    first = asyncio.create_task(wrapped.complete(ASK))
    await started.wait()
    second = asyncio.create_task(wrapped.complete(ASK))
    await asyncio.sleep(0)
    first.cancel()
    go.set()
    assert (await second).content == "hello"


def test_a_file_that_is_none_and_a_file_that_is_open_elsewhere_are_told(tmp_path: Path):
    junk = tmp_path / "junk"
    junk.write_bytes(b"not a database, by no means" * 99)
    with pytest.raises(InputError, match="no file of calls"):
        CallCache.open(junk)
    with pytest.raises(InputError, match="cannot be opened"):
        CallCache.open(tmp_path / "nowhere" / "calls.sqlite")
    path = tmp_path / "calls.sqlite"
    first = CallCache.open(path)
    with pytest.raises(InputError, match="another process has these calls open"):
        CallCache.open(path)
    first.close()


async def test_an_entry_that_was_tampered_with_is_asked_anew(cache):
    await cached(Scripted(["hello"]), cache, address=AT).complete(ASK)
    spending = b'{"content":"x","tool_calls":[],"finish_reason":"","usage":[-9000,0]}'
    other = b'{"content":"x","tool_calls":[[1]],"finish_reason":"","usage":[1,2]}'
    for bad in (b"junk", b'{"content": 3}', b"[]", b"[" * 9999, None, 7, other, spending):
        cache._db.execute("UPDATE replies SET reply = ?", (bad,))
        found = await cached(Scripted(["again"]), cache, address=AT).complete(ASK)
        assert (found.content, found.cached) == ("again", False)


def test_another_programs_database_is_left_as_it_is(tmp_path: Path):
    path = tmp_path / "shop.sqlite"
    change(path, "CREATE TABLE orders (id INTEGER)")
    before = path.read_bytes()
    with pytest.raises(InputError, match="it holds other tables"):
        CallCache.open(path)
    assert path.read_bytes() == before


def test_a_file_that_brings_a_trigger_along_is_refused(tmp_path: Path):
    path = tmp_path / "calls.sqlite"
    CallCache.open(path).close()
    change(path, "CREATE TRIGGER t AFTER INSERT ON replies BEGIN DELETE FROM replies; END")
    with pytest.raises(InputError, match="it holds other tables"):
        CallCache.open(path)


def test_a_later_versions_file_is_told_and_let_go(tmp_path: Path):
    path = tmp_path / "calls.sqlite"
    CallCache.open(path).close()
    change(path, "UPDATE about SET schema = 'synthagent.calls/2'")
    with pytest.raises(InputError, match=r"unknown version 'synthagent\.calls/2'"):
        CallCache.open(path)
    change(path, "UPDATE about SET schema = 'synthagent.calls/1'")
    CallCache.open(path).close()


def test_damage_within_the_file_is_told_when_it_is_met(tmp_path: Path):
    path = tmp_path / "calls.sqlite"
    cache = CallCache.open(path)
    for number in range(50):
        cache.keep(f"{number}", "", ChatReply("x" * 5000))
    cache.close()
    whole = path.read_bytes()
    path.write_bytes(whole[:8192] + b"Z" * (len(whole) - 8192))
    cache = CallCache.open(path)
    with pytest.raises(InputError, match=r"calls\.sqlite: the file of calls cannot be read.*\(remove or rename it\)"):
        for number in range(50):
            cache.find(f"{number}")
    cache.close()


def test_the_owner_keeps_another_process_out_until_it_dies(tmp_path: Path):
    program = """
import sys, time
from pathlib import Path
from synthagent.llm.caching import CallCache
cache = CallCache.open(Path(sys.argv[1]))
print("mine", flush=True)
time.sleep(60)
"""
    path = tmp_path / "calls.sqlite"
    with subprocess.Popen([sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE) as owner:
        assert owner.stdout is not None
        owner.stdout.readline()
        with pytest.raises(InputError, match="another process has these calls open"):
            CallCache.open(path)
        owner.kill()
    CallCache.open(path).close()


async def test_two_wrappers_of_one_cache_make_one_call_between_them(cache):
    go = asyncio.Event()

    async def slow(_):
        await go.wait()
        return "hello"

    one, other = Scripted(slow), Scripted(slow)
    tasks = [asyncio.create_task(cached(model, cache, address=AT).complete(ASK)) for model in (one, other)]
    await asyncio.sleep(0)
    go.set()
    assert [(await task).cached for task in tasks] == [False, True]
    assert (len(one.requests), len(other.requests)) == (1, 0)


async def test_what_came_out_of_a_cache_further_in_was_not_paid_now(cache, tmp_path: Path):
    await cached(Scripted(["hello"]), cache, address=AT).complete(ASK)
    own = CallCache.open(tmp_path / "own.sqlite")
    found = await cached(cached(Scripted([]), cache, address=AT), own, address=AT).complete(ASK)
    own.close()
    assert found.cached


@pytest.mark.parametrize("what", ["\ud800", 2**70, {1}, {1: "x"}], ids=["surrogate", "integer", "set", "key"])
async def test_what_is_no_json_fails_as_a_request_that_cannot_be_sent(cache, what):
    model = Scripted(["unused"])
    with pytest.raises(ModelFailed, match="the request is no JSON") as caught:
        await cached(model, cache, address=AT).complete(ChatRequest([], extra={"x": what}))
    assert caught.value.reason == "bad_request"
    assert model.requests == []


def test_a_reply_survives_a_kill_right_after_it_was_given(tmp_path: Path):
    program = """
import asyncio, os, signal, sys
from pathlib import Path
from synthagent.llm.caching import CallCache, cached
from synthagent.llm.model import ChatRequest
from synthagent.llm.scripted import Scripted
cache = CallCache.open(Path(sys.argv[1]))
asyncio.run(cached(Scripted(["paid for"]), cache, address="x").complete(ChatRequest([])))
os.kill(os.getpid(), signal.SIGKILL)
"""
    path = tmp_path / "calls.sqlite"
    done = subprocess.run([sys.executable, "-c", program, str(path)], env={**os.environ}, check=False)
    assert done.returncode == -signal.SIGKILL
    cache = CallCache.open(path)
    found = cache.find(key_of("scripted", "x", ChatRequest([])))
    cache.close()
    assert found is not None
    assert found.content == "paid for"
