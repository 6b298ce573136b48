"""The examples of the reference are real: they load, compile, and hold what is said about them."""

import asyncio
from pathlib import Path
from typing import Any

import orjson
import pytest
from pydantic import TypeAdapter

from synthagent.config import Settings, settings
from synthagent.schema.checks import OPERATORS, Check, operator_of
from synthagent.schema.tasks import Step, Task
from synthagent.storage.task_file import parse_task
from synthagent.synthesis import personas
from synthagent.synthesis.pipeline import Kept, Rejected, verified
from synthagent.synthesis.procedural import domain as domains
from synthagent.synthesis.procedural.teacher import LEVELS, families
from synthagent.synthesis.screening import objections
from tests.docs.pages import page, reference, saved_files


def test_the_example_domain_loads_and_every_family_made_of_it_verifies(tmp_path: Path):
    file = tmp_path / "left_luggage.yaml"
    file.write_text(saved_files()[file.name])
    domain = domains.load(file)
    screened: list[Kept | Rejected] = []
    with asyncio.Runner() as runner:
        for level in LEVELS:
            made = families({domain.name: domain}, personas.shipped(), 1, level)  # type: ignore[arg-type]
            screened += verified(made, lambda one: [str(o) for o in runner.run(objections(one.tasks))], 14)
    assert [one for one in screened if isinstance(one, Rejected)] == []
    tasks: list[Task] = [one.task for one in screened if isinstance(one, Kept)]
    assert {task.provenance.twin for task in tasks} == {None, "fact", "row"}


def test_the_task_written_by_hand_loads_and_verifies():
    raw = orjson.dumps(orjson.loads(saved_files()["task.json"]))
    task = parse_task(raw, "task.json")
    assert asyncio.run(objections([task])) == []


def examples(name: str, kind: str) -> list[Any]:
    return [orjson.loads(block.text) for block in reference(name).blocks if block.name == kind]


@pytest.mark.parametrize("check", examples("checks", "check"), ids=lambda check: next(iter(check)))
def test_an_example_of_a_check_is_one(check: Any):
    assert operator_of(TypeAdapter(Check).validate_python(check)) == next(iter(check))


def test_every_operator_has_an_example():
    assert {operator_of(check) for check in examples("checks", "check")} == set(OPERATORS)


def test_the_example_of_a_program_is_one():
    [steps] = examples("worlds", "program")
    assert len(TypeAdapter(tuple[Step, ...]).validate_python(steps)) == 3


def test_the_example_of_a_settings_file_is_one(tmp_path: Path):
    file = tmp_path / "synthagent.toml"
    file.write_text(saved_files()[file.name])
    found = settings(file, {})
    assert found != Settings()
    assert found.limits.turns == 16


def test_no_page_has_an_unclosed_block_or_an_empty_section():
    for name in ("cli", "checks", "domains", "run-folder", "settings", "task-file", "worlds"):
        text = reference(name).path.read_text()
        assert text.count("```") % 2 == 0
        assert page(reference(name).path).sections
