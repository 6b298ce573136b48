"""Agents that do not try: what they earn, and that a task which pays one is named."""

from itertools import islice
from pathlib import Path

from synthagent.audit.red_team import RedTeam, attack
from synthagent.schema.tasks import Rubric, Task, identified
from synthagent.simulation.scripted_agents import AGENTS
from synthagent.storage.task_file import write_tasks
from synthagent.synthesis.procedural.domain import shipped
from synthagent.synthesis.procedural.teacher import families
from synthagent.synthesis.red_team import BOUNDS
from tests.builders import library
from tests.commands import synthagent


def generous() -> Task:
    """The library, paying whoever asks for a name and nothing else."""
    rubric = library().rubric
    asked = rubric.interactions[0]
    easy = Rubric(forbidden=rubric.forbidden, subgoals=(asked.model_copy(update={"id": "s1"}),), interactions=(asked,))
    return identified(library().model_copy(update={"rubric": easy}))


async def test_every_agent_plays_but_those_that_act_the_task_out():
    assert set(BOUNDS) == set(AGENTS) - {"reference", "careful"}
    found = RedTeam()
    await attack([library()], found)
    assert (found.tasks, found.unscored, found.breached) == (1, 0, [])
    assert set(found.means) == set(BOUNDS)


async def test_procedural_tasks_hold_every_agent_down():
    domains = shipped()
    made = islice(families(domains, ["A patient lighthouse keeper"], 8), 2 * len(domains))
    found = RedTeam()
    await attack((task for family in made for task in family.tasks), found)
    assert found.tasks > 30
    assert found.breached == []
    assert found.unscored == 0
    for name in ("nothing", "refuse", "transfer", "echo", "confirm", "done", "inject"):
        assert found.means[name] == 0.0


async def test_a_task_that_pays_for_asking_alone_is_named_with_the_agent_and_the_reward():
    found = RedTeam()
    await attack([library(), generous()], found)
    assert found.breached == [generous().id]
    assert [(breach.agent, breach.reward, breach.bound) for breach in found.breaches] == [("ask-all", 1.0, 0.5)]


def test_the_command_prints_it_and_its_exit_code_tells(tmp_path: Path):
    good, bad = tmp_path / "good.jsonl", tmp_path / "bad.jsonl"
    write_tasks(good, [library()])
    write_tasks(bad, [library(), generous()])
    assert synthagent("audit", "redteam", good, "--json").json["breached"] == []
    done = synthagent("audit", "redteam", bad, "--json")
    assert (done.code, done.json["breached"]) == (1, [generous().id])
    table = synthagent("audit", "redteam", bad)
    assert "tasks that let one through" in table.out
    assert "2 tasks, 1 let an agent through" in table.err


def test_where_nothing_could_be_scored_nothing_is_held():
    found = RedTeam()
    assert found.held, "no task, no harm"
    found.see("judged", {})
    assert not found.held
    assert found.unscored == len(found.means)
