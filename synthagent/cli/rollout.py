"""rollout: agents play tasks, into a run folder."""

import hashlib
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, cast, get_args

import anyio

from synthagent import __version__
from synthagent.cli.agents import Models, Role, role
from synthagent.cli.bench import scoring_of, waiting
from synthagent.cli.casting import FACTS, Others, Tape, casting
from synthagent.cli.console import Tick, print_json, progress, say
from synthagent.cli.elsewhere import roll_on
from synthagent.cli.engines import HERE, Cluster, Engine, running
from synthagent.cli.report import print_report
from synthagent.cli.services import fitted
from synthagent.config import Settings, settings
from synthagent.errors import Blame, EndpointDown, InputError, RunFolderError
from synthagent.evaluation.report import lines
from synthagent.rollouts.batch import Order, roll_batch
from synthagent.rollouts.group import Outcome
from synthagent.schema.messages import Protocol
from synthagent.schema.scores import Scored
from synthagent.schema.tasks import Task
from synthagent.scoring.scorer import judged
from synthagent.simulation.agent import OPENING, opening_fingerprint
from synthagent.simulation.episode import prepare
from synthagent.storage.digests import weights_sha256
from synthagent.storage.manifest import Manifest
from synthagent.storage.run_folder import RunFolder
from synthagent.storage.tables import Key
from synthagent.storage.task_file import read_tasks


def run_rollout(
    tasks: Path, agents: Sequence[str], with_: Others, n: int, protocol: str, limit: int | None, seed: int, out: Path,
    resume: bool, config: Path | None, options: Mapping[str, Any], json: bool, engine: Engine = HERE,
    record: bool = False,
) -> None:  # fmt: skip
    """Plays n episodes of every task by every agent and prints the report. `record`: keeps every agent's exchanges."""
    if record and engine != HERE:
        raise InputError("--record: workers of a cluster do not record", way_out="leave it out, or --engine local")
    spoken = protocol_of(protocol)
    chosen = settings(config, options)
    roles = [role(text) for text in agents]
    # Before there is a folder in the way of another try.
    if not (resume and (out / "manifest.json").exists()):
        check_simulated(islice(read_tasks(tasks), limit), with_)
    with_ = replace(with_, serving=fitted(with_.serving, islice(read_tasks(tasks), limit)))
    manifest = manifest_for(tasks, roles, n, protocol, seed, limit, chosen, with_)
    folder = open_run(tasks, out, manifest, resume, limit)
    with folder:
        roll_into(folder, roles, spoken, chosen, with_, engine, record=record)
        rows = lines(folder.index.rows())
        undecided = len(folder.index.blamed_keys([Blame.JUDGE]))
    if undecided:
        waiting(out, undecided, {})
    if json:
        print_json([row.model_dump(mode="json") for row in rows])
    else:
        print_report(rows)
        say(f"run folder: {out}; next: synthagent show {out}")


def protocol_of(text: str) -> Protocol:
    """The protocol of this name. Raises `InputError` with those there are."""
    if text not in get_args(Protocol):
        raise InputError(f"--protocol: '{text}' is not one of {', '.join(get_args(Protocol))}")
    return cast(Protocol, text)


def check_simulated(tasks: Iterable[Task], with_: Others) -> None:
    """Raises `InputError` when a task has tools that nobody can answer for: no episode of it could be scored."""
    if with_.simulating:
        return
    for task in tasks:
        if task.world.grounding:
            names = ", ".join(task.world.grounding)
            raise InputError(f"task {task.id}: no program for {names}", way_out="give --tools MODEL to simulate them")


def manifest_for(
    tasks: Path, roles: Sequence[Role], n: int, protocol: str, seed: int, limit: int | None, chosen: Settings,
    with_: Others | None = None,
) -> Manifest:  # fmt: skip
    """What this run is asked to do."""
    others = with_ or Others()
    playing = [*roles, *others.models]
    try:
        data = tasks.read_bytes()
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=str(tasks)) from error
    return Manifest(
        command=" ".join(["synthagent", *sys.argv[1:]]),
        agents=tuple(dict.fromkeys(who.name for who in roles)),
        user=others.user.name if others.user else FACTS,
        tools=others.tools.name if others.tools else None,
        map=others.mode,
        map_store=others.store if others.simulating or others.serving.search else "",
        faults=others.faults,
        search=others.serving.search,
        python=others.serving.python,
        lint=others.lint,
        judge=others.bench.judge.name if others.bench.judge else None,
        judge_mode=others.bench.mode,
        reward=chosen.reward,
        protocol=cast(Protocol, protocol),
        limits=chosen.limits,
        seed=seed,
        n=n,
        tasks_file=str(tasks),
        tasks_sha256=hashlib.sha256(data + str(limit or "").encode()).hexdigest(),
        version=__version__,
        sampling=_sampling(roles, others, chosen),
        weights={who.name: weights_sha256(who.weights) for who in playing if who.weights},
        settings=chosen.model_dump(mode="json"),
        prompts={OPENING: opening_fingerprint(), **others.prompts},
    )


def _sampling(roles: Sequence[Role], others: Others, chosen: Settings) -> dict[str, Any]:
    """The settings that decide what the models of this run say."""
    asked = {
        ("temperature", "max_tokens", "tool_form"): any(who.is_model for who in roles),
        ("user_temperature", "user_tokens"): others.user is not None,
        ("tools_temperature", "tools_tokens"): others.tools is not None,
        ("judge_temperature", "judge_tokens", "judge_votes"): others.bench.judge is not None,
    }
    return {name: getattr(chosen, name) for names, used in asked.items() if used for name in names}


def open_run(tasks: Path, out: Path, manifest: Manifest, resume: bool, limit: int | None) -> RunFolder:
    """A new run folder, or the one to go on with."""
    if resume and (out / "manifest.json").exists():
        folder = RunFolder.resume(out, manifest)
        for text in folder.mended:
            say(text)
        return folder
    return RunFolder.create(out, manifest, islice(read_tasks(tasks), limit))


def roll_into(
    folder: RunFolder, roles: Sequence[Role], protocol: Protocol, chosen: Settings, with_: Others | None = None,
    engine: Engine = HERE, *, record: bool = False,
) -> None:  # fmt: skip
    """Plays what the folder does not hold yet. What failed through no fault of agent or task is tried again."""
    keep = folder.record if record else None
    for who in roles:
        if record and who.scheme in ("scripted", "hf"):
            say(f"{who.name} is not asked over messages: nothing of it is recorded")
    with running(engine, chosen) as cluster:
        anyio.run(_score_left_over, folder, with_ or Others(), chosen)
        done = folder.done(retry=[Blame.INFRASTRUCTURE, Blame.TOOLS, Blame.USER])
        count = sum(1 for _ in folder.tasks())
        for who in roles:
            left = count * folder.manifest.n - sum(key.agent == who.name for key in done)
            with progress(who.name, left) as tick:
                roll = partial(_roll, folder, who, protocol, chosen, with_ or Others(), cluster, tick, done, keep)
                try:
                    anyio.run(roll)
                except EndpointDown as error:
                    raise RunFolderError(
                        f"{who.name}: {error}; what was finished is in {folder.path}: mend the endpoint and use "
                        "--resume"
                    ) from error


async def _roll(
    folder: RunFolder, who: Role, protocol: Protocol, chosen: Settings, with_: Others, cluster: Cluster | None,
    tick: Tick, done: set[Key], record: Tape | None,
) -> None:  # fmt: skip
    """Plays what one agent has left, here or on the cluster's workers, into the folder."""
    manifest, mean = folder.manifest, _Mean()

    def sink(outcome: Outcome) -> None:
        folder.add(outcome.episode, outcome.score)
        mean.see(outcome)
        tick(str(mean))

    if cluster is not None:
        figures = await roll_on(cluster, who, folder.tasks(), manifest, protocol, chosen, sink, done, with_)
    else:
        async with casting(who, protocol, chosen, manifest.seed, with_, record=record) as company:
            order = Order(
                who.name, company.cast, manifest.limits, manifest.n, manifest.seed, chosen.in_flight, company.scoring
            )
            await roll_batch(folder.tasks(), order, sink, done)
            figures = company.figures
    for line in figures.lines():
        say(line)


async def _score_left_over(folder: RunFolder, with_: Others, chosen: Settings) -> None:
    """Scores episodes whose process died before their score was written."""
    left = folder.unscored_keys()
    if not left:
        return
    tasks = {task.id: task for task in folder.tasks()}
    async with AsyncExitStack() as stack:
        scoring = await scoring_of(with_.bench, chosen, Models(stack, chosen))
        for key in sorted(left):
            stage = prepare(tasks[key.task_id])
            folder.add_score(key.agent, await judged(stage, folder.load_episode(*key), scoring=scoring))


class _Mean:
    """The running mean reward, for the progress line."""

    def __init__(self) -> None:
        self.sum, self.n, self.unscored = 0.0, 0, 0

    def see(self, outcome: Outcome) -> None:
        if isinstance(outcome.score, Scored) and outcome.score.counts:
            self.sum += outcome.score.reward
            self.n += 1
        else:
            self.unscored += 1

    def __str__(self) -> str:
        mean = f"reward {self.sum / self.n:.3f}" if self.n else "no reward yet"
        return f"({mean}, {self.unscored} unscored)" if self.unscored else f"({mean})"
