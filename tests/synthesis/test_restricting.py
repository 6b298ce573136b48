"""Rules as checks: what a demonstration shows of them, the violation that is found, and what stays open."""

import asyncio
from itertools import islice

import pytest

from synthagent.errors import EpisodeFailure
from synthagent.schema.checks import ConfirmedSpec
from synthagent.schema.episodes import Limits, ToolEvent, UserEvent
from synthagent.schema.tasks import CallStep, Task
from synthagent.simulation.episode import Cast, Stage, facts_user, play, prepare
from synthagent.simulation.scripted_agents import scripted
from synthagent.synthesis.alignment import Alignment, Reached, Restriction, Restrictions
from synthagent.synthesis.demonstrations import Demonstration, Source, acted, demonstrated, stripped
from synthagent.synthesis.derivation import Derived, derive
from synthagent.synthesis.mutating import acted_alone, with_calls, without
from synthagent.synthesis.personas import shipped as personas
from synthagent.synthesis.procedural.aligning import ProceduralAligner
from synthagent.synthesis.procedural.domain import shipped
from synthagent.synthesis.procedural.teacher import families
from synthagent.synthesis.restricting import broken, forbidden
from synthagent.synthesis.violations import violation
from tests.builders import TEXT, library
from tests.maps import hybrid

RENEW = {"loan_id": "L-1", "new_due": "2031-05-23"}
SLOW = (
    "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c LIMIT 40000) "
    "SELECT 1 FROM c WHERE x < 0 AND :member_id AND :title AND :note"
)


def shown(task: Task, agent: str = "reference") -> Demonstration:
    whole = prepare(task)
    stage = Stage(stripped(task), whole.blueprint, whole.listener)
    played = asyncio.run(play(whole, Cast(scripted(agent, whole), facts_user(whole)), Limits()))
    return demonstrated(stage, played.episode)


@pytest.fixture(scope="module")
def reference() -> Demonstration:
    return shown(library())


def question(one: Demonstration) -> int:
    """The place of the question that got a yes."""
    return next(place for place, event in one.exchanges.items() if event.agreed)


def reworded(one: Demonstration, text: str) -> Demonstration:
    """With the question put like this; the user says yes all the same."""
    events = [
        event.model_copy(update={"message": text}) if isinstance(event, UserEvent) and event.agreed else event
        for event in one.episode.events
    ]
    return acted(one.stage, one.episode, events)


def unasked(one: Demonstration) -> Demonstration:
    return without(one, [question(one)])


def first(tool: str, before: str) -> list[Restriction]:
    return [Restriction(rule=1, kind="first", tool=tool, first=before)]


CONFIRM = [Restriction(rule=1, kind="confirm", tool="renew_loan")]


def never(tool: str, where: str = "") -> list[Restriction]:
    return [Restriction(rule=1, kind="never", tool=tool, where=where)]


def plays(one: Demonstration, trap: tuple[CallStep, ...]) -> Demonstration:
    """The trap, in a fresh world, where every call of it goes through."""
    made = acted_alone(one, [(step.call, dict(step.args)) for step in trap])
    assert len(made.deeds) == len(trap)
    return made


# ---- first


def test_a_tool_that_needs_another_before_it_is_seen_to_be_used_without(reference):
    found = forbidden(first("renew_loan", "list_loans"), [reference])
    looked = [place for place, event in reference.deeds.items() if event.tool == "list_loans"]
    assert not reference.holds(found.check)
    assert without(reference, looked).holds(found.check)
    assert found.trap == (CallStep(call="renew_loan", args=RENEW),)
    assert plays(reference, found.trap).holds(found.check)


def test_looking_only_afterwards_breaks_the_rule_too(reference):
    found = forbidden(first("renew_loan", "list_loans"), [reference])
    events = [e for e in reference.episode.events if not (isinstance(e, ToolEvent) and e.tool == "list_loans")]
    looked = next(e for e in reference.deeds.values() if e.tool == "list_loans")
    assert acted(reference.stage, reference.episode, [*events, looked]).holds(found.check)


@pytest.mark.parametrize("tool, before", [("place_hold", "list_loans"), ("renew_loan", ""), ("", "list_loans")])
def test_an_order_that_no_demonstration_shows_stays_open(reference, tool, before):
    found = forbidden(first(tool, before), [reference])
    assert found.check is None
    assert found.reason in (f"no demonstration uses {tool} after {before}", "it is true of a demonstration")


def test_an_order_that_a_demonstration_does_without_stays_open(reference):
    assert forbidden(first("list_loans", "renew_loan"), [reference]).reason == "it is true of a demonstration"
    assert broken(first("list_loans", "renew_loan"), reference)


# ---- confirm


def test_what_the_question_has_to_name_is_read_off_the_demonstration(reference):
    found = forbidden(CONFIRM, [reference])
    assert found.confirmed == (ConfirmedSpec(tool="renew_loan", args=("new_due",), values=("The Glass Harbour",)),)
    assert not reference.holds(found.check)
    for other in (unasked(reference), reworded(reference, "Shall I?"), reworded(reference, "Until 23 May 2031?")):
        assert other.holds(found.check)
    assert found.trap == (CallStep(call="renew_loan", args=RENEW),)
    assert plays(reference, found.trap).holds(found.check)


def test_of_two_questions_only_what_both_named_is_asked_for(reference):
    short = reworded(reference, "Shall I renew it until 23 May 2031?")
    for order in ([reference, short], [short, reference]):
        found = forbidden(CONFIRM, order)
        assert found.confirmed == (ConfirmedSpec(tool="renew_loan", args=("new_due",)),)
        assert not any(one.holds(found.check) for one in order)
        assert unasked(reference).holds(found.check)


def test_a_yes_that_somebody_did_without_stays_open(reference):
    found = forbidden(CONFIRM, [unasked(reference), reference])
    assert (found.check, found.reason) == (None, "a demonstration acts without the user's yes")
    assert broken(CONFIRM, unasked(reference))
    assert not broken(CONFIRM, reference)


def test_where_nobody_acts_the_question_has_to_name_what_the_call_holds(reference):
    acting = [place for place, event in reference.deeds.items() if event.tool == "renew_loan"]
    idle = without(reference, acting)
    found = forbidden(CONFIRM, [idle])
    assert found.confirmed == ()
    assert not idle.holds(found.check)
    assert plays(reference, found.trap).holds(found.check)
    assert not reference.holds(found.check)


# ---- never


def test_a_condition_on_what_the_call_itself_changes_stays_open(reference):
    """Unqualified tables are the final state: after any renewal the loan is due on that day."""
    acting = [place for place, event in reference.deeds.items() if event.tool == "renew_loan"]
    idle = without(reference, acting)
    after = never("renew_loan", "SELECT 1 FROM loans WHERE loan_id = :loan_id AND due >= :new_due")
    assert forbidden(after, [idle]).reason == "it is true of a call that keeps to the rule"
    at_the_start = never("renew_loan", "SELECT 1 FROM base.loans WHERE loan_id = :loan_id AND due >= :new_due")
    found = forbidden(at_the_start, [idle])
    assert found.check is not None
    assert not reference.holds(found.check)
    assert plays(idle, found.trap).holds(found.check)


def test_a_rule_on_two_tools_is_broken_by_either(reference):
    reserved = "SELECT 1 FROM base.loans WHERE loan_id = :loan_id AND reserved = 1"
    both = [*never("renew_loan", reserved), *never("place_hold"), *never("place_hold")]
    found = forbidden(both, [reference])
    assert not reference.holds(found.check)
    for calls in ([("renew_loan", {**RENEW, "loan_id": "L-2"})],
                  [("place_hold", {"member_id": "M-1", "title": "Night Ferry"})]):  # fmt: skip
        assert with_calls(reference, calls).holds(found.check)
    half = [*both, *never("list_loans")]
    assert forbidden(half, [reference]).reason == "it is true of a demonstration"


def test_what_is_wrong_with_a_condition_is_told_in_short(reference):
    found = forbidden(never("place_hold", "SELECT " + "1 + " * 20_000), [reference])
    assert found.check is None
    assert found.reason.startswith("the check does not run: ")
    assert len(found.reason) < 250


# ---- violations


@pytest.mark.parametrize(
    "constant",
    ["'2031-13-45'", "'9999-12-31'", "'0000-00-00'", "'٢٠٣١-٠١-٠١'", "'99:99'", "9223372036854775807", "9" * 5000],
)
def test_a_constant_that_is_no_day_and_no_number_is_searched_with_all_the_same(reference, constant):
    acting = [place for place, event in reference.deeds.items() if event.tool == "renew_loan"]
    where = f"SELECT 1 WHERE :new_due IS NOT {constant}"
    ((tool, arguments),) = violation([without(reference, acting)], "renew_loan", where)
    assert (tool, set(arguments)) == ("renew_loan", {"loan_id", "new_due"})


def test_a_world_at_the_end_of_the_calendar_is_searched(reference):
    task = library()
    late = task.world.model_copy(update={"now": "9999-12-31T10:00:00"})
    one = acted(prepare(task.model_copy(update={"world": late})), reference.episode, [])
    assert violation([one], "renew_loan", "SELECT 1 WHERE days_between(:new_due, today()) > 20") == []


def test_a_search_that_takes_too_long_is_given_up(reference):
    with pytest.raises(EpisodeFailure, match=r"no call was found in 0\.05 s"):
        violation([reference], "place_hold", SLOW, seconds=0.05)


def test_nothing_is_found_for_tools_that_no_program_plays():
    one = shown(library())
    assert violation([one], "nobody", None) == []
    assert violation([acted(prepare(hybrid("place_hold")), one.episode, [])], "place_hold", None) == []


def test_a_parameter_that_takes_anything_is_tried_with_what_there_is(reference):
    task = library()
    tools = tuple(
        tool if tool.name != "renew_loan" else tool.model_copy(update={"function": tool.function.model_copy(
            update={"parameters": {"type": "object", "properties": {"loan_id": True, "new_due": TEXT},
                                   "required": ["loan_id", "new_due"]}})})
        for tool in task.brief.tools
    )  # fmt: skip
    stage = prepare(task.model_copy(update={"brief": task.brief.model_copy(update={"tools": tools})}))
    assert violation([acted(stage, reference.episode, reference.episode.events)], "renew_loan", None)


def test_the_same_call_is_found_every_time(reference):
    where = "SELECT 1 FROM base.loans WHERE loan_id = :loan_id AND reserved = 1"
    assert violation([reference], "renew_loan", where) == violation([reference], "renew_loan", where)


# ---- put together


def derived(task: Task, demonstrations: tuple[Demonstration, ...], *rules: Restriction) -> Derived:
    class Teacher:
        name = "teacher"

        async def align(self, source, one):
            return Alignment(reached=(Reached(goal=1, events=(2,)),))

        async def restrict(self, source, one):
            return Restrictions(restrictions=rules)

    source = Source(("Find out who asks",), task.brief.rules, demonstrations)
    return asyncio.run(derive(source, Teacher(), 1.0))


def test_a_demonstration_that_acts_without_a_yes_is_none(reference):
    found = derived(library(), (reference, unasked(reference), reference), *CONFIRM)
    assert found.rubric is not None
    assert found.rubric.forbidden[0].check is not None


def test_a_trap_brings_along_the_call_that_makes_its_id():
    domain = shipped()["tool_rental"]
    made = (task for family in islice(families({domain.name: domain}, personas(), 31), 60) for task in family.tasks)
    rule = domain.goals["hire_delivered"].confirm.rule
    task = next(task for task in made if rule in task.brief.rules)
    one = shown(task)
    found = asyncio.run(derive(Source(task.workflow, task.brief.rules, (one,)), ProceduralAligner(shipped())))
    criterion = found.rubric.forbidden[task.brief.rules.index(rule)]
    assert [step.call for step in criterion.trap] == ["reserve_item", "book_site_delivery"]
    assert plays(one, criterion.trap).holds(criterion.check)
