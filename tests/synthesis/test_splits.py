"""Train, dev and test: families stay together, and growing a file moves nothing."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthagent.errors import InputError
from synthagent.synthesis.splits import PARTS, refuse_overlap, shared_families, split, unit_of

SHARES = {"train": 0.8, "dev": 0.1, "test": 0.1}
DOMAINS = ["bakery", "ferry", "museum", "orchard", "quarry"]


@pytest.fixture(scope="module")
def tasks(family_of):
    """Two hundred families of one to three tasks in five domains."""
    task = family_of("row")[0]
    return [
        task.model_copy(
            update={
                "id": f"{family}.{number}",
                "family": f"family-{family}",
                "provenance": task.provenance.model_copy(update={"domain": DOMAINS[family % 5]}),
            }
        )
        for family in range(200)
        for number in range(1 + family % 3)
    ]


quickly = settings(max_examples=25, deadline=None)
SEEDS = st.integers(0, 10_000)
CUTS = st.tuples(st.integers(0, 10), st.integers(0, 10)).map(sorted)


def shares_of(cuts):
    low, high = cuts
    return dict(zip(PARTS, (low / 10, (high - low) / 10, (10 - high) / 10), strict=True))


def place_of(parts):
    return {task.id: part for part, found in parts.items() for task in found}


@quickly
@given(seed=SEEDS, cuts=CUTS, by=st.sampled_from(["family", "domain"]))
def test_every_task_lands_once_and_what_belongs_together_never_straddles(tasks, seed, cuts, by):
    parts = split(tasks, by, seed, shares_of(cuts))
    assert sorted(task.id for found in parts.values() for task in found) == sorted(task.id for task in tasks)
    units = [{unit_of(task, by) for task in found} for found in parts.values()]
    assert sum(map(len, units)) == len(set().union(*units))
    train, dev, test = parts.values()
    for one, two in ((train, dev), (train, test), (dev, test)):
        assert shared_families(one, two) == []
        refuse_overlap(one, two, ("one.jsonl", "two.jsonl"))


@quickly
@given(seed=SEEDS, more=st.integers(0, 199))
def test_growing_the_file_moves_nothing(tasks, seed, more):
    early = [task for task in tasks if int(task.family.split("-")[1]) < more]
    assert (
        place_of(split(early, "family", seed, SHARES)).items() <= place_of(split(tasks, "family", seed, SHARES)).items()
    )


def test_the_order_of_the_file_moves_nothing(tasks):
    for by in ("family", "domain"):
        assert place_of(split(tasks, by, 1, SHARES)) == place_of(split(tasks[::-1], by, 1, SHARES))


def test_the_shares_are_roughly_kept_and_another_seed_deals_anew(tasks):
    parts = split(tasks, "family", 1, SHARES)
    families = {part: len({task.family for task in found}) for part, found in parts.items()}
    assert 140 < families["train"] < 180 and families["dev"] > 5 and families["test"] > 5
    assert place_of(split(tasks, "family", 2, SHARES)) != place_of(parts)


def test_by_domain_the_few_domains_are_dealt_out_in_full(tasks):
    parts = split(tasks, "domain", 1, {"train": 0.6, "dev": 0.2, "test": 0.2})
    assert [len({task.provenance.domain for task in found}) for found in parts.values()] == [3, 1, 1]
    held_out = {
        split(tasks, "domain", seed, {"train": 0.8, "test": 0.2})["test"][0].provenance.domain for seed in range(30)
    }
    assert held_out == set(DOMAINS)


def test_a_task_without_a_domain_stays_with_its_family(tasks):
    task = tasks[0].model_copy(update={"provenance": tasks[0].provenance.model_copy(update={"domain": ""})})
    assert unit_of(task, "domain") == task.family


@pytest.mark.parametrize("shares", [(0.8, 0.1, 0.2), (0.8, 0.1, 0.0), (1.2, -0.1, -0.1), (0, 0, 0)])
def test_shares_must_add_up(tasks, shares):
    with pytest.raises(InputError, match="the shares of train, dev, test must add up to 1"):
        split(tasks, "family", 1, dict(zip(PARTS, shares, strict=True)))


def test_a_share_of_nothing_gets_nothing(tasks):
    parts = split(tasks, "family", 1, {"train": 0.0, "dev": 0.0, "test": 1.0})
    assert (parts["train"], parts["dev"], len(parts["test"])) == ([], [], len(tasks))


def test_the_families_that_two_sets_share_are_named_once_and_in_order(tasks):
    assert shared_families(tasks[:3], tasks[2:6]) == [tasks[2].family]
    assert shared_families(tasks, reversed(tasks)) == sorted({task.family for task in tasks})
    assert shared_families([], tasks) == shared_families(tasks, []) == []


def test_a_task_that_goes_by_another_family_is_shared_all_the_same(tasks):
    renamed = tasks[0].model_copy(update={"family": "of-another-name"})
    assert shared_families([tasks[0]], [renamed]) == [tasks[0].family]
    assert shared_families(iter([renamed]), iter(tasks)) == ["of-another-name"]


def test_sets_that_share_families_are_refused_with_their_names_and_the_way_out(tasks):
    one = tasks[0]
    with pytest.raises(InputError) as error:
        refuse_overlap([one], tasks, ("train.jsonl", "test.jsonl"))
    assert str(error.value) == (
        f"train.jsonl: shares 1 family with test.jsonl: {one.family} "
        "(`synthagent split --by family` makes sets that share none)"
    )
    with pytest.raises(InputError) as error:
        refuse_overlap(iter(tasks), iter(tasks), ("train.jsonl", "test.jsonl"))
    named = sorted({task.family for task in tasks})[:5]
    assert f"shares 200 families with test.jsonl: {', '.join(named)} and 195 more (" in str(error.value)
