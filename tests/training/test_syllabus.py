"""Which tasks of a file a recipe takes, and how long their openings may be."""

import pytest

from synthagent.errors import InputError
from synthagent.schema.tasks import Provenance
from synthagent.training.recipe import Data, Rollouts
from synthagent.training.syllabus import begun, is_reasoning, refuse_long, syllabus
from tests.builders import library
from tests.choices import choice
from tests.training.test_tokens import tokenizer

ACTING = [library(), choice("lever"), choice("knob")]
THINKING = [choice(f"sum {n}").model_copy(update={"provenance": Provenance(features=("reasoning",))}) for n in "ab"]
MIXED = [ACTING[0], THINKING[0], ACTING[1], THINKING[1], ACTING[2]]


def test_a_reasoning_task_says_so():
    assert [is_reasoning(task) for task in MIXED] == [False, True, False, True, False]


@pytest.mark.parametrize(
    ("data", "taken"),
    [
        (Data(), ACTING),
        (Data(tasks=2), ACTING[:2]),
        (Data(tasks=2, reasoning=0.21), [*ACTING[:2], *THINKING]),
        (Data(tasks=2, reasoning=1.0), THINKING),
    ],
)
def test_a_recipe_takes_the_first_so_many_that_act_and_reasoning_tasks_if_it_wants_some(data, taken):
    assert syllabus(MIXED, data, "t.jsonl") == taken


def test_reasoning_tasks_that_are_wanted_and_not_there_are_missed():
    with pytest.raises(InputError, match=r"t\.jsonl: data\.reasoning is 0\.2, and the file holds no task"):
        syllabus(ACTING, Data(reasoning=0.2), "t.jsonl")
    with pytest.raises(InputError, match=r"t\.jsonl: holds no tasks to act in"):
        syllabus(THINKING, Data(), "t.jsonl")


def test_without_the_information_gap_nothing_has_to_be_asked():
    [task] = syllabus([library()], Data(information_gap=False), "t.jsonl")
    assert task.rubric.interactions == ()
    assert "The Glass Harbour" in task.brief.instruction


def test_an_opening_longer_than_the_recipe_allows_is_refused_by_name():
    speaks = tokenizer("chatml")
    length = len(begun(library(), "text", speaks, "hermes").ids)
    refuse_long([library()], speaks, "hermes", Rollouts(prompt_tokens=length))
    with pytest.raises(InputError, match=f"opening of task {library().id} has {length} tokens, more than {length - 1}"):
        refuse_long([library()], speaks, "hermes", Rollouts(prompt_tokens=length - 1))
