"""The same task under other names is worth the same to whoever can use tools."""

from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthagent.schema.episodes import Limits
from synthagent.schema.messages import Protocol
from synthagent.schema.record import dump
from synthagent.schema.scores import Scored
from synthagent.scoring.scorer import score
from synthagent.simulation.episode import Cast, facts_user, play, prepare
from synthagent.simulation.reference_agent import Reference
from synthagent.synthesis.perturbing import KINDS, Names, _bound, perturbed
from synthagent.synthesis.screening import objections
from synthagent.synthesis.synonyms import SYNONYMS


async def test_families_of_every_domain_are_verified_under_other_names(many):
    seen: dict[str, int] = {}
    for made in many:
        if made.tasks and seen.get(made.tasks[0].provenance.domain, 0) < 3 and not await objections(made.tasks):
            domain = made.tasks[0].provenance.domain
            seen[domain] = seen.get(domain, 0) + 1
            new = [perturbed(task, 11) for task in made.tasks]
            assert [str(one) for one in await objections(new)] == []
            assert not {t.id for t in new} & {t.id for t in made.tasks}
    assert len(seen) == 13


@pytest.mark.parametrize("kind", KINDS)
async def test_each_kind_alone_keeps_what_a_task_is_worth(kind, many):
    made = next(m for m in many if len(m.tasks) > 1)
    new = [perturbed(task, 3, [kind]) for task in made.tasks]
    assert [str(one) for one in await objections(new)] == [str(one) for one in await objections(made.tasks)]
    assert new[0].brief != made.tasks[0].brief


async def test_the_reference_earns_everything_under_every_protocol(many_tasks):
    task = perturbed(many_tasks[0], 5)
    for protocol in get_args(Protocol):
        stage = prepare(task)
        agent = Reference(task.reference, task.hidden.facts)
        played = await play(stage, Cast(agent, facts_user(stage), protocol), Limits())
        result = score(stage, played.episode, played.final)
        assert isinstance(result, Scored)
        assert result.reward == 1.0


@settings(max_examples=25, deadline=None)
@given(st.data(), st.integers(0, 99))
def test_the_same_seed_gives_the_same_bytes_and_no_kinds_nothing(many_tasks, data, seed):
    task = data.draw(st.sampled_from(many_tasks[:60]))
    assert dump(perturbed(task, seed)) == dump(perturbed(task, seed))
    assert perturbed(task, seed, ()) is task


def test_other_seeds_give_other_names(many_tasks):
    names = {tuple(tool.name for tool in perturbed(many_tasks[0], seed).brief.tools) for seed in range(6)}
    assert len(names) == 6


def test_no_old_name_is_left_in_what_the_agent_sees(many_tasks):
    for task in many_tasks[:40]:
        new = perturbed(task, 1, ["names"])
        text = str(dump(new.brief))
        for tool in task.brief.tools:
            kept = {t.name for t in new.brief.tools}
            if tool.name not in kept:
                assert f"'{tool.name}'" not in text
                assert f" {tool.name} " not in text
        assert "transfer_to_human" in text


def test_a_family_gets_one_set_of_names_so_twins_stay_twins(many):
    made = next(m for m in many if len(m.tasks) > 1)
    root, twin = (perturbed(task, 9) for task in made.tasks[:2])
    assert dump(root.brief) == dump(twin.brief)
    other = "hidden" if twin.provenance.twin == "row" else "world"
    assert dump(getattr(root, other)) == dump(getattr(twin, other))


def test_statements_are_read_and_not_searched():
    sql = """SELECT ':day', "a:day", `:day`, [x:day] /* :day */ FROM t WHERE d = :day -- :day
        AND e = ':day' || :days"""
    names = Names({}, {"tool": {"day": "date", "days": "count"}})
    assert _bound(sql, "tool", names) == sql.replace("= :day", "= :date").replace("|| :days", "|| :count")


def test_the_new_task_says_where_it_comes_from(many_tasks):
    new = perturbed(many_tasks[0], 1)
    assert new.provenance.parents[-1] == many_tasks[0].id
    assert "perturbed" in new.provenance.features


def test_no_word_is_its_own_synonym():
    assert not [word for word, others in SYNONYMS.items() if word in others or not others]
