"""Checks that are made from what a reference did never name an id that another way of calling would change."""

import re

from synthagent.schema.record import dump
from synthagent.schema.tasks import CallStep, Task
from synthagent.synthesis.procedural.domain import shipped
from synthagent.synthesis.screening import objections

GENERATED = re.compile(r"\b[A-Z]+-[0-9a-f]{6}\b")


def chained(many_tasks) -> list[Task]:
    """Tasks in which a call takes the id that an earlier one made."""
    tools = [item for domain in shipped().values() for item in domain.tools.items()]
    writes = {name for name, tool in tools if tool.effect == "write"}
    found = []
    for task in many_tasks:
        for step in task.reference:
            sources = re.findall(r"'\$from': '(\d+)", str(step.args)) if isinstance(step, CallStep) else []
            if any(task.reference[int(n)].call in writes for n in sources):
                found.append(task)
                break
    return found


def test_a_new_row_that_another_refers_to_is_known_by_what_is_in_it(many_tasks):
    tasks = chained(many_tasks)
    assert tasks, "no domain has a call that takes what another made"
    for task in tasks:
        rows = str(task.world.rows)
        checks = str([dump(c.check) for c in (*task.rubric.subgoals, *task.rubric.interactions)])
        assert not [name for name in GENERATED.findall(checks) if name not in rows]
        assert "NOT EXISTS" in checks


async def test_a_check_that_names_a_generated_id_is_an_objection(many_tasks, edited):
    task = chained(many_tasks)[0]

    def name_it(data):
        data["rubric"]["subgoals"][0]["check"] = {
            "all": [
                data["rubric"]["subgoals"][0]["check"],
                {"not": {"state": f"SELECT '{_made(task)}' = 'x'"}},
            ]
        }

    found = await objections([edited(task, name_it)])
    assert any("an id that the world generates" in one.text for one in found)


def _made(task: Task) -> str:
    """An id that the reference's own calls make."""
    from synthagent.simulation.compiling import compile_world
    from synthagent.synthesis.executing import run

    blueprint = compile_world(task.brief.tools, task.world, task.world_id)
    ran = run(blueprint, task.reference, {fact.id: fact.value for fact in task.hidden.facts})
    rows = str(task.world.rows)
    return next(name for name in GENERATED.findall(str(ran.results)) if name not in rows)
