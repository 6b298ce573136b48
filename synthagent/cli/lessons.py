"""What is asked of a teacher on the command line, and the band of pass rates that its tasks are to lie in."""

import math
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from synthagent.cli.agents import role
from synthagent.cli.casting import casting
from synthagent.cli.engines import HERE, Engine
from synthagent.config import Settings
from synthagent.errors import InputError
from synthagent.rollouts.group import roll_group
from synthagent.schema.episodes import Limits
from synthagent.schema.tasks import Task


@dataclass(frozen=True)
class Lesson:
    """What was asked for on the command line."""

    out: Path
    n: int
    teacher: str
    seed: int
    personas: Path | None
    limit: int | None
    world: str
    skip: Sequence[str]
    rounds: int
    tries: int
    similar: float
    max_tokens: int | None
    max_usd: float | None
    band: str | None
    band_agent: str | None
    band_n: int
    licence: str
    resume: bool
    record: bool
    config: Path | None
    options: Mapping[str, Any] = field(default_factory=dict)
    engine: Engine = HERE


@asynccontextmanager
async def band_for(lesson: Lesson, chosen: Settings) -> AsyncIterator[Any]:
    """A screen that lets an agent play a task n times and wants its mean reward within the band."""
    low, high = band_range(lesson.band or "")
    who = role(lesson.band_agent or "", "--band-agent")
    async with casting(who, "text", chosen, lesson.seed) as company:

        async def screen(task: Task) -> Sequence[str]:
            group = await roll_group(task, company.cast, Limits(), lesson.band_n, lesson.seed)
            if not group.rewards:
                return [f"{who.name} got no score in {lesson.band_n} tries"]
            mean = math.fsum(group.rewards) / len(group.rewards)
            return [] if low <= mean <= high else [f"{who.name} earns {mean:.2f}, outside {low:g}-{high:g}"]

        yield screen


def band_range(text: str) -> tuple[float, float]:
    """`0.2-0.85` as two numbers. Raises `InputError`."""
    low, dash, high = text.partition("-")
    try:
        found = (float(low), float(high))
    except ValueError:
        found = (1.0, 0.0)
    if not dash or not 0 <= found[0] <= found[1] <= 1:
        raise InputError(f"--band: '{text}' is not a range within 0 and 1, such as 0.2-0.85")
    return found
