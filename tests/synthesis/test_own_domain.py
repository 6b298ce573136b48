"""A further domain takes a data file and nothing else."""

import asyncio

from synthagent.synthesis.pipeline import Kept, verified
from synthagent.synthesis.procedural.teacher import families
from synthagent.synthesis.screening import objections


def test_twenty_verified_tasks_from_a_data_file_alone(pottery, personas):
    with asyncio.Runner() as runner:
        screen = lambda made: [str(found) for found in runner.run(objections(made.tasks))]  # noqa: E731
        results = list(verified(families({"pottery": pottery}, personas, 3), screen, 20))
    tasks = [result.task for result in results if isinstance(result, Kept)]
    assert len(tasks) == 20
    assert len(results) <= 24, "most of what is made can be verified"
    assert {task.provenance.domain for task in tasks} == {"pottery"}
    assert {name for task in tasks for name in task.provenance.templates} == set(pottery.goals)
    assert {task.provenance.twin for task in tasks} == {None, "fact", "row"}
