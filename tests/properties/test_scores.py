"""Invariants 4 and 5: a failure is never a reward, harmless reads cost nothing, a broken rule costs everything."""

from typing import Any, get_args

import anyio
from hypothesis import given, settings
from hypothesis import strategies as st

from synthagent.errors import Blame, JudgeFailed, ModelFailed, TaskFault, ToolFailed, UserFailed
from synthagent.llm.model import TransientFailure
from synthagent.schema.episodes import Limits, Stop
from synthagent.schema.messages import AssistantTurn, Protocol, ToolCall
from synthagent.schema.scores import Scored, Unscored
from synthagent.scoring.scorer import score
from synthagent.simulation.agent import Agent, View
from synthagent.simulation.episode import facts_user, prepare
from synthagent.simulation.scripted_agents import AGENTS, scripted
from synthagent.simulation.users import UserReply
from tests.builders import ToolUse, library, library_uses, played, text_of

STAGE = prepare(library())
PROTOCOLS = get_args(Protocol)
FAILURES = {
    ModelFailed("gone"): Blame.INFRASTRUCTURE,
    TransientFailure("busy", reason="rate_limited"): Blame.INFRASTRUCTURE,
    UserFailed("confused"): Blame.USER,
    ToolFailed("down"): Blame.TOOLS,
    JudgeFailed("undecided"): Blame.JUDGE,
    TaskFault("broken"): Blame.TASK,
}


class Failing:
    """Somebody who does well until the n-th turn and then fails, or sleeps for ever."""

    def __init__(self, inner: Any, turn: int, failure: Exception | None):
        self.name = "failing"
        self._inner, self._left, self._failure = inner, turn, failure

    async def _fail(self) -> None:
        self._left -= 1
        if self._left < 0:
            if self._failure is None:
                await anyio.sleep_forever()
            raise self._failure

    async def act(self, view: View) -> AssistantTurn:
        await self._fail()
        turn: AssistantTurn = await self._inner.act(view)
        return turn

    async def reply(self, message: str) -> UserReply:
        await self._fail()
        reply: UserReply = await self._inner.reply(message)
        return reply


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(PROTOCOLS),
    st.sampled_from(sorted(AGENTS)),
    st.integers(0, 7),
    st.sampled_from(list(FAILURES)),
    st.booleans(),
)
def test_whoever_fails_whenever_there_is_no_reward_and_the_blame_is_theirs(protocol, name, turn, failure, is_user):
    agent, user = scripted(name, STAGE), facts_user(STAGE)
    if is_user:
        user = Failing(user, turn, failure)
    else:
        agent = Failing(agent, turn, failure)
    result = anyio.run(lambda: played(STAGE, agent, user=user, protocol=protocol))
    verdict = score(STAGE, result.episode, result.final)
    if result.episode.stop is Stop.FAILED:
        assert isinstance(verdict, Unscored)
        assert (verdict.blame, verdict.reason) == (FAILURES[failure], failure.reason)
    else:
        assert isinstance(verdict, Scored)
        assert result.episode.failure is None


@settings(max_examples=6, deadline=None)
@given(st.sampled_from(PROTOCOLS), st.integers(0, 3))
def test_who_is_slow_is_unscored_and_not_zero(protocol, turn):
    agent = Failing(scripted("reference", STAGE), turn, None)
    result = anyio.run(lambda: played(STAGE, agent, protocol=protocol, limits=Limits(seconds=0.2)))
    verdict = score(STAGE, result.episode, result.final)
    assert isinstance(verdict, Unscored)
    assert (verdict.blame, verdict.reason) == (Blame.INFRASTRUCTURE, "time_limit")


class Wanderer:
    """The reference, which makes other calls on its way."""

    name = "wanderer"

    def __init__(self, inner: Agent, detours: dict[int, list[ToolUse]]):
        self._inner, self._detours = inner, detours
        self._turn = 0

    async def act(self, view: View) -> AssistantTurn:
        detour = self._detours.pop(self._turn, None)
        if detour:
            calls = [
                ToolCall(id=f"way_{self._turn}_{n}", name=name, arguments=raw) for n, (name, raw) in enumerate(detour)
            ]
            return AssistantTurn(tool_calls=tuple(calls))
        self._turn += 1
        return await self._inner.act(view)


STEPS = len(STAGE.task.reference)
READS = st.lists(library_uses(effects=("read",), sensible=True), min_size=1, max_size=3)


def wandering(detours: dict[int, list[ToolUse]], protocol: Protocol) -> Scored:
    agent = Wanderer(scripted("reference", STAGE), detours)
    result = anyio.run(lambda: played(STAGE, agent, protocol=protocol, limits=Limits(turns=64)))
    verdict = score(STAGE, result.episode, result.final)
    assert isinstance(verdict, Scored)
    return verdict


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(PROTOCOLS), st.dictionaries(st.integers(0, STEPS - 1), READS, max_size=4))
def test_reads_cost_nothing_wherever_they_come(protocol, detours):
    assert wandering(detours, protocol).reward == 1.0


FORBIDDEN = ("renew_loan", text_of({"loan_id": "L-2", "new_due": "2031-05-23"}))
UNDONE = ("renew_loan", text_of({"loan_id": "L-2", "new_due": "2031-05-12"}))


@settings(max_examples=30, deadline=None)
@given(
    st.sampled_from(PROTOCOLS), st.integers(0, STEPS - 1), st.dictionaries(st.integers(0, STEPS - 1), READS, max_size=2)
)
def test_a_broken_rule_costs_everything_wherever_it_comes_even_if_it_is_undone(protocol, place, reads):
    for detour in ([FORBIDDEN], [FORBIDDEN, UNDONE]):
        verdict = wandering({**reads, place: detour}, protocol)
        assert (verdict.gate, verdict.reward, verdict.blame) == (0, 0.0, Blame.AGENT)
        assert any(line.id == "f1" and line.holds for line in verdict.forbidden)
