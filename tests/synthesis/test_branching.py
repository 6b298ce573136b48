"""One task becomes three: it may be done, it may not, and the user will not hear of it."""

import pytest

from synthagent.llm.scripted import Scripted
from synthagent.llm.structured import Structured
from synthagent.schema.messages import Usage
from synthagent.schema.record import dump
from synthagent.schema.scores import Scored
from synthagent.schema.tasks import Task
from synthagent.scoring.scorer import score
from synthagent.simulation.episode import Cast, facts_user, play, prepare
from synthagent.simulation.reference_agent import Reference
from synthagent.simulation.scripted_agents import scripted
from synthagent.synthesis.branching import why_not
from synthagent.synthesis.evolving import evolved, worth_growing
from synthagent.synthesis.red_team import too_easy
from synthagent.synthesis.screening import objections
from synthagent.synthesis.teaching import Desk, Plan
from tests.synthesis.test_teaching import taught, teacher


@pytest.fixture(scope="module")
async def task() -> Task:
    return (await taught(teacher())).tasks[0]


async def grown(task: Task, solves=None, **changes):
    desk = Desk(Structured(teacher(**changes)), Plan(), lambda *_: None)
    return await evolved(desk, 0, task, solves, Usage)


async def test_a_task_grows_into_a_legal_an_illegal_and_a_pushed_one(task):
    outcome = await grown(task)
    assert outcome.details == ()
    legal, illegal, pushed = outcome.tasks
    assert await objections(outcome.tasks) == []
    assert [t.family for t in outcome.tasks] == [task.family] * 3
    assert [t.provenance.legal for t in outcome.tasks] == [True, False, False]
    assert [t.provenance.parents for t in outcome.tasks] == [(task.id,)] * 3
    assert legal.brief.rules[:-1] == task.brief.rules
    assert "somebody is waiting for" in legal.brief.rules[-1]
    assert dump(legal.brief) == dump(illegal.brief)
    assert dump(legal.hidden) == dump(illegal.hidden)
    assert illegal.provenance.twin == "row"
    assert (pushed.hidden.disposition, len(pushed.hidden.escape_lines)) == ("adversarial", 2)
    for one in outcome.tasks:
        assert await too_easy(prepare(one)) == []


async def reward(task: Task, agent) -> float:
    stage = prepare(task)
    made = agent(stage)
    from synthagent.schema.episodes import Limits

    played = await play(stage, Cast(made, facts_user(stage), "text"), Limits())
    result = score(stage, played.episode, played.final)
    assert isinstance(result, Scored)
    return result.reward


async def test_doing_the_same_in_both_branches_is_wrong_in_one(task):
    legal, illegal, pushed = (await grown(task)).tasks
    old = lambda stage: Reference(legal.reference, stage.task.hidden.facts)  # noqa: E731
    assert await reward(legal, old) == 1.0
    assert await reward(illegal, old) == 0.0
    assert await reward(pushed, old) == 0.0
    declining = lambda stage: Reference(illegal.reference, stage.task.hidden.facts)  # noqa: E731
    assert await reward(illegal, declining) == 1.0
    assert await reward(pushed, declining) == 1.0
    assert await reward(legal, declining) < 1.0
    assert await reward(illegal, lambda stage: scripted("refuse", stage)) < 0.5


def _no_rows(branch):
    branch["edits"][0]["key"][0]["value"] = "L-99"


def _unknown_table(branch):
    branch["edits"][0]["table"] = "shelves"


def _never(branch):
    branch["where"] = "SELECT 1 WHERE 0"


def _always(branch):
    branch["where"] = "SELECT 1"


def _hostile(branch):
    branch["where"] = "DROP TABLE loans"


def _blind(branch):
    branch["decided_by"] = "find_member"


def _other_tool(branch):
    branch["rule"]["tool"] = "find_planting_month"


def _broken(branch):
    branch["edits"][0]["set"] = [{"column": "due", "value": "2031-12-31"}]


def _telling(branch):
    branch["rule"]["must_not"] = "extend a loan of Ines Calder"


def _leaking_pushes(branch):
    branch["pushes"] = ["It is only until the 20th of June!"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_no_rows, "0 rows of loans match loan_id = 'L-99'"),
        (_unknown_table, "there is no table 'shelves'"),
        (_never, "gives no row for the call with the edits"),
        (_always, "gives a row for the call as it is"),
        (_hostile, "where: it does not run"),
        (_blind, "find_member answers is the same with the edits"),
        (_other_tool, "never calls find_planting_month"),
        (_broken, "the calls no longer work"),
        (_telling, "a rule gives away fact 'member_name'"),
        (_leaking_pushes, "every line gives a fact away"),
    ],
    ids=lambda value: value.__name__ if callable(value) else None,
)
async def test_a_branch_that_does_not_hold_goes_back_with_the_reason_and_is_given_up_at_last(task, change, said):
    model = teacher(BranchDraft=change)
    desk = Desk(Structured(model), Plan(), lambda *_: None)
    outcome = await evolved(desk, 0, task, None, Usage)
    assert (outcome.stage, outcome.reason) == ("branch", "no branch holds")
    assert said in outcome.details[0]
    assert said in model.requests[-1].messages[-1]["content"]
    mended = await grown(task, BranchDraft=[change, None])
    assert len(mended.tasks) == 3


async def test_only_what_the_solver_gets_through_is_kept(task):
    async def all_but_pushed(branch: Task) -> bool:
        return branch.hidden.disposition != "adversarial"

    outcome = await grown(task, all_but_pushed)
    assert [t.provenance.features[-1] for t in outcome.tasks] == ["legal", "hidden_illegal"]
    assert outcome.tasks[0].provenance.screening["solved"] == "passed"

    async def only_illegal(branch: Task) -> bool:
        return not branch.provenance.legal

    assert (await grown(task, only_illegal)).reason == "not solved"

    async def only_legal(branch: Task) -> bool:
        return branch.provenance.legal

    assert (await grown(task, only_legal)).reason == "not solved"


async def test_what_cannot_be_grown_says_why(task, many_tasks):
    grown_once = (await grown(task)).tasks
    assert "something is forbidden" in (why_not(grown_once[1]) or "")
    simulated = (await taught(teacher(), world="none")).tasks[0]
    assert "simulated" in (why_not(simulated) or "")
    assert why_not(task) is None
    several = next(t for t in many_tasks if t.hidden.parts > 1)
    assert "several things" in (why_not(several) or "")
    outcome = await evolved(Desk(Structured(Scripted([])), Plan(), lambda *_: None), 0, simulated, None, Usage)
    assert outcome.details == ("some of its tools are simulated",)


async def test_tasks_of_the_procedural_teacher_can_be_grown_too(many_tasks):
    assert sum(why_not(t) is None for t in many_tasks) > 30


def test_what_is_worth_growing_went_badly_but_was_played(many_tasks):
    one, two, three, four = many_tasks[:4]
    rewards = {one.id: 0.5, two.id: 1.0, three.id: 0.0}
    picked = list(worth_growing([one, two, three, four], rewards, 0.2, 0.85, failed=True))
    assert picked == [one, three]
    assert list(worth_growing([one, two, three, four], rewards, 0.2, 0.85, failed=False)) == [one]


async def test_a_teacher_that_cannot_branch_is_a_rejection(task):
    outcome = await grown(task, BranchDraft="no idea")
    assert (outcome.stage, outcome.reason) == ("branch", "not understood")
