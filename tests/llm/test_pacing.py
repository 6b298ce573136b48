"""As many calls at once as the server takes: found by trying, first come first served."""

import asyncio
import math
import time
from contextlib import aclosing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthagent.llm.model import ChatReply, ChatRequest, TransientFailure
from synthagent.llm.openai import OpenAIChat
from synthagent.llm.pacing import Limiter, Rate, estimate, paced
from synthagent.llm.retrying import Backoff, retried
from synthagent.llm.scripted import Scripted
from synthagent.llm.stub import Misbehave, StubServer

ASK = ChatRequest([{"role": "user", "content": "hi"}])
BUSY = TransientFailure("busy", reason="rate_limited", overloaded=True)


async def hold(limiter: Limiter, done: asyncio.Event, log: list | None = None, name: int = 0) -> None:
    async with limiter:
        if log is not None:
            log.append(name)
        await done.wait()


async def complain(limiter: Limiter, failure: Exception = BUSY) -> None:
    with pytest.raises(type(failure)):
        async with limiter:
            raise failure


async def crowd(limiter: Limiter, visits: int) -> None:
    """So many visits with more waiting than there is room for; all are served."""

    async def visit() -> None:
        async with limiter:
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as group:
        for _ in range(visits):
            group.create_task(visit())


async def test_no_more_than_the_limit_are_inside_and_the_rest_enter_in_order():
    limiter, done, log = Limiter(3, 3), asyncio.Event(), []
    tasks = [asyncio.create_task(hold(limiter, done, log, n)) for n in range(10)]
    await asyncio.sleep(0)
    assert (log, limiter.in_flight) == ([0, 1, 2], 3)
    done.set()
    await asyncio.gather(*tasks)
    assert log == list(range(10))
    assert limiter.in_flight == 0


async def test_a_full_house_that_is_served_gets_about_one_more_place_a_round():
    limiter = Limiter(4, 100)
    await crowd(limiter, sum(range(4, 14)))
    assert 12 <= limiter.limit <= 14


async def test_an_idle_limiter_does_not_grow():
    limiter = Limiter(4, 100)
    for _ in range(500):
        async with limiter:
            pass
    assert limiter.limit == 4


async def test_it_never_leaves_its_bounds():
    limiter = Limiter(2, 3)
    await crowd(limiter, 50)
    assert limiter.limit == 3
    for _ in range(50):
        await complain(limiter)
    assert limiter.limit == 1
    async with limiter:
        assert limiter.in_flight == 1
    with pytest.raises(ValueError, match="start"):
        Limiter(5, 3)


async def test_a_burst_of_complaints_about_one_rate_is_one_complaint():
    limiter = Limiter(100, 100)
    async with asyncio.TaskGroup() as group:
        full = asyncio.Event()

        async def refused() -> None:
            with pytest.raises(TransientFailure):
                async with limiter:
                    await full.wait()
                    raise BUSY

        for _ in range(100):
            group.create_task(refused())
        await asyncio.sleep(0)
        full.set()
    assert limiter.limit == 75
    await complain(limiter)
    assert limiter.limit == 56


async def test_only_overload_lowers_the_limit():
    limiter = Limiter(8, 8)
    for failure in (TransientFailure("lost", reason="connection"), ValueError("ours")):
        await complain(limiter, failure)
    assert limiter.limit == 8


async def test_who_gives_up_waiting_loses_no_place_and_blocks_nobody():
    limiter, done, log = Limiter(1, 1), asyncio.Event(), []
    done.set()
    async with limiter:
        waiting, granted, last = (asyncio.create_task(hold(limiter, done, log, n)) for n in range(3))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.sleep(0)
    granted.cancel()  # in the very tick in which it was given the place
    await asyncio.wait_for(last, 1)
    assert (log, limiter.in_flight) == ([2], 0)
    assert granted.cancelled()


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 3), st.sampled_from(["ok", "busy", "lost", "cancel"])), min_size=1, max_size=40)
)
def test_whatever_happens_the_house_empties_and_is_never_overfull(steps):
    async def story() -> Limiter:
        limiter = Limiter(2, 4)

        async def visit(turns: int, end: str) -> None:
            async with limiter:
                assert limiter.in_flight <= limiter.most
                for _ in range(turns):
                    await asyncio.sleep(0)
                if end != "ok":
                    raise TransientFailure(end, reason=end, overloaded=end == "busy")

        tasks = [asyncio.create_task(visit(turns, end)) for turns, end in steps]
        await asyncio.sleep(0)
        for task, (_, end) in zip(tasks, steps, strict=True):
            if end == "cancel":
                task.cancel()
        await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 5)
        return limiter

    limiter = asyncio.run(story())
    assert limiter.in_flight == 0
    assert 1 <= limiter.limit <= 4


async def test_a_pass_costs_microseconds():
    limiter = Limiter(8, 8)
    began = time.process_time()
    for _ in range(5000):
        async with limiter:
            pass
    assert (time.process_time() - began) / 5000 < 50e-6


async def test_a_paced_model_waits_its_turn():
    inside = 0

    async def answer(_: ChatRequest) -> str:
        nonlocal inside
        inside += 1
        assert inside <= 2
        await asyncio.sleep(0)
        inside -= 1
        return "ok"

    async with aclosing(paced(Scripted(answer), Limiter(2, 2))) as model, asyncio.TaskGroup() as group:
        for _ in range(10):
            group.create_task(model.complete(ASK))
    assert model.name == "scripted"


async def test_over_http_a_small_server_is_found_out_and_everyone_is_served():
    room = 8

    async def handler(_: dict) -> str | Misbehave:
        if server.in_flight > room:
            return Misbehave(429, {"Retry-After": "0"})
        await asyncio.sleep(0.002)
        return "ok"

    server, limiter = StubServer(handler, remember=False), Limiter(64, 200)
    async with server as url:
        model = retried(paced(OpenAIChat("m", url), limiter), Backoff(attempts=60))
        async with aclosing(model), asyncio.TaskGroup() as group:
            tasks = [group.create_task(model.complete(ASK)) for _ in range(300)]
    assert all(task.result().content == "ok" for task in tasks)
    assert limiter.limit <= 2 * room


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        await asyncio.sleep(0)


def rate(**limits) -> tuple[Rate, Clock]:
    clock = Clock()
    return Rate(**limits, clock=clock, sleep=clock.sleep), clock


async def test_calls_a_minute_are_kept_after_a_first_burst():
    slow, clock = rate(rpm=60)
    for _ in range(130):
        await slow.take(0)
    # Ten seconds' worth at once, then one a second.
    assert clock.now == pytest.approx(120, abs=1)


async def test_tokens_a_minute_are_kept_and_an_estimate_is_corrected():
    slow, clock = rate(tpm=6000)
    for _ in range(10):
        await slow.take(1000)
        slow.settle(1000, 500)
    # 5,000 tokens at 100 a second, the first 1,000 of them at once.
    assert clock.now == pytest.approx(40, abs=6)


async def test_a_call_larger_than_the_whole_bucket_is_made_and_waited_for_by_the_next():
    slow, clock = rate(tpm=600)
    await slow.take(5000)
    assert clock.now == 0
    await slow.take(1)
    assert clock.now == pytest.approx(490, abs=1)


async def test_a_server_that_counts_no_tokens_leaves_the_estimate():
    slow, clock = rate(tpm=600)
    await slow.take(100)
    slow.settle(100, 0)
    await slow.take(10)
    assert clock.now > 0


async def test_a_retry_after_holds_up_everybody_but_no_longer_than_a_minute():
    slow, clock = rate()
    refusals = iter([TransientFailure("wait", reason="rate_limited", retry_after=7.0, overloaded=True)])
    model = paced(Scripted(lambda _: next(refusals, None) or ChatReply("ok")), Limiter(4, 4), slow)
    with pytest.raises(TransientFailure):
        await model.complete(ASK)
    assert (await model.complete(ASK)).content == "ok"
    assert clock.now == pytest.approx(7.0)
    slow.pause(3600)
    await slow.take(0)
    assert clock.now == pytest.approx(67.0)


async def test_who_came_first_goes_first():
    slow, _ = rate(rpm=6)
    log: list[int] = []

    async def come(name: int) -> None:
        await slow.take(0)
        log.append(name)

    async with asyncio.TaskGroup() as group:
        for name in range(8):
            group.create_task(come(name))
    assert log == list(range(8))


async def test_who_comes_while_a_turn_is_handed_over_goes_last():
    clock, go = Clock(), asyncio.Event()

    async def sleep(seconds: float) -> None:
        await go.wait()
        clock.now += 1000

    fast, log, late = Rate(rpm=6000, clock=clock, sleep=sleep), [], []
    fast.pause(5)

    async def come(name: str) -> None:
        await fast.take(0)
        log.append(name)

    early = [asyncio.create_task(come(f"early {n}")) for n in range(3)]
    await asyncio.sleep(0)
    go.set()
    while len(log) < 3:
        late.append(asyncio.create_task(come("late")))
        await asyncio.sleep(0)
    await asyncio.gather(*early, *late)
    assert log == ["early 0", "early 1", "early 2", *["late"] * len(late)]


async def test_who_gives_up_waiting_for_a_rate_takes_nothing_and_blocks_nobody():
    clock, asleep = Clock(), asyncio.Event()

    async def sleep(seconds: float) -> None:
        if not asleep.is_set():
            asleep.set()
            await asyncio.Event().wait()
        await clock.sleep(seconds)

    slow = Rate(rpm=6, clock=clock, sleep=sleep)
    await slow.take(0)
    first, second = asyncio.create_task(slow.take(0)), asyncio.create_task(slow.take(0))
    await asleep.wait()
    first.cancel()
    await second
    assert first.cancelled()
    assert clock.now == pytest.approx(10.0)
    await slow.take(0)
    assert clock.now == pytest.approx(20.0)


async def test_over_http_a_server_that_asks_for_a_pause_is_not_asked_by_everybody_in_turn():
    loop, refused = asyncio.get_running_loop(), 0
    began = loop.time()

    def handler(_: dict) -> str | Misbehave:
        nonlocal refused
        if loop.time() - began < 0.3:
            refused += 1
            return Misbehave(429, {"Retry-After": "0.3"})
        return "ok"

    async with StubServer(handler, remember=False) as url:
        model = retried(paced(OpenAIChat("m", url), Limiter(8, 8), Rate()))
        async with aclosing(model), asyncio.TaskGroup() as group:
            tasks = [group.create_task(model.complete(ASK)) for _ in range(200)]
    assert all(task.result().content == "ok" for task in tasks)
    assert refused <= 8, "only those who were under way were refused"


@pytest.mark.parametrize(
    ("message", "tokens"),
    [
        ({"role": "user", "content": "x" * 400}, 100),
        ({"role": "user", "content": "ж" * 400}, 200),
        ({"role": "assistant", "content": None}, 0),
        ({"role": "assistant", "content": "", "tool_calls": [{"function": {"arguments": "x" * 400}}]}, 108),
        ({"role": "user", "content": "\ud800" * 400}, 100),
    ],
    ids=["text", "two bytes a letter", "nothing", "tool calls", "no text at all"],
)
def test_an_estimate_counts_what_is_read_and_the_longest_reply(message, tokens):
    assert estimate(ChatRequest([message], max_tokens=50)) == tokens + 50


@pytest.mark.parametrize("limit", [0, -1, math.nan, math.inf])
def test_a_rate_that_is_none_is_refused(limit):
    with pytest.raises(ValueError, match="rates are positive"):
        Rate(rpm=limit)
    with pytest.raises(ValueError, match="rates are positive"):
        Rate(tpm=limit)
