"""The whole walk without a model: a persona, a task, a group of tries, rewards, and who was better than the group."""

import asyncio
from statistics import mean, pstdev

import pytest

from synthagent.rollouts.group import Casting, Group, roll_group
from synthagent.schema.episodes import Limits, Stop
from synthagent.schema.scores import Scored
from synthagent.scoring.reward import reward_of
from synthagent.simulation.episode import Cast, Stage, facts_user
from synthagent.simulation.scripted_agents import scripted
from synthagent.synthesis import personas
from synthagent.synthesis.pipeline import Kept, verified
from synthagent.synthesis.procedural import domain
from synthagent.synthesis.procedural.teacher import families
from synthagent.synthesis.screening import objections

PERSONA = "a retired ferry pilot who organises a reading circle"


def advantages(group: Group) -> list[float]:
    """GRPO's: each reward less the group's mean, in standard deviations of the group."""
    spread = pstdev(group.rewards)
    return [(reward - mean(group.rewards)) / spread if spread else 0.0 for reward in group.rewards]


async def test_from_a_persona_to_the_advantage_of_the_agent_that_does_the_task():
    # A persona becomes families of tasks, each verified by execution before anybody sees it.
    made = families({"library": domain.shipped()["library"]}, [PERSONA], seed=1)
    family = next(family for family in made if len(family.tasks) > 1)
    assert await objections(family.tasks) == []
    root, twin = family.tasks[:2]
    assert {task.provenance.persona for task in family.tasks} == {PERSONA}

    # The agent sees a sentence, tools and rules; what the user knows is to be asked for.
    for fact in root.hidden.facts:
        assert str(fact.value) not in root.brief.instruction

    # Twins look alike to the agent, and are other tasks.
    assert twin.brief == root.brief
    assert twin.id != root.id

    # Four tries at one task, by who does it, by who refuses, by who does nothing, and by who does it again.
    players = ("reference", "refuse", "nothing", "reference")

    def casting(stage: Stage, sample: int) -> Cast:
        return Cast(scripted(players[sample], stage), facts_user(stage))

    group = await roll_group(root, casting, Limits(), n=4, seed=0)
    for outcome in group.outcomes:
        score = outcome.score
        assert isinstance(score, Scored)
        assert score.reward == reward_of(score.gate, score.n, score.i)
        assert outcome.episode.stop in (Stop.USER_DONE, Stop.TRANSFERRED)

    # Doing the task is worth everything, and only it is better than the group.
    assert (group.rewards[0], group.rewards[3]) == (1.0, 1.0)
    first, refused, idle, again = advantages(group)
    assert first == again > 0 > max(refused, idle)
    assert sum(advantages(group)) == pytest.approx(0.0)

    # A group of equals teaches nothing.
    alike = await roll_group(root, lambda stage, _: casting(stage, 0), Limits(), n=4, seed=0)
    assert advantages(alike) == [0.0] * 4


DO_NOTHING = ("nothing", "echo", "spam", "done")
DO_NO_WORK = ("refuse", "transfer", "confirm", "ask-all")


def played_by(name: str) -> Casting:
    return lambda stage, _: Cast(scripted(name, stage), facts_user(stage))


def test_no_cheap_trick_pays_in_any_of_the_shipped_domains():
    """The red team on sixty verified tasks: tricks that do nothing earn nothing, the others half at most."""
    made = families(domain.shipped(), personas.shipped(), seed=0)
    with asyncio.Runner() as runner:
        kept = verified(made, lambda f: [str(found) for found in runner.run(objections(f.tasks, f.compiled))], 60)
        tasks = [result.task for result in kept if isinstance(result, Kept)]
        assert {task.provenance.domain for task in tasks} == {*domain.shipped()}

        def worth(name: str) -> float:
            groups = [runner.run(roll_group(task, played_by(name), Limits(), n=1, seed=0)) for task in tasks]
            assert all(len(group.rewards) == 1 for group in groups)
            return mean(group.rewards[0] for group in groups)

        found = {name: worth(name) for name in ("reference", *DO_NOTHING, *DO_NO_WORK)}
    assert found["reference"] == 1.0
    assert max(found[name] for name in DO_NOTHING) <= 0.05, found
    assert max(found[name] for name in DO_NO_WORK) <= 0.5, found
