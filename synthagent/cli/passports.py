"""audit passport and select: how often an agent gets each task right, and the tasks worth training on."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast, get_args

import anyio

from synthagent.audit.passports import By, Passport, by_band, passport, selected, stamped, whose
from synthagent.cli.agents import Role, role
from synthagent.cli.casting import Others, casting
from synthagent.cli.console import print_json, print_table, progress, say
from synthagent.cli.rollout import check_simulated, protocol_of
from synthagent.config import Settings, settings
from synthagent.errors import InputError
from synthagent.rollouts.batch import Order, Sink, roll_batch
from synthagent.rollouts.group import Outcome
from synthagent.schema.messages import Protocol
from synthagent.schema.scores import Score
from synthagent.schema.tasks import Task
from synthagent.storage.task_file import read_tasks, write_tasks

# ---- audit passport


def run_passport(
    path: Path, agent: str, with_: Others, n: int, protocol: str, threshold: float, limit: int | None, seed: int,
    out: Path | None, config: Path | None, json: bool,
) -> None:  # fmt: skip
    """Writes every task with its passport. What was finished is kept, however the playing ends."""
    chosen, spoken, who = settings(config, {}), protocol_of(protocol), role(agent)
    if out is None and path.exists() and not path.is_file():
        raise InputError("is no file that could be written again", where=str(path), way_out="give --out FILE")
    tasks = list(read_tasks(path))
    played = tasks[:limit]
    check_simulated(played, with_)
    tally = Tally(who.name, n, threshold)
    ended = False
    try:
        with progress(who.name, len(played) * n) as tick:

            def sink(outcome: Outcome) -> None:
                tally.see(outcome.score)
                tick(str(tally))

            anyio.run(_played, played, who, spoken, chosen, with_, n, seed, sink)
        ended = True
    finally:
        # What broke off says nothing of tasks on which no try came to a score.
        given = {task: one for task, one in tally.given.items() if ended or one.n}
        if given or ended:
            made = (stamped(task, given[task.id]) if task.id in given else task for task in tasks)
            write_tasks(out or path, made)
        if given and not ended:
            say(f"{len(given)} passports of {len(played)} kept in {out or path}")
    _print([given[task.id] for task in played], out or path, json)


class Tally:
    """Gathers tries until all n of a task are there."""

    def __init__(self, agent: str, n: int, threshold: float):
        self.given: dict[str, Passport] = {}
        """Task id -> its passport."""
        self._agent, self._n, self._threshold = agent, n, threshold
        self._open: dict[str, list[Score]] = defaultdict(list)

    def see(self, score: Score) -> None:
        """Takes note of one try."""
        tries = self._open[score.task_id]
        tries.append(score)
        if len(tries) == self._n:
            self.given[score.task_id] = passport(score.task_id, self._agent, tries, self._threshold)
            del self._open[score.task_id]

    def __str__(self) -> str:
        return f"({by_band(self.given.values())['learnable']} of {len(self.given)} tasks learnable)"


async def _played(
    tasks: Sequence[Task], who: Role, protocol: Protocol, chosen: Settings, with_: Others, n: int, seed: int, sink: Sink
) -> None:
    async with casting(who, protocol, chosen, seed, with_) as company:
        await roll_batch(
            tasks, Order(who.name, company.cast, chosen.limits, n, seed, chosen.in_flight, company.scoring), sink
        )
        for line in company.figures.lines():
            say(line)


def _print(given: Sequence[Passport], where: Path, json: bool) -> None:
    counted = by_band(given)
    if json:
        rows = [one.model_dump(mode="json") for one in given]
        print_json({"tasks": len(given), "by_band": counted, "passports": rows})
        return
    lines = [_line(band, [one for one in given if one.band == band]) for band in counted]
    print_table(lines, ("band", "tasks", "rate", "mean_reward", "unscored"))
    unscored = sum(one.unscored for one in given)
    lost = f", {unscored} tries without a score" if unscored else ""
    say(f"{len(given)} passports in {where}, {counted['learnable']} of them learnable{lost}")


def _line(band: str, group: Sequence[Passport]) -> dict[str, Any]:
    return {
        "band": band,
        "tasks": len(group),
        "rate": _mean([one.rate for one in group if one.rate is not None]),
        "mean_reward": _mean([one.mean_reward for one in group if one.mean_reward is not None]),
        "unscored": sum(one.unscored for one in group),
    }


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


# ---- select


def run_select(
    path: Path, band: tuple[float, float], agent: str | None, by: str, families: bool, out: Path, json: bool
) -> None:
    """Writes the tasks whose passport lies within the band."""
    if by not in get_args(By):
        raise InputError(f"--by: '{by}' is not one of {', '.join(get_args(By))}")
    if not 0 <= band[0] <= band[1] <= 1:
        given = f"{band[0]:g} {band[1]:g}"
        raise InputError(f"--band: {given} is no range within 0 and 1", way_out="lower end first, such as 0.2 0.85")
    tasks = list(read_tasks(path))
    # Passports go by the name of a role, which leaves a file's folder out.
    names = (agent, Role(*agent.partition(":")[::2]).name) if agent else ()
    found = selected(tasks, whose(tasks, names), band, cast(By, by), families=families)
    write_tasks(out, found.kept)
    figures = {"tasks": len(tasks), "kept": len(found.kept), "without_passport": found.without_passport}
    if json:
        print_json(figures)
        return
    lacking = f", {found.without_passport} have no passport" if found.without_passport else ""
    say(f"{len(found.kept)} of {len(tasks)} tasks in {out}{lacking}")
