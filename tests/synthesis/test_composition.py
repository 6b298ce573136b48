"""What the procedural teacher composes, over every domain that is shipped."""

import asyncio
from collections import Counter, defaultdict

import pytest

from synthagent.schema.episodes import Limits
from synthagent.schema.record import canonical, dump
from synthagent.schema.tasks import AskStep, CallStep, identified
from synthagent.simulation.episode import Cast, facts_user, play, prepare
from synthagent.simulation.reference_agent import Reference
from synthagent.synthesis.procedural.domain import shipped
from synthagent.synthesis.screening import objections

LIMITS = Limits(seconds=60.0)
FEATURES = ["missing_tool", "revealed", "long_result", "confirm"]


def with_feature(tasks, feature):
    return [task for task in tasks if feature in task.provenance.features]


def calls(task):
    return [step.call for step in task.reference if isinstance(step, CallStep)]


def needs_a_yes(criterion):
    return "'confirmed': " in str(dump(criterion.check))


def test_hardly_any_family_is_made_in_vain(many):
    assert sum(bool(family.rejected) for family in many) <= 0.1 * len(many)


def test_every_domain_gets_its_turn(many_tasks):
    counts = Counter(task.provenance.domain for task in many_tasks)
    assert set(counts) == set(shipped())
    assert max(counts.values()) <= 3 * min(counts.values())


@pytest.mark.parametrize("feature", FEATURES)
def test_each_feature_is_in_at_least_one_task_in_twenty(many_tasks, feature):
    assert len(with_feature(many_tasks, feature)) >= 0.05 * len(many_tasks)


def test_ids_fit_their_content_and_never_repeat(many_tasks):
    assert all(identified(task).id == task.id for task in many_tasks)
    assert len({task.id for task in many_tasks}) == len(many_tasks)


def test_a_family_is_a_root_and_at_most_one_twin_of_it(many):
    for made in many:
        if made.tasks:
            root, *twins = made.tasks
            assert root.provenance.twin is None and root.provenance.legal
            assert len(twins) <= 1 and all(twin.provenance.twin and not twin.provenance.legal for twin in twins)
            assert len({task.family for task in made.tasks}) == 1


def test_twins_differ_where_they_should_and_are_byte_equal_elsewhere(many):
    kinds: dict[str, int] = defaultdict(int)
    for made in many:
        for twin in made.tasks[1:]:
            root, kind = made.tasks[0], twin.provenance.twin
            kinds[kind] += 1
            equal = {
                part: canonical(dump(getattr(root, part))) == canonical(dump(getattr(twin, part)))
                for part in ("brief", "world", "hidden", "rubric")
            }
            same, other = ("world", "hidden") if kind == "fact" else ("hidden", "world")
            assert equal == {"brief": True, same: True, other: False, "rubric": False}
            assert (root.world_id == twin.world_id) == (kind == "fact")
    twins = sum(kinds.values())
    assert twins > 0.6 * len(many), "most families can be told apart by a twin"
    assert min(kinds["fact"], kinds["row"]) > 0.3 * twins, "fact and row twins are in balance"


def test_every_task_hides_something_asks_for_it_and_can_be_handed_over(many_tasks):
    for task in many_tasks:
        assert task.hidden.facts and task.rubric.subgoals and task.brief.rules
        assert "transfer_to_human" in {tool.name for tool in task.brief.tools}
        assert task.world.ends_episode == ("transfer_to_human",)
        asked = {step.ask for step in task.reference if isinstance(step, AskStep)}
        assert asked <= {fact.id for fact in task.hidden.facts}


def test_a_rule_that_is_read_is_a_rule_that_is_scored(many_tasks):
    for task in many_tasks:
        scored = {criterion.text.removeprefix("Broke the rule: ") for criterion in task.rubric.forbidden}
        assert set(task.brief.rules) == scored


def test_a_missing_tool_is_missing_and_the_task_is_to_say_so(many_tasks):
    for task in with_feature(many_tasks, "missing_tool"):
        tools = {tool.name for tool in task.brief.tools}
        assert set(calls(task)) <= tools
        declined = [c for c in task.rubric.subgoals if "declined" in str(dump(c.check))]
        assert len(declined) == 1
    handed_over = [task for task in with_feature(many_tasks, "missing_tool") if "transfer_to_human" in calls(task)]
    assert handed_over, "some of them by a transfer"


def test_revealed_requests_come_one_after_another(many_tasks):
    for task in many_tasks:
        goals = len(task.provenance.templates)
        if "revealed" in task.provenance.features:
            assert (task.hidden.parts, len(task.hidden.requests)) == (1, goals - 1) and goals > 1
        else:
            assert (task.hidden.parts, len(task.hidden.requests)) == (goals, 0)


def test_a_confirmation_is_a_rule_and_where_there_is_something_to_do_an_interaction(many_tasks):
    confirming = with_feature(many_tasks, "confirm")
    assert any(needs_a_yes(c) for task in confirming for c in task.rubric.interactions)
    for task in many_tasks:
        if "confirm" not in task.provenance.features:
            assert not any(needs_a_yes(c) for c in (*task.rubric.interactions, *task.rubric.forbidden))


def test_a_long_result_is_longer_than_sixteen_thousand_characters(many_tasks):
    for task in with_feature(many_tasks, "long_result"):
        stage = prepare(task)
        agent = Reference(task.reference, task.hidden.facts)
        played = asyncio.run(play(stage, Cast(agent, facts_user(stage)), LIMITS))
        assert max(len(event.response) for event in played.episode.events if event.kind == "tool") > 16_000


def test_no_escape_line_without_a_restriction_that_bites_in_the_family(many):
    for made in many:
        for task in made.tasks:
            if len(made.tasks) == 1:
                assert task.hidden.escape_lines == ()
            else:
                most = {"cooperative": 0, "terse": 1, "pushy": 2, "adversarial": 3}[task.hidden.disposition]
                assert len(task.hidden.escape_lines) <= most


@pytest.mark.parametrize("name", sorted(shipped()))
def test_most_families_of_each_domain_are_verified(make, name):
    families = make({name: shipped()[name]}, 4, seed=17)
    wrong = [family.rejected or asyncio.run(objections(family.tasks, family.compiled)) for family in families]
    assert sum(map(bool, wrong)) <= 1, wrong
