"""The procedural teacher's promises: the same bytes everywhere, and the shape that was asked for."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

import synthagent
from synthagent.schema.record import dump, line
from synthagent.synthesis.procedural.teacher import LEVELS

SCRIPT = """
import sys
from hashlib import sha256
from itertools import islice
from pathlib import Path
from synthagent.schema.record import dump, line
from synthagent.synthesis.procedural.domain import load, shipped
from synthagent.synthesis.procedural.teacher import families

pottery = load(Path(sys.argv[1]))
domains = {**shipped(), "pottery": pottery}
made = [*islice(families(domains, sys.argv[2:], 5), 16), *islice(families({"pottery": pottery}, sys.argv[2:], 5), 5)]
print(sha256(b"".join(line(dump(task)) for family in made for task in family.tasks)).hexdigest())
"""


def test_the_same_arguments_give_the_same_bytes_in_every_process(pottery_file, personas):
    def digest(hash_seed):
        env = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(Path(synthagent.__file__).parent.parent)}
        command = [sys.executable, "-c", SCRIPT, str(pottery_file), *personas]
        return subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout

    assert digest("0") == digest("4242")


def lines(families):
    return [line(dump(task)) for family in families for task in family.tasks]


def test_a_longer_stream_begins_like_a_shorter_one(make, pottery):
    assert lines(make(pottery, 6)) == lines(make(pottery, 9))[: len(lines(make(pottery, 6)))]


def test_another_seed_makes_other_tasks(make, pottery):
    one, two = ({hashlib.sha256(text).digest() for text in lines(make(pottery, 6, seed=seed))} for seed in (1, 2))
    assert not one & two


def test_the_persona_colours_the_task_and_is_recorded(make, pottery, personas):
    families = [family for family in make(pottery, 30) if family.tasks]
    assert {family.tasks[0].provenance.persona for family in families} == set(personas)
    for family in families:
        root = family.tasks[0]
        assert root.provenance.teacher == "procedural" and root.provenance.seeds == (5, family.index)
        if "blunt" in root.provenance.persona:
            assert root.hidden.disposition == "terse"
        if "litigious" in root.provenance.persona:
            assert root.hidden.disposition == "adversarial"


@pytest.mark.parametrize("level", LEVELS)
def test_a_level_keeps_its_ranges(make, pottery, level):
    for family in make(pottery, 12, difficulty=level):
        for task in family.tasks:
            drawn, ranges = task.provenance.difficulty, LEVELS[level].model_dump()
            assert len(task.provenance.templates) == drawn["goals"] <= ranges["goals"][1]
            assert all(low <= drawn[knob] <= high for knob, (low, high) in ranges.items() if knob != "goals")


def test_knobs_given_by_hand_overrule_the_level(make, pottery):
    made = make(pottery, 10, difficulty="easy", knobs={"goals": (2, 2), "distractors": (0, 0)})
    tasks = [task for family in made for task in family.tasks]
    assert tasks and all(len(task.provenance.templates) == 2 for task in tasks)
    assert all(task.provenance.difficulty["distractors"] == 0 for task in tasks)


def test_more_distractors_are_more_tools(make, pottery):
    def tools(count):
        made = make(pottery, 10, difficulty="easy", knobs={"distractors": (count, count)})
        return sum(len(task.brief.tools) for family in made for task in family.tasks)

    assert tools(0) < tools(2) < tools(4)


def test_mixed_draws_from_every_level(make, pottery):
    goals = {len(task.provenance.templates) for family in make(pottery, 30) for task in family.tasks}
    assert goals == {1, 2, 3}, "as many as the pottery has"
