"""Another try, later and later, within a budget. Nobody waits: sleep is the test's."""

import asyncio
import random
from contextlib import aclosing

import pytest

from synthagent.errors import ModelFailed
from synthagent.llm.model import ChatRequest, ContextOverflow, TransientFailure
from synthagent.llm.openai import OpenAIChat
from synthagent.llm.retrying import Backoff, retried
from synthagent.llm.scripted import Scripted
from synthagent.llm.stub import Misbehave, StubServer

ASK = ChatRequest([{"role": "user", "content": "hi"}])
DOWN = TransientFailure("down", reason="http_502")


class Time:
    """Sleeping takes none, and is remembered."""

    def __init__(self):
        self.naps: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.naps.append(seconds)


def patient(model, time, **backoff):
    return retried(model, Backoff(**backoff), rng=random.Random(1), sleep=time.sleep)


async def test_a_passing_failure_is_not_noticed():
    time, model = Time(), Scripted([DOWN, DOWN, "hello"])
    assert (await patient(model, time).complete(ASK)).content == "hello"
    assert len(model.requests) == 3
    assert 0.25 <= time.naps[0] <= 0.5 <= time.naps[1] <= 1.0


async def test_waits_double_up_to_the_longest_and_differ_between_callers():
    time = Time()
    with pytest.raises(ModelFailed):
        await patient(Scripted([DOWN] * 9), time, attempts=9, longest=8.0).complete(ASK)
    for nap, longest in zip(time.naps, [0.5, 1, 2, 4, 8, 8, 8, 8], strict=True):
        assert longest / 2 <= nap <= longest
    assert len(set(time.naps)) == 8


async def test_after_the_last_try_the_failure_keeps_its_reason_and_tells_how_hard_we_tried():
    time = Time()
    with pytest.raises(ModelFailed, match=r"down \(gave up after 3 tries and 1\.\d s of waiting\)") as caught:
        await patient(Scripted([DOWN] * 3), time, attempts=3).complete(ASK)
    assert caught.value.reason == "http_502"
    assert not isinstance(caught.value, TransientFailure)


async def test_a_call_that_keeps_failing_is_told_of_once_and_not_by_every_caller():
    told = []
    busy = [DOWN] * 6
    model = retried(Scripted([*busy, "yes", *busy, "yes"]), rng=random.Random(0), sleep=Time().sleep, tell=told.append)
    for _ in range(2):
        await model.complete(ASK)
    assert told == ["down; try 3 of 8, trying again"]


async def test_what_soon_passes_is_not_told():
    told = []
    busy = [DOWN] * 2
    model = retried(Scripted([*busy, "yes"]), rng=random.Random(0), sleep=Time().sleep, tell=told.append)
    await model.complete(ASK)
    assert told == []


async def test_a_wait_beyond_the_budget_is_not_begun():
    time, model = Time(), Scripted([DOWN, TransientFailure("busy", reason="rate_limited", retry_after=3600)])
    with pytest.raises(ModelFailed, match="busy"):
        await patient(model, time, total=60).complete(ASK)
    assert len(time.naps) == 1


async def test_the_server_may_say_when_to_come_back():
    time = Time()
    model = Scripted(
        [TransientFailure("busy", reason="rate_limited", retry_after=wait) for wait in (0.0, 40.0)] + ["ok"]
    )
    assert (await patient(model, time).complete(ASK)).content == "ok"
    assert time.naps[0] == 0.0
    assert 40.0 <= time.naps[1] <= 44.0


@pytest.mark.parametrize("failure", [ModelFailed("no such model", reason="http_404"), ContextOverflow("too long")])
async def test_what_cannot_pass_is_raised_as_it_is(failure):
    time = Time()
    with pytest.raises(ModelFailed) as caught:
        await patient(Scripted([failure]), time).complete(ASK)
    assert caught.value is failure
    assert time.naps == []


async def test_cancelling_ends_the_trying():
    asleep = asyncio.Event()

    async def sleep(_: float) -> None:
        asleep.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(retried(Scripted([DOWN]), sleep=sleep).complete(ASK))
    await asleep.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_over_http_a_busy_server_is_asked_until_it_answers():
    turns = iter([Misbehave(429, {"Retry-After": "2"}), Misbehave(503), Misbehave(drop="before"), "at last"])
    server, time = StubServer(lambda _: next(turns)), Time()
    async with server as url, aclosing(patient(OpenAIChat("m", url), time)) as model:
        assert (await model.complete(ASK)).content == "at last"
        assert model.name == "m"
    assert len(server.seen) == 4
    assert 2.0 <= time.naps[0] <= 2.2
