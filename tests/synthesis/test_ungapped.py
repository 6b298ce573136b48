"""Without the information gap everything is told, nothing has to be asked, and the task is still worth something."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthagent.errors import InputError
from synthagent.schema.checks import (
    All,
    AnyOf,
    Asked,
    Before,
    Called,
    CallPattern,
    Check,
    Confirmed,
    Declined,
    DeclinedSpec,
    Not,
    NotCalled,
)
from synthagent.schema.episodes import Limits
from synthagent.schema.record import dump
from synthagent.schema.scores import Scored
from synthagent.schema.tasks import AskStep, CallStep, Task, identified
from synthagent.scoring.scorer import score
from synthagent.simulation.episode import Cast, facts_user, play, prepare
from synthagent.simulation.scripted_agents import scripted
from synthagent.simulation.values import mentions
from synthagent.synthesis.executing import facts_used
from synthagent.synthesis.screening import objections
from synthagent.synthesis.ungapped import NO_GAP, Known, without_gap

CALL = Called(called=CallPattern(tool="look"))
OTHER = Called(called=CallPattern(tool="act"))
NAME, AGE, LATER = Asked(asked="name"), Asked(asked="age"), Asked(asked="request_2")
DECLINED = Declined(declined=DeclinedSpec(tool="act"))
FACTS = Known(frozenset({"name", "age"}))


async def earned(task: Task, agent: str) -> float:
    stage = prepare(task)
    played = await play(stage, Cast(scripted(agent, stage), facts_user(stage), "text"), Limits())
    result = score(stage, played.episode, played.final)
    assert isinstance(result, Scored)
    return result.reward


async def test_families_of_every_domain_hold_without_their_gap(many):
    seen: dict[str, int] = {}
    kinds: set[str] = set()
    for made in many:
        domain = made.tasks[0].provenance.domain if made.tasks else ""
        if not domain or seen.get(domain, 0) > 7 or await objections(made.tasks):
            continue
        new = [without_gap(task) for task in made.tasks]
        assert [str(one) for one in await objections(new)] == []
        for old, task in zip(made.tasks, new, strict=True):
            assert [await earned(task, agent) for agent in ("reference", "nothing", "refuse")] == [1.0, 0.0, 0.0]
            kinds |= {str(old.provenance.twin), *old.provenance.features}
            seen[domain] = seen.get(domain, 0) + 1
    assert len(seen) == 13
    assert kinds >= {"None", "fact", "row", "missing_tool", "confirm", "revealed", "long_result"}


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_everything_is_told_and_nothing_has_to_be_asked(many_tasks, data):
    old = data.draw(st.sampled_from(many_tasks))
    new = without_gap(old)
    ids = {fact.id for fact in old.hidden.facts}
    assert new.brief.instruction.startswith(old.brief.instruction)
    assert all(mentions(new.brief.instruction, fact.value) for fact in old.hidden.facts)
    assert (new.hidden, new.world, new.world_id, new.family) == (old.hidden, old.world, old.world_id, old.family)
    assert (new.brief.tools, new.brief.rules) == (old.brief.tools, old.brief.rules)
    assert not any(isinstance(step, AskStep) for step in new.reference)
    assert not any(list(facts_used(step.args)) for step in new.reference if isinstance(step, CallStep))
    assert not ids & {name for c in (*new.rubric.subgoals, *new.rubric.interactions) for name in asked_in(c.check)}
    assert not any(line.startswith("Learn from the user") for line in new.workflow)


def asked_in(check: Check | None) -> set[str]:
    match check:
        case Asked(asked=topic):
            return {topic}
        case All(all=parts) | AnyOf(any=parts) | Before(before=parts):
            return {name for part in parts for name in asked_in(part)}
        case _:
            return set()


def test_a_confirmation_is_still_required_and_later_requests_still_come(many_tasks):
    confirming = [task for task in many_tasks if any(isinstance(c.check, Confirmed) for c in task.rubric.interactions)]
    revealed = [task for task in many_tasks if task.hidden.requests]
    assert confirming
    assert revealed
    for task in confirming:
        assert any(isinstance(c.check, Confirmed) for c in without_gap(task).rubric.interactions)
    for task in revealed:
        left = [name for c in without_gap(task).rubric.interactions for name in asked_in(c.check)]
        assert left == [request.id for request in task.hidden.requests]


def test_twins_by_a_row_stay_twins_and_twins_by_a_fact_become_two_tasks(many):
    for kind, same in (("row", True), ("fact", False)):
        made = next(m for m in many if len(m.tasks) > 1 and m.tasks[1].provenance.twin == kind)
        root, twin = (without_gap(task) for task in made.tasks[:2])
        assert (root.brief == twin.brief) is same
        assert twin.provenance.twin == (kind if same else None)
        assert (root.family, twin.provenance.legal) == (twin.family, False)


def test_the_new_task_says_what_it_is_and_is_made_once(many_tasks):
    new = without_gap(many_tasks[0])
    assert new.provenance.parents[-1] == many_tasks[0].id
    assert NO_GAP in new.provenance.features
    assert new.id == identified(new).id != many_tasks[0].id
    assert without_gap(new) is new
    assert dump(without_gap(many_tasks[0])) == dump(new)


async def test_a_task_that_only_claims_to_tell_everything_is_objected_to(many_tasks):
    new = without_gap(many_tasks[0])
    brief = new.brief.model_copy(update={"instruction": many_tasks[0].brief.instruction})
    found = await objections([identified(new.model_copy(update={"brief": brief}))])
    assert any(o.screen == "leak" and "does not say fact" in o.text for o in found)


@pytest.mark.parametrize(
    ("check", "left"),
    [
        pytest.param(NAME, True, id="a question"),
        pytest.param(LATER, LATER, id="a later request"),
        pytest.param(All(all=(NAME, AGE)), True, id="several questions"),
        pytest.param(All(all=(NAME, CALL)), All(all=(CALL,)), id="a question and a call"),
        pytest.param(AnyOf(any=(NAME, CALL)), True, id="a question or a call"),
        pytest.param(Before(before=(NAME, CALL)), CALL, id="a question before a call"),
        pytest.param(Before(before=(CALL, NAME)), CALL, id="a call before a question"),
        pytest.param(Before(before=(NAME, AGE)), True, id="a question before a question"),
        pytest.param(
            Before(before=(All(all=(NAME, CALL)), OTHER)), Before(before=(All(all=(CALL,)), OTHER)), id="both"
        ),
        pytest.param(Not(negated=NAME), Not(negated=NAME), id="that it was not asked"),
        pytest.param(Not(negated=Not(negated=NAME)), True, id="twice not"),
        pytest.param(NotCalled(not_called=CallPattern(tool="x")), NotCalled(not_called=CallPattern(tool="x")), id="no"),
    ],
)
def test_what_is_left_of_a_wish(check: Check, left: Check | bool):
    assert FACTS.left(check) == left


@pytest.mark.parametrize(
    ("check", "left"),
    [
        pytest.param(NAME, NAME, id="asking is forbidden"),
        pytest.param(Not(negated=NAME), False, id="not asking is forbidden"),
        pytest.param(All(all=(CALL, Not(negated=NAME))), False, id="a call without asking"),
        pytest.param(Not(negated=Before(before=(NAME, CALL))), Not(negated=CALL), id="not in this order"),
        pytest.param(AnyOf(any=(CALL, Not(negated=NAME))), AnyOf(any=(CALL,)), id="a call, or not asking"),
    ],
)
def test_what_is_left_of_a_violation(check: Check, left: Check | bool):
    assert FACTS.left(check, wanted=False) == left


def test_a_refusal_that_only_questions_came_before_is_still_not_free():
    wish = Before(before=(All(all=(NAME, AGE)), DECLINED))
    assert FACTS.left(wish) == DECLINED.model_copy(update={"declined": DECLINED.declined})
    looked = Known(FACTS.facts, lookup=CALL, named=("Ada",))
    assert looked.left(wish) == Before(before=(CALL, DECLINED))
    assert looked.left(Before(before=(OTHER, DECLINED))) == Before(before=(OTHER, DECLINED))
    said = Known(FACTS.facts, named=("Ada",)).left(wish)
    assert isinstance(said, Declined)
    assert said.declined.mentions == ("Ada",)


def test_a_task_of_nothing_but_questions_cannot_go_without_them(many_tasks, edited):
    def only_asks(data):
        data["rubric"]["subgoals"] = [data["rubric"]["interactions"][0]]

    task = next(task for task in many_tasks if isinstance(task.rubric.interactions[0].check, Asked))
    with pytest.raises(InputError, match="nothing but questions"):
        without_gap(edited(task, only_asks))


def test_a_task_without_facts_stays_as_it_is(many_tasks):
    task = many_tasks[0]
    plain = identified(task.model_copy(update={"hidden": task.hidden.model_copy(update={"facts": ()})}))
    assert without_gap(plain) is plain
