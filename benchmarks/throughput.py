"""Episodes and tasks a second on one core. There is nothing to compare them with: the bounds are absolute."""

import asyncio
from collections.abc import Iterator
from itertools import islice
from statistics import median

from benchmarks.figures import Figure, Target, cpu
from benchmarks.stages import by_reference, stages
from synthagent.schema.scores import Scored
from synthagent.scoring.scorer import score
from synthagent.synthesis import personas
from synthagent.synthesis.procedural import domain
from synthagent.synthesis.procedural.teacher import Made, families
from synthagent.synthesis.screening import objections

REPEATS = 5
TASKS = 60
FAMILIES = 24


def episodes() -> Iterator[Figure]:
    """Played by the reference and scored, on tasks that are compiled already: a group's episodes share that."""
    chosen = stages(TASKS)

    async def all_of_them() -> None:
        for stage in chosen:
            played = await by_reference(stage)
            assert isinstance(score(stage, played.episode, played.final), Scored)

    with asyncio.Runner() as runner:
        runner.run(all_of_them())
        rates = [TASKS / cpu(lambda: runner.run(all_of_them())) for _ in range(REPEATS)]
    yield Figure("episodes", median(rates), "1/s", None, None, Target("value", ">=", 500))


def synthesis() -> Iterator[Figure]:
    """Procedural tasks of all domains and difficulties, as they are composed, and verified by execution as well."""
    domains, people = domain.shipped(), personas.shipped()
    made: list[Made] = []
    plain, whole = [], []
    with asyncio.Runner() as runner:

        def compose(seed: int) -> None:
            made[:] = islice(families(domains, people, seed), FAMILIES)

        def verify() -> None:
            for family in made:
                runner.run(objections(family.tasks, family.compiled))

        for seed in range(REPEATS):
            composing = cpu(lambda seed=seed: compose(seed))  # type: ignore[misc]
            verifying = cpu(verify)
            count = sum(len(family.tasks) for family in made)
            plain.append(count / composing)
            whole.append(count / (composing + verifying))
    yield Figure("synthesis_unverified", median(plain), "1/s", None, None, Target("value", ">=", 100))
    yield Figure("synthesis_verified", median(whole), "1/s", None, None, Target("value", ">=", 30))
