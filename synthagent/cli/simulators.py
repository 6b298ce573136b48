"""audit consistency, user, redteam, stats, compile: what tasks, simulated tools and users are worth when played."""

import os
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path
from typing import Any

import anyio
import typer

from synthagent.audit import statistics
from synthagent.audit.compilation import Verdict, compiled_task
from synthagent.audit.consistency import CLASSES, Certificate, certify
from synthagent.audit.red_team import MOST, RedTeam, attack, worst
from synthagent.audit.users import UserTurn, rates
from synthagent.cli.agents import Models, role
from synthagent.cli.bench import scoring_of
from synthagent.cli.casting import Others, casting, map_beside, mapped
from synthagent.cli.console import print_json, print_table, progress, say
from synthagent.config import Settings, settings
from synthagent.errors import InputError
from synthagent.intervals import Interval
from synthagent.rollouts.batch import Order, roll_batch
from synthagent.rollouts.group import Outcome
from synthagent.schema.episodes import Limits, UserEvent
from synthagent.schema.tasks import Task
from synthagent.serve.access import TOKEN_ENV
from synthagent.simulation.map_store import Entry, MapStore
from synthagent.simulation.response_map import ResponseMap
from synthagent.storage.maps import open_store
from synthagent.storage.run_folder import RunFolder
from synthagent.storage.task_file import read_tasks, write_tasks
from synthagent.synthesis.red_team import BOUNDS

_SHOWN = 20
"""Counter-examples printed; all of them go into --json."""


# ---- consistency


def run_consistency(tasks: Path, with_: Others, limit: int | None, config: Path | None, json: bool) -> None:
    """Prints the certificate; exits with 1 when an exact class is not at 100 %."""
    chosen = settings(config, {})
    kept = list(islice(read_tasks(tasks), limit))
    certificate = Certificate()
    with tempfile.TemporaryDirectory() as folder:
        # A map of its own: what is asked here is nobody's training.
        own = replace(with_, store=str(Path(folder, "map.sqlite")))
        anyio.run(_certified, kept, own, chosen, certificate)
    share = certificate.identical_share
    if json:
        print_json(
            {
                "calls": certificate.calls,
                "identical_share": share,
                "by_class": {kind: _share(certificate, kind) for kind in CLASSES},
                "match_rate": certificate.match_rate,
                "failed": certificate.failed,
                "counterexamples": [asdict(check) for check in certificate.counterexamples],
            }
        )
    else:
        _print_certificate(certificate)
    if share is not None and share < 1:
        raise typer.Exit(1)


async def _certified(tasks: Sequence[Task], with_: Others, chosen: Settings, certificate: Certificate) -> None:
    async with AsyncExitStack() as stack:
        models = Models(stack, chosen)

        @asynccontextmanager
        async def opening() -> AsyncIterator[ResponseMap | None]:
            async with mapped(with_, chosen, models) as tools:
                yield tools

        with progress("tasks", len(tasks)) as tick:
            async for _ in certify(tasks, opening, certificate):
                tick("")


def _share(certificate: Certificate, kind: Any) -> dict[str, Any]:
    checks, identical = certificate.checks[kind], certificate.identical[kind]
    return {"checks": checks, "identical": identical, "share": identical / checks if checks else None}


def _print_certificate(certificate: Certificate) -> None:
    rows = [{"class": kind, **_share(certificate, kind)} for kind in CLASSES]
    print_table(rows, ("class", "checks", "identical", "share"))
    shown = [
        {"class": c.kind, "tool": c.tool, "calls": " / ".join(c.calls), "first": c.first[:80], "second": c.second[:80]}
        for c in certificate.counterexamples[:_SHOWN]
    ]
    if shown:
        print_table(shown, ("class", "tool", "calls", "first", "second"), "answers that differ")
    rest = len(certificate.counterexamples) - len(shown)
    if rest:
        say(f"and {rest} more: --json has them all")
    if certificate.failed:
        say(f"{certificate.failed} calls got no answer at all")
    matched = (
        "" if certificate.match_rate is None else f"; {certificate.match_rate:.0%} of paraphrases taken as the same"
    )
    share = (
        "nothing to compare" if certificate.identical_share is None else f"{certificate.identical_share:.2%} identical"
    )
    say(f"{certificate.calls} calls, {share}{matched}")


# ---- user


def run_user(
    tasks: Path, agents: Sequence[str], with_: Others, n: int, limit: int | None, seed: int, config: Path | None,
    json: bool,
) -> None:  # fmt: skip
    """Prints how often the user breaks its rules, as the linter sees it."""
    if with_.user is None:
        raise InputError("--user: give a model; `facts` keeps to its rules by construction")
    chosen = settings(config, {})
    kept = list(islice(read_tasks(tasks), limit))
    turns, unscored = anyio.run(_talked, kept, agents, with_, n, seed, chosen)
    found = rates(turns)
    kinds = {kind: {"count": count, **_interval(interval, "rate")} for kind, (count, interval) in found.by_kind.items()}
    errors = _interval(found.errors, "error_rate")
    if json:
        examples = [{"kinds": list(t.kinds), **t.event.model_dump(mode="json")} for t in turns if t.kinds][:_SHOWN]
        print_json({"turns": found.turns, **errors, "by_kind": kinds, "unscored": dict(unscored), "examples": examples})
        return
    print_table([{"kind": "any", **_interval(found.errors, "rate")}, *({"kind": k, **v} for k, v in kinds.items())],
                ("kind", "count", "rate", "low", "high"))  # fmt: skip
    for turn in [turn for turn in turns if turn.kinds][:5]:
        say(f"- {'; '.join(turn.event.findings)}: {turn.event.text[:160]!r} to {turn.event.message[:100]!r}")
    lost = ", ".join(f"{count} {why}" for why, count in unscored.items())
    say(f"{found.turns} replies{'; unscored: ' + lost if lost else ''}")


async def _talked(
    tasks: Sequence[Task], agents: Sequence[str], with_: Others, n: int, seed: int, chosen: Settings
) -> tuple[list[UserTurn], Counter[str]]:
    families = {task.id: task.family for task in tasks}
    turns: list[UserTurn] = []
    unscored: Counter[str] = Counter()

    def sink(outcome: Outcome) -> None:
        episode = outcome.episode
        family = families[episode.task_id]
        turns.extend(UserTurn(family, event) for event in episode.events if isinstance(event, UserEvent))
        if episode.failure is not None:
            unscored[f"{episode.failure.blame}: {episode.failure.reason}"] += 1
        tick("")

    with progress("episodes", len(tasks) * len(agents) * n) as tick:
        for text in agents:
            who = role(text)
            async with casting(who, "text", chosen, seed, with_) as company:
                await roll_batch(tasks, Order(who.name, company.cast, Limits(), n, seed, chosen.in_flight), sink)
    return turns, unscored


def _interval(interval: Interval | None, name: str) -> dict[str, Any]:
    if interval is None:
        return {name: None, "low": None, "high": None}
    low, high = max(0.0, interval.low), min(1.0, interval.high)
    return {name: interval.mean, "low": low, "high": high}


# ---- red team


def run_redteam(tasks: Path, with_: Others, limit: int | None, config: Path | None, json: bool) -> None:
    """Prints what agents that do not try earn; exits with 1 when a task pays one more than it may."""
    found = RedTeam()
    undecided = 0
    with progress("tasks", 0) as tick:

        def ticked() -> Iterator[Task]:
            nonlocal undecided
            for task in islice(read_tasks(tasks), limit):
                undecided += with_.bench.judge is None and bool(task.rubric.unchecked)
                yield task
                tick(f"({len(found.breaches)} breaches)")

        anyio.run(_attacked, ticked(), with_, settings(config, {}), found)
    if json:
        print_json(
            {
                "tasks": found.tasks,
                "agents": found.means,
                "breached": found.breached,
                "findings": [asdict(breach) for breach in found.breaches],
                "unscored": found.unscored,
            }
        )
    else:
        rows = [
            {"agent": name, "mean": mean, "at most": BOUNDS[name], "on one task": MOST[name]}
            for name, mean in found.means.items()
        ]
        print_table(rows, ("agent", "mean", "at most", "on one task"))
        if found.breaches:
            shown = [asdict(breach) for breach in worst(found.breaches, _SHOWN)]
            print_table(shown, ("task", "agent", "reward", "bound"), "tasks that let one through")
        say(f"{found.tasks} tasks, {len(found.breached)} let an agent through, {found.unscored} tries without a reward")
        if undecided:
            say(f"{undecided} tasks have criteria without a check, so nothing is known of them: give --judge MODEL")
    if not found.held:
        raise typer.Exit(1)


async def _attacked(tasks: Iterator[Task], with_: Others, chosen: Settings, found: RedTeam) -> None:
    async with AsyncExitStack() as stack:
        models = Models(stack, chosen)
        tools = await stack.enter_async_context(mapped(with_, chosen, models))
        await attack(tasks, found, tools, await scoring_of(with_.bench, chosen, models))


# ---- stats


def run_stats(tasks: Path, run: Path | None, store: str | None, json: bool) -> None:
    """Prints a task set's figures beside the paper's."""
    kept = list(read_tasks(tasks))
    figures = statistics.of_tasks(kept)
    where = store
    played = None
    if run is not None:
        with RunFolder.open(run) as folder:
            played = statistics.interactions(folder.episodes())
            where = where or folder.manifest.map_store
    where = where or str(map_beside(tasks))
    if "://" not in where and not Path(where).exists():
        where = None  # nothing was simulated yet; looking must not make a map
    worlds = sorted({task.world_id for task in kept})
    size = statistics.map_size(anyio.run(_sizes, where, worlds)) if where else None
    found = {
        "tasks": figures.tasks,
        "tools_per_task": figures.tools_per_task,
        "interactions": played,
        "map_size": size,
        "tokens_per_task": figures.tokens_per_task,
    }
    if json:
        print_json({**found, "paper": dict(statistics.PAPER)})
        return
    rows = [{"figure": name, "here": found[name], "paper": value} for name, value in statistics.PAPER.items()]
    print_table(rows, ("figure", "here", "paper"))
    say(f"{figures.tasks} tasks{'' if run else '; interactions come from a run: --run RUN'}")


async def _sizes(where: str, worlds: Sequence[str]) -> Mapping[str, int]:
    store = open_store(where, os.environ.get(TOKEN_ENV))
    try:
        return await store.sizes(worlds)
    finally:
        await store.aclose()


# ---- compile


def run_compile(
    tasks: Path, teacher: str, out: Path, store: str | None, rounds: int, limit: int | None, config: Path | None,
    json: bool,
) -> None:  # fmt: skip
    """Writes the tasks with what could be compiled, and prints which tools resist."""
    chosen = settings(config, {})
    kept = list(islice(read_tasks(tasks), limit))
    where = there(store or str(map_beside(tasks)))
    verdicts, made = anyio.run(_compiled, kept, teacher, where, rounds, chosen)
    write_tasks(out, made)
    rows = [asdict(verdict) for verdict in verdicts]
    compiled = sum(verdict.compiled for verdict in verdicts)
    if json:
        print_json({"tools": len(verdicts), "compiled": compiled, "verdicts": rows})
        return
    if rows:
        print_table(rows, ("tool", "compiled", "observed", "held_out", "right", "reason", "task_id"))
    say(f"{compiled} of {len(verdicts)} simulated tools compiled; {len(made)} tasks in {out}")


async def _compiled(
    tasks: Sequence[Task], teacher: str, where: str, rounds: int, chosen: Settings
) -> tuple[list[Verdict], list[Task]]:
    verdicts: list[Verdict] = []
    made: list[Task] = []
    async with AsyncExitStack() as stack:
        models = Models(stack, chosen)
        asked = await models.structured(
            role(teacher, "--teacher"), "teacher", chosen.temperature, chosen.teacher_tokens
        )
        store = open_store(where, os.environ.get(TOKEN_ENV))
        stack.push_async_callback(store.aclose)
        entries = [entry async for entry, _ in all_entries(store)]
        with progress("tasks", len(tasks)) as tick:
            for task in tasks:
                found = await compiled_task(task, entries, asked, rounds)
                verdicts += found.verdicts
                made.append(found.task)
                tick("")
    return verdicts, made


def there(store: str) -> str:
    """The word for a map, for commands that read one. Raises `InputError` for a file that would only be made now."""
    if "://" not in store and not Path(store).exists():
        raise InputError("there is no such map", where=store)
    return store


async def all_entries(store: MapStore) -> AsyncIterator[tuple[Entry, int]]:
    """Every entry of a map, in the order in which they came, and its hits."""
    after = 0
    while some := await store.dump(after, 500):
        for number, entry, hits in some:
            after = number
            yield entry, hits
