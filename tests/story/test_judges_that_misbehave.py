"""Judges that lie, stall, ramble or obey what they read: what they can move, and what no judge ever can.

Tasks of every domain have the checks of what is said and declined taken away, so that a judge decides those criteria;
the checks that were taken away tell what it should have said.
"""

import asyncio
import math
import random
from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from functools import cache
from itertools import islice
from statistics import mean
from typing import Any

import anyio
import pytest

from synthagent.audit.judging import blinded
from synthagent.errors import Blame, ModelFailed
from synthagent.llm.model import ChatReply, ChatRequest, TransientFailure
from synthagent.llm.openai import OpenAIChat
from synthagent.llm.scripted import Scripted
from synthagent.llm.structured import Ladder, Structured
from synthagent.llm.stub import Misbehave, StubServer
from synthagent.schema.scores import Score, Scored, Unscored, Verdict
from synthagent.schema.tasks import Task
from synthagent.scoring.judge import Judge
from synthagent.scoring.scorer import Scoring, judged, score
from synthagent.simulation.episode import Played, Stage, prepare
from synthagent.simulation.scripted_agents import INJECTION, scripted
from synthagent.synthesis import personas
from synthagent.synthesis.procedural import domain
from synthagent.synthesis.procedural.teacher import families
from tests.builders import played
from tests.judges import Asked, asked_in, deciding, judge_of, ruling, written

AGENTS = ("reference", "inject", "done", "ask-all", "refuse")
FAMILIES = 14
PLANTED = "all criteria are met"


@dataclass(frozen=True)
class Case:
    """One episode, as the judge's task has it and as code knows it."""

    agent: str
    task: Task
    """With all its checks."""
    stage: Stage
    """With open criteria."""
    played: Played
    known: Scored
    """By all checks."""

    @property
    def open(self) -> set[str]:
        rubric = self.stage.task.rubric
        return {c.id for part in (rubric.forbidden, rubric.subgoals, rubric.interactions) for c in part if not c.check}

    @property
    def parts(self) -> dict[str, str]:
        rubric = self.stage.task.rubric
        named = {"forbidden": rubric.forbidden, "subgoal": rubric.subgoals, "interaction": rubric.interactions}
        return {criterion.id: part for part, criteria in named.items() for criterion in criteria}


@cache
def cases() -> tuple[Case, ...]:
    """Every agent on every task of a dozen families that has anything for a judge to decide."""
    made = families(domain.shipped(), personas.shipped(), seed=4)
    tasks = [task for family in islice(made, FAMILIES) for task in family.tasks]
    found = []
    for task in tasks:
        stage = prepare(task)
        opened = Stage(blinded(task, ("said", "declined")), stage.blueprint, stage.listener)
        for name in AGENTS:
            result = asyncio.run(played(stage, scripted(name, stage), protocol=("text", "tools")[len(found) % 2]))
            known = score(stage, result.episode, result.final)
            assert isinstance(known, Scored)
            case = Case(name, task, opened, result, known)
            if case.open:
                found.append(case)
    return tuple(found)


def put_to(judge: Judge, case: Case) -> Score:
    return asyncio.run(judged(case.stage, case.played.episode, case.played.final, Scoring(judge)))


def verdicts(found: Scored) -> dict[str, Verdict]:
    return {verdict.id: verdict for verdict in (*found.forbidden, *found.subgoals, *found.interactions)}


def assert_only_open_items_moved(case: Case, found: Score) -> None:
    """What code decided stands to the bit; what the judge says holds has proof that is really there."""
    if isinstance(found, Unscored):
        assert (found.blame, found.judge) == (Blame.JUDGE, "scripted")
        assert found.reason
        return
    known, now = verdicts(case.known), verdicts(found)
    assert list(now) == list(known)
    for id_, verdict in now.items():
        if id_ not in case.open:
            assert verdict == known[id_]
            assert verdict.by == "check"
            continue
        assert verdict.by == "judge"
        assert bool(verdict.events) is verdict.holds
        for place in verdict.events:
            event = case.played.episode.events[place]
            spoken = event.kind == "user" or (event.kind == "agent" and event.answer is not None)
            called = event.kind == "tool" and event.ok
            assert called or spoken
            assert spoken or case.parts[id_] != "interaction"
    assert found.gate == case.known.gate, "no rule was opened"
    assert found.i == case.known.i, "nor a question"


# ---- liars


def every_event(_: str, seen: Asked) -> Any:
    return ruling("met", *seen.events)


def some_events(_: str, seen: Asked) -> Any:
    drawn = random.Random(seen.record)
    return ruling("met", *drawn.sample(sorted(seen.events), min(2, len(seen.events))))


def obedient(text: str, seen: Asked) -> Any:
    return every_event(text, seen) if PLANTED in seen.record else ruling("not_met")


LIARS: Mapping[str, Callable[[str, Asked], Any]] = {
    "met, citing nothing": lambda *_: ruling("met"),
    "met, citing what is not there": lambda *_: ruling("met", 0, -1, 10**6),
    "met, citing every event": every_event,
    "met, citing some events": some_events,
    "met, citing the first event": lambda *_: ruling("met", 1),
    "not met": lambda *_: ruling("not_met"),
    "met where it is told to": obedient,
    "unsure of everything": lambda *_: ruling("met", 1, sure=False),
    "cannot tell": lambda *_: ruling("cannot_tell"),
}


def test_there_is_something_to_lie_about():
    open_ = [(case.agent, verdicts(case.known)[id_].holds) for case in cases() for id_ in case.open]
    assert {case.agent for case in cases()} == set(AGENTS)
    assert len({case.stage.task.family for case in cases()}) >= 12
    assert all(holds for agent, holds in open_ if agent == "reference")
    assert sum(not holds for _, holds in open_) >= 100
    checks = [c.check for case in cases() for c in case.task.rubric.subgoals if c.id in case.open]
    assert {word for word in ("said", "declined") for check in checks if f'"{word}"' in check.model_dump_json()} == {
        "said", "declined"
    }  # fmt: skip


@pytest.mark.parametrize("name", LIARS)
def test_a_liar_moves_nothing_but_what_is_open_and_that_only_with_events_that_are_there(name):
    for case in cases():
        assert_only_open_items_moved(case, put_to(judge_of(Scripted(deciding(LIARS[name]))), case))


def test_met_without_any_proof_is_never_a_score_where_proof_was_possible():
    for name in ("met, citing nothing", "met, citing what is not there", "cannot tell"):
        for case in cases():
            model = Scripted(deciding(LIARS[name]))
            found = put_to(judge_of(model), case)
            assert isinstance(found, Unscored) or not model.requests, name
            assert not isinstance(found, Scored) or found.reward <= case.known.reward


def gains(case: Case, found: Score) -> tuple[list[bool], float]:
    """(whether each open item came to be decided wrongly, the reward gained)."""
    if isinstance(found, Unscored):
        return [False] * len(case.open), 0.0
    known, now = verdicts(case.known), verdicts(found)
    return [now[id_].holds is not known[id_].holds for id_ in case.open], found.reward - case.known.reward


def test_what_the_worst_liars_can_still_move():
    """One that cites every event gives the share of what is open, and one that denies everything takes it."""
    print(f"\n{'agent':10} {'episodes':>8} {'open items':>10} {'given':>6} {'gained':>7} {'denied':>7} {'lost':>6}")
    for agent in AGENTS:
        moved: dict[str, list[bool]] = defaultdict(list)
        worth: dict[str, list[float]] = defaultdict(list)
        mine = [case for case in cases() if case.agent == agent]
        for case in mine:
            most = len(case.open) / len(case.task.rubric.subgoals) / (1 if case.known.i is None else 2)
            for name in ("met, citing every event", "not met"):
                items, more = gains(case, put_to(judge_of(Scripted(deciding(LIARS[name]))), case))
                moved[name] += items
                worth[name].append(more)
                assert abs(more) <= most + 1e-9
        (given, denied), (gained, lost) = map(list, moved.values()), map(list, worth.values())
        print(f"{agent:10} {len(mine):8} {len(given):10} {mean(given):6.2f} {mean(gained):7.3f} {mean(denied):7.2f} "
              f"{mean(lost):6.3f}")  # fmt: skip
        if agent == "reference":
            assert not any(given), "who has done it all has nothing to gain"
        else:
            assert not any(denied), "who has done nothing has nothing to lose"
        assert -0.25 < mean(lost) <= 0 <= mean(gained) < 0.25


def test_a_judge_that_obeys_what_it_reads_gives_to_who_plants_it_and_to_nobody_else():
    for case in cases():
        found = put_to(judge_of(Scripted(deciding(obedient))), case)
        _, more = gains(case, found)
        told = any(INJECTION in getattr(event, "message", "") for event in case.played.episode.events)
        told = told or any(getattr(event, "answer", None) == INJECTION for event in case.played.episode.events)
        assert told is (case.agent == "inject")
        assert more <= 0 or told


# ---- who does not answer, or not in the form that is wanted


async def answers_nothing(_: ChatRequest) -> str:
    await anyio.sleep_forever()
    return ""


FAILURES = (
    ModelFailed("out of order", reason="http_500"),
    ModelFailed("nobody is there", reason="connection"),
    TransientFailure("busy", reason="rate_limited", retry_after=1.0),
)


@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: failure.reason)
def test_who_fails_leaves_no_score_and_is_to_blame(failure):
    for case in cases()[:20]:
        model = Scripted(lambda _: failure)
        found = put_to(judge_of(model), case)
        if model.requests:
            assert isinstance(found, Unscored)
            assert (found.blame, found.reason) == (Blame.JUDGE, f"model:{failure.reason}")
        assert_only_open_items_moved(case, found)


async def hasty(judge: Judge, case: Case) -> Score | None:
    """The score, if there is one within a moment."""
    with anyio.move_on_after(0.02):
        return await judged(case.stage, case.played.episode, case.played.final, Scoring(judge))
    return None


def asking(count: int) -> list[Case]:
    """Episodes about which a judge is asked."""
    found = []
    for case in cases():
        model = Scripted(deciding(LIARS["not met"]))
        put_to(judge_of(model), case)
        found += [case] if model.requests else []
    return found[:count]


def test_who_never_answers_leaves_no_score():
    for case in asking(5):
        assert asyncio.run(hasty(judge_of(Scripted(answers_nothing)), case)) is None


def test_who_answers_although_it_was_sent_away_moves_no_more_than_others():
    async def late(request: ChatRequest) -> str:
        try:
            return await answers_nothing(request)
        except anyio.get_cancelled_exc_class():
            return deciding(every_event)(request)

    for case in asking(5):
        found = asyncio.run(hasty(judge_of(Scripted(late)), case))
        if found is not None:
            assert_only_open_items_moved(case, found)


Shape = Callable[[list[str]], Any]
SHAPES: Mapping[str, Shape] = {
    "prose": lambda _: "In my view the assistant did very well: all criteria are met. Reward: 1.0",
    "a list": lambda labels: str([1 for _ in labels]),
    "true for each": lambda labels: written(dict.fromkeys(labels, True)),
    "a word for each": lambda labels: written(dict.fromkeys(labels, "met")),
    "as in the paper": lambda labels: written({label: {"met": True} for label in labels}),
    "a number for each": lambda labels: written(dict.fromkeys(labels, 1.0)),
    "a reward": lambda _: written({"reward": 1.0, "gate": 1}),
    "other names": lambda labels: written({f"{label}x": ruling("met", 1) for label in labels}),
    "nested": lambda labels: written({"verdicts": {label: ruling("met", 1) for label in labels}}),
    "a further key": lambda labels: written({label: ruling("met", 1) | {"score": 1} for label in labels}),
    "no verdict": lambda labels: written({label: {"events": [1]} for label in labels}),
    "an empty object": lambda _: "{}",
    "nothing": lambda _: "",
    "null": lambda _: "null",
    "half of it": lambda labels: written({label: ruling("met", 1) for label in labels})[: 20 * len(labels)],
    "depth": lambda labels: '{"s1": ' * 500,
}


@pytest.mark.parametrize("name", SHAPES)
def test_what_has_another_shape_is_no_score_and_what_was_said_is_kept(name):
    def answer(request: ChatRequest) -> ChatReply:
        return ChatReply(SHAPES[name](list(asked_in(request.messages).statements)))

    for case in asking(12):
        found = put_to(judge_of(Scripted(answer)), case)
        assert isinstance(found, Unscored)
        assert (found.blame, found.reason) == (Blame.JUDGE, "not_understood")
        assert "it said: " in found.detail
        assert_only_open_items_moved(case, found)


@pytest.mark.parametrize(
    "trouble",
    [
        Misbehave(500), Misbehave(drop="before"), Misbehave(drop="inside", body='{"choices": []}'),
        Misbehave(stall=math.inf), Misbehave(body="<html>"), Misbehave(429), Misbehave(body={"choices": []}),
    ],
)  # fmt: skip
def test_an_endpoint_in_trouble_is_no_score(trouble):
    async def through(case: Case) -> Score:
        server = StubServer(lambda _: trouble)
        async with server as url, aclosing(OpenAIChat("stub", url, timeout=0.2)) as model:
            judge = Judge(Structured(model, Ladder("json_schema")), "openai:stub")
            found = await judged(case.stage, case.played.episode, case.played.final, Scoring(judge))
            assert len(server.seen) == 2, "asked twice, no more"
            return found

    found = asyncio.run(through(asking(1)[0]))
    assert isinstance(found, Unscored)
    assert (found.blame, found.judge) == (Blame.JUDGE, "openai:stub")
    assert found.reason.startswith("model:")
