"""From a persona to a verified task with a teacher that is good, and what becomes of one that is not."""

from typing import get_args

import orjson
import pytest

from synthagent import prompts
from synthagent.errors import ModelFailed
from synthagent.llm.ledger import BudgetSpent
from synthagent.llm.scripted import Scripted
from synthagent.llm.structured import Structured
from synthagent.schema.messages import Protocol, Usage
from synthagent.schema.scores import Scored
from synthagent.scoring.scorer import score
from synthagent.simulation.episode import Cast, facts_user, play, prepare
from synthagent.simulation.reference_agent import Reference
from synthagent.synthesis.screening import objections, pending
from synthagent.synthesis.teaching import Desk, Outcome, Plan, fingerprints, outcome_of
from tests import teachers

PERSONA = "A beekeeper who runs the seed library of a small town"
PROBED = '{"answer": ["zebra-47", "zebra-47"]}'


def teacher(**changes):
    """A good teacher; `changes`: record -> what is done to its answer in place, a text that is said instead, or a list
    of these, one for each time it is asked, of which the last stays."""
    asked: dict[str, int] = {}

    def answer(request):
        if request.stage == "probe":
            return PROBED
        kind = teachers.wanted(request.messages)
        change = changes.get(kind)
        if isinstance(change, list):
            change = change[min(asked.get(kind, 0), len(change) - 1)]
        asked[kind] = asked.get(kind, 0) + 1
        if isinstance(change, str | Exception):
            return change
        return teachers.answer(kind, change)

    return Scripted(answer)


async def taught(model, kept=None, **plan) -> Outcome:
    keep = (lambda *what: kept.append(what)) if kept is not None else (lambda *_: None)
    desk = Desk(Structured(model), Plan(**plan), keep, name="scripted:good")
    return await outcome_of(desk, 0, PERSONA, lambda: Usage(prompt=70, completion=30))


async def test_a_good_teacher_makes_a_task_that_is_verified():
    model = teacher()
    kept: list = []
    outcome = await taught(model, kept)
    assert outcome.details == ()
    [task] = outcome.tasks
    assert await objections([task]) == []
    assert not pending(task)
    assert [request.stage for request in model.requests] == [
        "probe", "scenario", "toolset", "review", "tables", "programs", "fuzz", "reference", "rubric",
    ]  # fmt: skip
    assert [stage for _, stage, _ in kept] == [
        "scenario", "toolset", "review", "world", "fuzz", "reference", "rubric"
    ]  # fmt: skip
    assert (outcome.tools, outcome.compiled, outcome.repairs) == (4, 4, 0)


async def test_the_task_knows_where_it_comes_from():
    [task] = (await taught(teacher())).tasks
    came = task.provenance
    assert (came.persona, came.teacher, came.domain, came.tokens) == (PERSONA, "scripted:good", "seed_library", 100)
    assert came.prompts == fingerprints()
    assert set(came.screening.values()) == {"passed"}
    assert task.workflow == tuple(teachers.SCENARIO["workflow"])


@pytest.mark.parametrize("protocol", get_args(Protocol))
async def test_its_reference_earns_everything_under_every_protocol(protocol):
    [task] = (await taught(teacher())).tasks
    stage = prepare(task)
    agent = Reference(task.reference, task.hidden.facts)
    played = await play(stage, Cast(agent, facts_user(stage), protocol), _limits())
    result = score(stage, played.episode, played.final)
    assert isinstance(result, Scored)
    assert result.reward == 1.0


def _limits():
    from synthagent.schema.episodes import Limits

    return Limits()


async def test_the_persona_decides_how_the_user_behaves():
    desk = Desk(Structured(teacher()), Plan(), lambda *_: None)
    pushy = await outcome_of(desk, 0, "A pushy wedding planner who insists on everything", Usage)
    assert pushy.tasks[0].hidden.disposition == "pushy"


# ---- switches


async def test_without_a_world_every_tool_is_simulated_and_playing_waits():
    [task] = (await taught(teacher(), world="none")).tasks
    assert set(task.world.grounding) == {tool.name for tool in task.brief.tools} - {"transfer_to_human"}
    assert pending(task)
    assert task.provenance.screening["solvable"] == "pending_simulation"
    assert task.provenance.screening["leak"] == "passed"
    assert await objections([task]) == []


async def test_the_review_can_be_left_out():
    model = teacher()
    [task] = (await taught(model, skip=("review",))).tasks
    assert "review" not in [request.stage for request in model.requests]
    assert "find_planting_month" not in {tool.name for tool in task.brief.tools}


async def test_the_rules_can_be_left_out():
    [task] = (await taught(teacher(), skip=("rules",))).tasks
    assert task.brief.rules == ()
    assert task.rubric.forbidden == ()


async def test_the_gap_between_brief_and_user_can_be_left_out_as_in_the_papers_ablation():
    def told_at_once(plan):
        plan["steps"] = [step for step in plan["steps"] if step["do"] != "ask"]
        text = orjson.dumps(plan).decode()
        values = {f["id"]: f["value"] for f in teachers.FUZZ["facts"]}
        for name, value in values.items():
            text = text.replace(f'"$fact.{name}"', orjson.dumps(value).decode()).replace(f"$fact.{name}", value)
        return orjson.loads(text)

    [task] = (await taught(teacher(Plan=told_at_once), skip=("fuzz",))).tasks
    assert task.hidden.facts == ()
    assert "2031-06-20" in task.brief.instruction
    assert task.rubric.interactions == ()


# ---- a teacher that errs once


def _odd(review):
    """A tool whose output is no column: no program follows from its signature."""
    review["distractors"][0]["outputs"][0]["name"] = "sowing_month"


def _sowing(sql):
    step = {"do": "return", "sql": sql, "otherwise": ""}
    return {"tool": "find_planting_month", "steps": [step], "example": [{"name": "seeds", "value": "Purple Carrot"}]}


def _says(sql):
    def change(programs):
        programs["programs"][3] = _sowing(sql)

    return change


async def test_a_program_that_does_not_compile_goes_back_with_the_error():
    good = "SELECT max(month) AS sowing_month FROM seeds WHERE seeds = :seeds"
    changes = {"Review": _odd, "ProgramsDraft": _says("SELECT month FROM almanac WHERE seeds = :seeds")}
    model = Scripted(_with_repairs(changes, lambda _: _sowing(good)))
    outcome = await taught(model)
    [task] = outcome.tasks
    assert (outcome.compiled, outcome.repairs) == (4, 1)
    assert not task.world.grounding
    told = next(r for r in model.requests if r.stage == "repair_program").messages[0]["content"]
    assert "no such table: almanac" in told
    assert "the tables are members(member_id, name)" in told


async def test_a_program_that_never_compiles_leaves_its_tool_to_be_simulated():
    kept: list = []
    changes = {"Review": _odd, "ProgramsDraft": _says("DROP TABLE seeds")}
    outcome = await taught(Scripted(_with_repairs(changes, lambda _: _sowing("DROP TABLE seeds"))), kept)
    [task] = outcome.tasks
    assert (outcome.tools, outcome.compiled, outcome.repairs) == (4, 3, 2)
    assert set(task.world.grounding) == {"find_planting_month"}
    assert "Blue Lake Bean" in task.world.grounding["find_planting_month"]
    [world] = [output for _, stage, output in kept if stage == "world"]
    assert "not allowed" in world["simulated"]["find_planting_month"]
    # The reference does not call it: the task can be played, and was.
    assert task.provenance.screening["solvable"] == "passed"


async def test_a_world_in_which_no_program_works_is_none():
    def odd_all(tools):
        for tool in tools["tools"]:
            tool["outputs"][0]["name"] = f"{tool['outputs'][0]['name']}_or_so"

    def odd(review):
        _odd(review)

    changes = {"Toolset": odd_all, "Review": odd, "ProgramsDraft": '{"programs": []}'}

    def answer(request):
        kind = teachers.wanted(request.messages)
        if request.stage == "repair_program":
            return orjson.dumps({**_sowing("DROP TABLE seeds")}).decode()
        change = changes.get(kind)
        return change if isinstance(change, str) else teachers.answer(kind, change)

    model = Scripted(lambda request: PROBED if request.stage == "probe" else answer(request))
    outcome = await taught(model)
    assert (outcome.stage, outcome.reason) == ("world", "no program works")
    assert (outcome.tools, outcome.compiled) == (4, 0)


async def test_a_program_that_follows_from_the_signature_is_not_asked_for_again():
    def useless(programs):
        for program in programs["programs"]:
            program["steps"] = [{"do": "require", "sql": "SELECT 1", "otherwise": "no"}]

    model = teacher(ProgramsDraft=useless)
    outcome = await taught(model)
    [task] = outcome.tasks
    assert (outcome.compiled, outcome.repairs) == (4, 0)
    assert "repair_program" not in [request.stage for request in model.requests]
    assert 'UPDATE "loans" SET "due" = :new_due' in task.world.programs["extend_loan"][1].run


async def test_a_column_of_numbers_that_holds_words_is_one_of_text():
    def wrong(tables):
        tables["tables"][0]["columns"][0]["type"] = "INTEGER"

    [task] = (await taught(teacher(TablesDraft=wrong))).tasks
    assert 'CREATE TABLE "members" ("member_id" TEXT' in task.world.ddl


async def test_a_tool_and_a_table_that_disagree_on_a_type_are_brought_together():
    def numbered(tools):
        tools["tools"][1]["parameters"][0]["type"] = "integer"
        tools["tools"][2]["parameters"][0]["type"] = "number"

    [task] = (await taught(teacher(Toolset=numbered))).tasks
    found = {tool.name: tool.function.parameters["properties"] for tool in task.brief.tools}
    assert found["list_seed_loans"]["member_id"]["type"] == "string"
    assert found["extend_loan"]["loan_id"]["type"] == "string"
    assert found["extend_loan"]["new_due"]["format"] == "date"


def _with_repairs(changes, repair):
    def answer(request):
        if request.stage == "probe":
            return PROBED
        if request.stage == "repair_program":
            return orjson.dumps(repair(request)).decode()
        kind = teachers.wanted(request.messages)
        return teachers.answer(kind, changes.get(kind))

    return answer


async def test_a_plan_that_fails_goes_back_with_what_the_tools_answered():
    def wrong(plan):
        plan["steps"][5]["arguments"][0]["value"] = "$list_seed_loans[seeds=$fact.member_name].loan_id"

    model = teacher(Plan=[wrong, None])
    outcome = await taught(model)
    assert outcome.tasks
    assert outcome.repairs == 1
    told = model.requests[-2].messages[-1]["content"]
    assert "0 rows of step 2 match {'seeds': 'Ines Calder'}" in told
    assert 'list_seed_loans {"member_id":"M-204"} answered [{"loan_id":"L-81"' in told


async def test_a_violation_that_does_not_hold_goes_back_with_the_reason():
    def blind(rubric):
        rubric["violations"][0]["where"] = "SELECT 1 FROM base.loans WHERE loan_id = :loan_id AND waiting > 5"

    model = teacher(ViolationsDraft=[blind, None])
    outcome = await taught(model)
    assert outcome.tasks
    assert "gives no row for the trap's last call" in model.requests[-1].messages[-1]["content"]


async def test_a_leaking_instruction_goes_back_with_what_it_leaks():
    def leaking(split):
        split["instruction"] = "I'm Ines Calder, could you extend a loan until the 20th of June?"

    model = teacher(FuzzDraft=[leaking, None])
    assert (await taught(model)).tasks
    told = next(r for r in model.requests if r.stage == "fuzz" and len(r.messages) > 1).messages[-1]["content"]
    assert "gives away fact 'member_name'" in told
    assert "gives away fact 'until'" in told


# ---- a teacher that does not manage


def _short(scenario):
    scenario["request"] = "Help me."


def _airline(scenario):
    scenario["domain"] = "airline support"


def _unrelated(tables):
    for table in tables["tables"]:
        for number, column in enumerate(table["columns"]):
            column["name"] = f"field_{number}"


def _no_write(plan):
    plan["steps"] = [plan["steps"][0], plan["steps"][-1]]
    plan["steps"][-1]["text"] = "Done."


def _unsolvable(review):
    review.update(solvable=False, missing="a tool that extends loans")


def _drops_all(review):
    review["drop"] = [{"tool": tool["name"], "because": "no need"} for tool in teachers.TOOLS]


def _blind(rubric):
    rubric["violations"][0]["where"] = "SELECT 1 WHERE 0"


def _hostile_where(rubric):
    rubric["violations"][0]["where"] = "DELETE FROM loans"


def _only_looks(plan):
    plan["steps"] = [step for step in plan["steps"] if step["name"] != "extend_loan"]
    plan["steps"][-1]["text"] = "Done."


def _guessing(plan):
    plan["steps"][5]["arguments"][1]["value"] = "2031-06-21"


@pytest.mark.parametrize(
    ("changes", "stage", "reason", "detail"),
    [
        ({"Scenario": "I would rather write a poem."}, "scenario", "not understood", "holds no JSON object"),
        ({"Scenario": _short}, "scenario", "not understood", "two to four sentences"),
        ({"Scenario": _airline}, "scenario", "not understood", "airlines, retail or telecom"),
        ({"Toolset": "{}"}, "toolset", "not understood", "tools: Field required"),
        ({"Review": _unsolvable}, "review", "not solvable", "a tool that extends loans"),
        ({"Review": _drops_all}, "review", "not understood", "no tool is left"),
        ({"TablesDraft": '{"now": "today", "tables": []}'}, "tables", "not understood", "at least 1 item"),
        ({"TablesDraft": _unrelated}, "tables", "not understood", "no table has a column for"),
        ({"FuzzDraft": "no"}, "fuzz", "not understood", "no JSON object"),
        ({"Plan": _no_write}, "reference", "no plan works", "calls no tool"),
        ({"Plan": _only_looks}, "reference", "no plan works", "the plan changes nothing"),
        ({"Plan": _guessing}, "reference", "no plan works", "is not in the message"),
        ({"ViolationsDraft": _blind}, "rubric", "nothing to check", "gives no row"),
        ({"ViolationsDraft": _hostile_where}, "rubric", "nothing to check", "does not run"),
        ({"Plan": ModelFailed("gone", reason="connection")}, "teacher", "connection", "gone"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
async def test_a_persona_ends_as_a_rejection_with_its_stage_and_the_reason(changes, stage, reason, detail):
    outcome = await taught(teacher(**changes))
    assert outcome.tasks == ()
    assert (outcome.stage, outcome.reason) == (stage, reason)
    assert any(detail in one for one in outcome.details), outcome.details
    assert outcome.passing == (stage == "teacher")


async def test_a_task_that_fails_a_screen_says_which():
    def idle(split):
        """A fact that anybody can look up: the planting month is the same for whoever asks."""
        split["facts"][1]["value"] = "2031-06-20"
        split["facts"][1]["text"] = "Until 2031-06-20."

    outcome = await taught(teacher(FuzzDraft=idle))
    assert outcome.tasks == ()
    assert outcome.stage in ("reference", "screening")


async def test_a_persona_with_personal_data_costs_nothing():
    model = teacher()
    desk = Desk(Structured(model), Plan(), lambda *_: None)
    outcome = await outcome_of(desk, 3, "Jo, write to jo.doe@example.com", Usage)
    assert (outcome.stage, outcome.reason, outcome.details) == ("persona", "personal data", ("an e-mail address",))
    assert model.requests == []


async def test_a_persona_is_begun_anew_as_often_as_is_allowed():
    bad = teacher(Toolset="no")
    outcome = await taught(bad, tries=3)
    assert outcome.stage == "toolset"
    samples = [request.sample for request in bad.requests if request.stage == "scenario"]
    assert len(set(samples)) == 3
    late = teacher(Toolset=["no", "no", None])
    assert (await taught(late, tries=2)).tasks


async def test_a_spent_budget_stops_everything_and_is_no_rejection():
    class Poor:
        name = "poor"

        async def complete(self, request):
            raise BudgetSpent("enough")

        async def aclose(self):
            pass

    with pytest.raises(BudgetSpent):
        await taught(Poor())


# ---- the prompts


CALLERS = {
    "synthesis/scenario": {"persona", "fewest", "most"},
    "synthesis/toolset": {"scenario", "fewest", "most"},
    "synthesis/review": {"scenario", "toolset"},
    "synthesis/tables": {"scenario", "tools", "rules"},
    "synthesis/programs": {"tables", "tools"},
    "synthesis/repair_program": {"tables", "tool", "draft", "errors"},
    "synthesis/grounding": {"scenario", "tools"},
    "synthesis/fuzz": {"scenario", "tools"},
    "synthesis/reference": {"scenario", "tools", "tables", "facts", "instruction"},
    "synthesis/repair_reference": {"trouble"},
    "synthesis/rubric": {"tools", "rules", "tables", "calls"},
    "synthesis/repair_rubric": {"errors"},
    "synthesis/branch": {"request", "instruction", "tools", "rules", "ddl", "rows", "calls"},
    "synthesis/repair_branch": {"trouble"},
    "synthesis/align": {"workflow", "rules", "record"},
    "synthesis/restrict": {"rules", "tools", "ddl", "record"},
}
"""Prompt -> the variables that its caller gives it."""


def test_every_prompt_has_a_caller_and_wants_what_it_is_given():
    assert prompts.names("synthesis") == sorted(CALLERS)
    for name, given in CALLERS.items():
        assert prompts.variables(name) == given, name


def test_a_variable_that_is_missing_is_an_error_and_not_an_empty_place():
    from jinja2 import UndefinedError

    with pytest.raises(UndefinedError):
        prompts.render("synthesis/scenario", persona="x", fewest=5)


def test_a_fingerprint_changes_with_what_a_prompt_imports():
    assert prompts.fingerprint("synthesis/review") != prompts.fingerprint("synthesis/toolset")
    assert "macro signature" in prompts.source("synthesis/review")


async def test_every_prompt_that_a_teacher_gets_is_whole():
    """No placeholder is left over, and no value is written as Python would."""
    model = teacher(Plan=[lambda plan: plan["steps"].pop(1), None])
    await taught(model)
    for request in model.requests:
        for message in request.messages:
            text = str(message["content"])
            assert "{{" not in text
            assert "{%" not in text
            assert "None" not in text, text
