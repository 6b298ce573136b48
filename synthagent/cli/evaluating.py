"""eval run: suites, one after the other, into an evaluation folder. What fails is told and never a score."""

import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import typer

from synthagent import __version__
from synthagent.cli.agents import Role, role
from synthagent.cli.bench import Bench, bench
from synthagent.cli.console import print_json, print_table, say
from synthagent.cli.engines import HERE, Engine
from synthagent.cli.evaluating_harness import driven, sampled, versions_of
from synthagent.cli.evaluating_tasks import Played, played, prepared
from synthagent.cli.services import Serving, serving
from synthagent.config import Settings, settings
from synthagent.errors import InputError, SynthAgentError
from synthagent.evaluation.items import Item, SuiteFailed
from synthagent.evaluation.metrics import Figures, figures
from synthagent.evaluation.results import Asked, Evaluation, SuiteResult, comparable, failure_of, result_of
from synthagent.evaluation.suites import Benchmark, Suite, chosen
from synthagent.storage.digests import weights_sha256

FAILED = 4
"""Exit code when a suite failed."""
ORACLE = Role("scripted", "oracle")
"""Knows every answer of a harness's suite; elsewhere there is `scripted:reference`."""
_DOUBLES = ("oracle", "nothing")
COLUMNS = ("suite", "status", "n", "trials", "mean", "low", "high", "null_baseline", "overflow", "seconds", "reason")


@dataclass(frozen=True, slots=True)
class EvalWords:
    """What `eval run` was told."""

    suites: str
    agent: str
    out: Path
    user: str | None = None
    judge: str | None = None
    trials: int | None = None
    limit: int | None = None
    search: str | None = None
    python: str = "auto"
    unsafe_local: bool = False
    data_file: Sequence[str] = ()
    data_sha256: Sequence[str] = ()
    harness_option: Sequence[str] = ()
    seed: int = 0
    config: Path | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    resume: bool = False
    json: bool = False
    engine: Engine = HERE


@dataclass(frozen=True, slots=True)
class Company:
    """Everybody who takes part, and how."""

    agent: Role
    user: Role | None
    bench: Bench
    serving: Serving
    settings: Settings
    words: EvalWords

    @property
    def sampling(self) -> dict[str, Any]:
        """What decides what the agent's model says."""
        if not self.agent.is_model:
            return {}
        names = ("temperature", "max_tokens", "tool_form")
        return {name: getattr(self.settings, name) for name in names}


@dataclass(frozen=True, slots=True)
class Ready:
    """A suite that can be run; or the reason why it has failed already."""

    found: Benchmark
    versions: Mapping[str, str]
    played: Played | None = None
    """None: a harness runs it."""
    failed: str = ""

    @property
    def name(self) -> str:
        return self.found.suite.name


def run_eval(words: EvalWords) -> None:
    """Runs what is missing of the suites, prints what they came to, and exits with 4 if one failed.

    What is asked for wrongly, or not there, is told before there is a folder.
    """
    found = chosen(words.suites)
    company = _company(words, found)
    files = by_suite("--data-file", words.data_file, found)
    hashes = by_suite("--data-sha256", words.data_sha256, found)
    ready = [_ready(one, company, files.get(one.suite.name), hashes.get(one.suite.name, "")) for one in found]
    folder = Evaluation(words.out)
    folder.begin(_asked(company), resume=words.resume)
    for one in ready:
        _run(one, company, folder)
    results = folder.results()
    _print(words, results)
    if any(results[one.name].status == "failed" for one in ready):
        raise typer.Exit(FAILED)


def _company(words: EvalWords, found: Sequence[Benchmark]) -> Company:
    """Who takes part. Raises `InputError` for whoever is missing or can do nothing there."""
    agent = ORACLE if words.agent == "scripted:oracle" else role(words.agent)
    user = None if words.user is None else role(words.user, "--user")
    judging = bench(words.judge, "checks")
    for one in found:
        _fits(one, agent, user, judging)
        if one.suite.kind == "harness" and words.engine != HERE:
            way_out = "run it with --engine local: the harness has workers of its own"
            raise InputError(f"--engine ray: {one.suite.name} is run by its own harness", way_out=way_out)
    return Company(
        agent, user, judging, serving(words.search, words.python, unsafe_local=words.unsafe_local),
        settings(words.config, words.options), words,
    )  # fmt: skip


def _fits(one: Benchmark, agent: Role, user: Role | None, judging: Bench) -> None:
    suite = one.suite
    if suite.kind == "harness":
        if not agent.is_model and agent.argument not in _DOUBLES:
            known = ", ".join(f"scripted:{name}" for name in _DOUBLES)
            raise InputError(f"--agent: {agent.name} cannot play {suite.name}", way_out=f"a model, or {known}")
        if suite.harness == "tau2" and agent.is_model and user is None:
            raise InputError(f"{suite.name} needs a model that plays the user", way_out="give --user MODEL")
        return
    if agent == ORACLE:
        raise InputError(f"--agent: scripted:oracle cannot play {suite.name}", way_out="use scripted:reference")
    if suite.kind == "search" and judging.judge is None and agent != Role("scripted", "reference"):
        raise InputError(f"{suite.name} needs a judge of its answers", way_out="give --judge MODEL")


def by_suite(option: str, words: Iterable[str], found: Sequence[Benchmark]) -> dict[str, str]:
    """`SUITE=VALUE` words as a mapping. Raises `InputError` for other words, and for suites that are not run."""
    names = [one.suite.name for one in found]
    result: dict[str, str] = {}
    for word in words:
        name, mark, value = word.partition("=")
        if not mark or not value:
            raise InputError(f"{option}: '{word}' is not SUITE=VALUE")
        if name not in names:
            raise InputError(f"{option}: {name} is not among the suites", way_out=", ".join(names))
        result[name] = value
    return result


def _ready(one: Benchmark, company: Company, file: str | None, pinned: str) -> Ready:
    """What a suite is about to run on. Raises `InputError` for what is not there or cannot be read."""
    if one.suite.kind == "harness":
        return Ready(one, versions_of(one, company))
    try:
        ready, versions = prepared(one, company, None if file is None else Path(file), pinned)
    except SuiteFailed as error:
        return Ready(one, {}, failed=str(error))
    return Ready(one, versions, ready)


def _asked(company: Company) -> Asked:
    words, agent = company.words, company.agent
    return Asked(
        agent=agent.name,
        weights=weights_sha256(agent.weights) if agent.weights else "",
        user=company.user.name if company.user else "",
        judge=company.bench.judge.name if company.bench.judge else "",
        search=words.search or "",
        python=company.serving.python or "",
        trials=words.trials,
        limit=words.limit,
        seed=words.seed,
        sampling=company.sampling,
        version=__version__,
        command=" ".join(["synthagent", *sys.argv[1:]]),
    )


def _run(ready: Ready, company: Company, folder: Evaluation) -> None:
    """Runs one suite and keeps what it came to."""
    suite, before = ready.found.suite, folder.results().get(ready.name)
    trials = company.words.trials or suite.trials
    begun = time.monotonic()
    endpoint: list[str] = []
    items: Sequence[Item] = ()
    reason = ready.failed
    if not reason and before is not None and before.status == "ok":
        if comparable(before.versions, ready.versions):
            say(f"{ready.name}: done before")
            return
        reason = f"other versions than before: {before.versions} then, {dict(ready.versions)} now; use another --out"
    if not reason:
        say(f"{ready.name}: {suite.title}")
        try:
            if ready.played is not None:
                items = played(ready.played, company, folder, trials)
            else:
                items = driven(ready.found, company, folder.folder(ready.name), trials, endpoint.append)
            summed = figures(items)
            reason = _short(suite, summed, trials, company.words.limit)
        except (SynthAgentError, ValueError) as error:
            reason = str(error)
    more: dict[str, Any] = {
        "metric": suite.metric, "limit": company.words.limit, "agent": company.agent.name,
        "user": _user(ready, company), "judge": _judge(ready, company), "search": _search(ready, company),
        "endpoint": "".join(endpoint), "sampling": _sampling(suite, company),
        "seconds": round(time.monotonic() - begun, 1),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
    }  # fmt: skip
    if reason:
        say(f"{ready.name}: failed: {reason}")
        folder.keep(ready.name, failure_of(reason, trials, ready.versions, suite.null.value, **more))
        return
    folder.keep(ready.name, result_of(summed, ready.versions, suite.null.value, **more), items)


def _short(suite: Suite, summed: Figures, trials: int, limit: int | None) -> str:
    """What is missing of a suite's entries and tries, or too much; empty: nothing."""
    if summed.trials != trials:
        return f"{suite.name}: every entry has {summed.trials} tries, and {trials} were asked for"
    # Of a suite in parts, `limit` takes so many entries of each.
    if summed.n in suite.sizes or (limit is not None and min(limit, suite.size) <= summed.n < suite.size):
        return ""
    return f"{suite.name}: {summed.n} entries have a score, and it has {' or '.join(map(str, suite.sizes))}"


def _sampling(suite: Suite, company: Company) -> dict[str, Any]:
    """How the agent's model was sampled in this suite."""
    return sampled(company) if suite.kind == "harness" else company.sampling


def _user(ready: Ready, company: Company) -> str:
    if ready.found.suite.kind == "tasks":
        return "facts"
    return company.user.name if company.user and ready.found.suite.harness == "tau2" else ""


def _judge(ready: Ready, company: Company) -> str:
    who = company.bench.judge
    return who.name if who and ready.found.suite.kind in ("search", "tasks") else ""


def _search(ready: Ready, company: Company) -> str:
    return (company.serving.search or "") if "search" in ready.found.suite.tools else ""


def _print(words: EvalWords, results: Mapping[str, SuiteResult]) -> None:
    if words.json:
        print_json({name: result.model_dump(mode="json") for name, result in results.items()})
        return
    print_table([{"suite": name, **result.model_dump()} for name, result in results.items()], COLUMNS)
    say(f"report: {words.out / 'report.json'}; next: synthagent eval report {words.out}")
