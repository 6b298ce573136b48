"""What was asked, what it cost, and the limit at which it stops."""

import asyncio

import pytest

from synthagent.config import Price
from synthagent.errors import InputError, ModelFailed
from synthagent.llm.ledger import Budget, BudgetSpent, Ledger, limited, metered
from synthagent.llm.model import ChatReply, ChatRequest
from synthagent.llm.pacing import Limiter, paced
from synthagent.llm.retrying import retried
from synthagent.llm.scripted import Scripted
from synthagent.schema.messages import Usage

PRICE = Price(input=2.0, output=10.0)


def ask(stage="scenario"):
    return ChatRequest([{"role": "user", "content": "hi"}], stage=stage)


def reply(prompt=100, completion=50, cached=False):
    return ChatReply("x", usage=Usage(prompt=prompt, completion=completion), cached=cached)


async def test_calls_are_entered_by_role_and_stage_with_tokens_and_money():
    ledger = Ledger()
    ticks = iter([0.0, 1.5, 2.0, 2.5, 3.0, 3.1])
    model = metered(
        Scripted([reply(), reply(cached=True), reply()]), ledger, "teacher", price=PRICE, clock=lambda: next(ticks)
    )
    for stage in ("scenario", "scenario", "world"):
        await model.complete(ask(stage))
    scenario, world = ledger.rows()
    assert scenario == {
        "role": "teacher", "stage": "scenario", "calls": 1, "cached": 1, "failed": 0, "prompt": 100, "completion": 50,
        "saved": 150, "seconds": 2.0, "usd": 0.0007,
    }  # fmt: skip
    assert (world["stage"], world["calls"]) == ("world", 1)
    assert ledger.tokens == 300
    assert ledger.usage == Usage(prompt=300, completion=150)
    assert ledger.usd == pytest.approx(0.0014)


async def test_without_a_price_money_is_unknown_and_not_nothing():
    ledger = Ledger()
    await metered(Scripted([reply()]), ledger, "teacher").complete(ask())
    assert ledger.usd is None
    assert ledger.rows()[0]["usd"] is None


async def test_a_failure_is_counted_and_raised():
    ledger = Ledger()
    model = metered(Scripted([ModelFailed("no", reason="http_500")]), ledger, "teacher")
    with pytest.raises(ModelFailed):
        await model.complete(ask())
    assert ledger.rows()[0]["failed"] == 1


@pytest.mark.parametrize(
    ("budget", "said"), [(Budget(tokens=300), "300 tokens is spent"), (Budget(usd=0.0014), "0.0014 USD is spent")]
)
async def test_no_call_is_begun_once_the_budget_is_reached(budget, said):
    ledger = Ledger()
    inner = Scripted(lambda _: reply())
    model = metered(limited(inner, ledger, budget), ledger, "teacher", price=PRICE)
    await model.complete(ask())
    await model.complete(ask())
    with pytest.raises(BudgetSpent, match=said):
        await model.complete(ask())
    assert len(inner.requests) == 2


async def test_what_came_from_a_cache_is_not_held_against_the_budget():
    ledger = Ledger()
    model = metered(limited(Scripted(lambda _: reply(cached=True)), ledger, Budget(tokens=10)), ledger, "teacher")
    for _ in range(5):
        await model.complete(ask())
    assert ledger.tokens == 0
    assert ledger.usage.prompt == 500


async def test_a_budget_in_money_without_a_price_is_not_unlimited():
    ledger = Ledger()
    inner = Scripted(lambda _: reply())
    model = metered(limited(inner, ledger, Budget(usd=1.0)), ledger, "teacher")
    await model.complete(ask())
    with pytest.raises(InputError, match="whose price is not known"):
        await model.complete(ask())
    assert len(inner.requests) == 1


async def test_inside_of_pacing_not_even_those_who_wait_begin_a_call_too_late():
    ledger, limiter = Ledger(), Limiter(1, 1)

    async def answer(_):
        await asyncio.sleep(0)
        return reply()

    inner = Scripted(answer)
    model = metered(retried(paced(limited(inner, ledger, Budget(tokens=300)), limiter)), ledger, "teacher")
    ended = await asyncio.gather(*(model.complete(ask()) for _ in range(10)), return_exceptions=True)
    assert len(inner.requests) == 2
    assert [type(end) for end in ended] == [ChatReply] * 2 + [BudgetSpent] * 8
    assert (ledger.tokens, limiter.in_flight) == (300, 0)


async def test_calls_under_way_when_the_budget_is_reached_end_and_are_counted():
    ledger, go = Ledger(), asyncio.Event()

    async def answer(_):
        await go.wait()
        return reply()

    model = metered(limited(Scripted(answer), ledger, Budget(tokens=150)), ledger, "teacher")
    tasks = [asyncio.create_task(model.complete(ask())) for _ in range(3)]
    await asyncio.sleep(0)
    go.set()
    assert [(await task).content for task in tasks] == ["x"] * 3
    assert ledger.tokens == 450
