"""Sessions that nobody comes back to: what ended is kept, what did not is dropped, or kept as it stands."""

import pytest

from synthagent.errors import Blame
from synthagent.schema.episodes import Limits
from synthagent.schema.messages import AssistantTurn, ToolCall
from synthagent.schema.scores import Scored
from synthagent.serve.pool import Pool
from synthagent.serve.sessions import Company
from synthagent.simulation.episode import facts_user
from tests.builders import library

LOOK = AssistantTurn(tool_calls=(ToolCall(id="a", name="find_member", arguments='{"name": "Ada"}'),))


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def pool_of(kept, clock, **more):
    return Pool(
        [library()], lambda stage, _: Company(facts_user(stage), Limits()), kept.append, idle=60.0, clock=clock, **more
    )


@pytest.mark.parametrize("keep_late", [False, True])
async def test_what_nobody_uses_any_more_is_given_up(keep_late):
    kept, clock = [], Clock()
    pool = pool_of(kept, clock, keep_late=keep_late)
    untouched, begun, ended = pool.open(), pool.open(), pool.open()
    for opened in (untouched, begun, ended):
        await opened.session.start()
    await begun.session.step(LOOK)
    await ended.session.step(AssistantTurn(content="Goodbye."))
    assert await pool.sweep() == 0
    clock.now = 61.0
    assert await pool.sweep() == 3
    assert len(pool) == 0
    assert [outcome.episode.sample for outcome in kept] == ([1, 2] if keep_late else [2])
    assert all(isinstance(outcome.score, Scored) for outcome in kept)
    assert {outcome.score.blame for outcome in kept} == {Blame.AGENT}
    assert pool.open().session.sample == 0, "a try that was dropped may be begun again"


async def test_what_had_ended_is_kept_when_the_pool_closes():
    kept = []
    pool = pool_of(kept, Clock())
    begun, ended = pool.open(), pool.open()
    for opened in (begun, ended):
        await opened.session.start()
    await begun.session.step(LOOK)
    await ended.session.step(AssistantTurn(content="Goodbye."))
    await pool.aclose()
    assert [outcome.episode.sample for outcome in kept] == [1]
