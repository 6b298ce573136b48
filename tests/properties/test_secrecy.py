"""Invariant 1: whatever an agent does with all that it is given, it finds nothing of what only others may know."""

import gc
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any, get_args

import anyio
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthagent.llm.scripted import Scripted, calling
from synthagent.schema.checks import All, State
from synthagent.schema.messages import AssistantTurn, Protocol, ToolCall
from synthagent.schema.tasks import Fact, Request, SayStep, Task, identified
from synthagent.simulation.agent import View
from synthagent.simulation.episode import Stage, facts_user, prepare
from synthagent.simulation.model_agent import ModelAgent, Sampling
from synthagent.simulation.reference_agent import speak
from tests.builders import ToolUse, library, library_uses, played

PROTOCOLS = get_args(Protocol)
SECRET = "zq7x"
"""In everything that the agent must not see."""


def with_secrets() -> Task:
    """The library, with a mark in every place that is not the agent's."""
    task = library()
    hidden = task.hidden.model_copy(
        update={
            "goal": f"{task.hidden.goal} {SECRET}1",
            "facts": (*task.hidden.facts, Fact(id=f"{SECRET}2", topic=f"{SECRET}3", aliases=(f"{SECRET}4",),
                                               text=f"{SECRET}5.", value=f"{SECRET}6")),
            "escape_lines": (),
            "requests": (Request(id=f"{SECRET}7", text=f"{SECRET}8"),),
        }
    )  # fmt: skip
    programs = {
        name: tuple(
            step.model_copy(update={"query": f"{step.query} -- {SECRET}9"}) if hasattr(step, "query") else step
            for step in steps
        )
        for name, steps in task.world.programs.items()
    }
    rows = {**task.world.rows, "members": (*task.world.rows["members"], ("M-3", f"{SECRET}10", "Quay"))}
    world = task.world.model_copy(update={"programs": programs, "rows": rows, "grounding": {"x": f"{SECRET}11"}})
    mark = State(state=f"SELECT '{SECRET}12'")
    rubric = task.rubric.model_copy(
        update={
            name: tuple(
                line.model_copy(update={"text": f"{SECRET}13", "id": f"{SECRET}{line.id}", "check": All(all=(mark,))})
                for line in getattr(task.rubric, name)
            )
            for name in ("forbidden", "subgoals", "interactions")
        }
    )
    return identified(
        task.model_copy(
            update={
                "hidden": hidden,
                "world": world,
                "rubric": rubric,
                "workflow": (f"{SECRET}14",),
                "reference": (SayStep(say=f"{SECRET}15"),),
                "family": f"{SECRET}16",
            }
        )
    )


STAGE: Stage = prepare(with_secrets())
KNOWING = (STAGE, STAGE.task, STAGE.task.hidden, STAGE.task.world, STAGE.task.rubric, STAGE.blueprint, STAGE.listener)
KNOWLEDGE = tuple(type(one) for one in (*KNOWING, facts_user(STAGE)))


def reachable(start: object) -> list[object]:
    """Every object on any path from this one; code and classes are everybody's and lead everywhere."""
    shared = (type, ModuleType, FunctionType, BuiltinFunctionType, MethodType)
    seen: dict[int, object] = {}
    left = [start]
    while left:
        one = left.pop()
        if id(one) in seen or isinstance(one, shared):
            continue
        seen[id(one)] = one
        left += gc.get_referents(one)
    return list(seen.values())


class Spy:
    """Does as it is told, and turns over everything it is given at every turn."""

    name = "spy"

    def __init__(self, plan: list[ToolUse | str]):
        self._plan = plan
        self.found: list[str] = []
        self.turns = 0

    async def act(self, view: View) -> AssistantTurn:
        self._search(view)
        number, self.turns = self.turns, self.turns + 1
        if number >= len(self._plan):
            return speak("Thank you.", view.protocol, final=True)
        step = self._plan[number]
        if isinstance(step, str):
            return speak(step, view.protocol, final=False, number=number)
        return AssistantTurn(tool_calls=(ToolCall(id=f"c{number}", name=step[0], arguments=step[1]),))

    def _search(self, view: View) -> None:
        everything = reachable(view)
        self.found += [repr(one) for one in everything if isinstance(one, KNOWLEDGE)]
        self.found += [one for one in everything if isinstance(one, str) and SECRET in one]
        texts = [repr(view), view.brief.model_dump_json(), orjson.dumps(list(view.messages), default=repr).decode()]
        self.found += [text for text in texts if SECRET in text]


TALK = st.sampled_from(
    ("Hello.", "What is your name?", "Which book?", "Tell me everything.", "I'm sorry, I can't.", "What is your goal?")
)
PLANS: st.SearchStrategy[list[Any]] = st.lists(TALK | library_uses(), max_size=8)


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(PROTOCOLS), PLANS)
def test_an_agent_that_searches_all_it_is_given_finds_nothing(protocol, plan):
    spy = Spy([step for step in plan if step != "I'm sorry, I can't."])
    anyio.run(lambda: played(STAGE, spy, protocol=protocol))
    assert spy.turns
    assert spy.found == []


@settings(max_examples=20, deadline=None)
@given(st.sampled_from(PROTOCOLS), st.sampled_from(("native", "hermes")), st.lists(library_uses(), max_size=4))
def test_nothing_of_it_is_sent_to_a_model_either(protocol, form, calls):
    replies = [calling((name, raw)) for name, raw in calls]
    model = Scripted([*replies, *["<answer>Hm.</answer>"] * 40])
    agent = ModelAgent(model, "m", form, Sampling(), 0)
    anyio.run(lambda: played(STAGE, agent, protocol=protocol, form=form))
    assert SECRET not in repr(model.requests)


async def test_the_search_finds_what_there_is_to_find():
    leaky = View(STAGE.task.brief, "text", [{"role": "user", "content": "Hi.", "stage": STAGE}])
    spy = Spy([])
    await spy.act(leaky)
    assert any(SECRET in text for text in spy.found)
    assert any("Stage(" in text for text in spy.found)


async def test_an_agent_learns_a_fact_only_by_the_users_own_words():
    spy = Spy([f"What is your {SECRET}3?"])
    result = await played(STAGE, spy)
    assert any(event.text == f"{SECRET}5." for event in result.episode.events if event.kind == "user")
    assert {text for text in spy.found if text.startswith(SECRET)} == {f"{SECRET}5."}


def test_the_type_has_no_room_for_more():
    with pytest.raises(TypeError):
        View(STAGE.task.brief, "text", [], STAGE.task.hidden)
    view = View(STAGE.task.brief, "text", [])
    with pytest.raises((AttributeError, TypeError)):
        view.task = STAGE.task
