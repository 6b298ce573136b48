"""From families to the first n verified tasks."""

import pytest

from synthagent.synthesis.pipeline import Kept, NothingKept, Rejected, verified
from synthagent.synthesis.procedural.teacher import Made


def family(task, index, size=2):
    tasks = tuple(task.model_copy(update={"id": f"{index}{letter}"}) for letter in "abc"[:size])
    return Made(index, tasks)


@pytest.fixture(scope="module")
def task(family_of):
    return family_of("row")[0]


def names(results):
    return [result.task.id if isinstance(result, Kept) else f"-{result.index}" for result in results]


def test_families_stay_whole_but_the_last_is_cut_to_its_root(task):
    made = [family(task, index) for index in range(9)]
    assert names(verified(made, lambda _: (), 4)) == ["0a", "0b", "1a", "1b"]
    assert names(verified(made, lambda _: (), 3)) == ["0a", "0b", "1a"]


def test_a_family_with_objections_is_passed_over_with_its_reasons(task):
    made = [family(task, 0), Made(1, (), "no rows"), family(task, 2)]
    results = list(verified(made, lambda family: ("leaks", "bites") if family.index == 0 else (), 2))
    assert results[:2] == [Rejected(0, ("leaks", "bites")), Rejected(1, ("no rows",))]
    assert names(results[2:]) == ["2a", "2b"]


def test_no_more_families_are_made_than_are_needed(task):
    def endless():
        yield family(task, 0)
        raise AssertionError("one family is enough")

    assert names(verified(endless(), lambda _: (), 2)) == ["0a", "0b"]


def test_an_end_of_families_ends_it(task):
    assert names(verified([family(task, 0)], lambda _: (), 50)) == ["0a", "0b"]


def test_a_teacher_that_makes_next_to_nothing_is_stopped_with_the_last_reason(task):
    def made():
        index = 0
        while True:
            yield Made(index, (), f"reason {index}")
            index += 1

    with pytest.raises(NothingKept, match=r"91 families rejected, 0 tasks kept; .*reason 90"):
        list(verified(made(), lambda _: (), 5))


def test_a_teacher_that_fails_often_but_not_always_goes_on(task):
    made = [family(task, n, 1) if n % 5 == 0 else Made(n, (), "no") for n in range(1000)]
    assert sum(isinstance(result, Kept) for result in verified(made, lambda _: (), 150)) == 150
