"""What the demo came to: `results.json`, from the run folders of its evaluations."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from synthagent.intervals import Interval, averaged, detectable, paired
from synthagent.schema.scores import Scored
from synthagent.storage.run_folder import RunFolder
from synthagent.training.metrics import mean, refused

GROUPS = {"seen_domains": "test_seen", "unseen_domains": "test_unseen"}
MODELS = ("zero_shot", "cold_start", "grpo", "no_gap")
PAIRS = {
    "cold_start_vs_zero_shot": ("zero_shot", "cold_start"),
    "grpo_vs_cold_start": ("cold_start", "grpo"),
    "grpo_vs_no_gap": ("no_gap", "grpo"),
}
Triple = tuple[str, str, float]
"""(family, task, reward) of one episode."""


def triples(run: Path, agent: str | None = None) -> list[Triple]:
    """Rewards that count, of one agent of a run (all, where it has but one)."""
    with RunFolder.open(run) as folder:
        families = {task.id: task.family for task in folder.tasks()}
        return [
            (families[line.score.task_id], line.score.task_id, line.score.reward)
            for line in folder.scores()
            if isinstance(line.score, Scored) and line.score.counts and agent in (None, line.agent)
        ]


def interval(found: Iterable[Triple]) -> dict[str, float]:
    """Mean over tasks, each the mean of its episodes, with the interval clustered by family. `n`: tasks."""
    known = averaged(found)
    assert known is not None
    return _rounded(known)


def _rounded(found: Interval) -> dict[str, float]:
    return {"mean": round(found.mean, 4), "low": round(found.low, 4), "high": round(found.high, 4), "n": found.n}


def difference(before: Iterable[Triple], after: Iterable[Triple]) -> dict[str, float | None]:
    """After less before on the same tasks, with its interval and the least difference that could have been seen."""
    found = paired(before, after)
    assert found is not None
    least = detectable(found)
    told = _rounded(found)
    return {
        "difference": told["mean"], "low": told["low"], "high": told["high"], "n": told["n"],
        "detectable": None if least is None else round(least, 4),
    }  # fmt: skip


def habits(run: Path) -> dict[str, float | None]:
    """What a mean reward hides: by legal and illegal twin, reward, and how often the agent refused."""
    with RunFolder.open(run) as folder:
        legal = {task.id: task.provenance.legal for task in folder.tasks()}
        rewards = {
            (line.score.task_id, line.score.sample): line.score
            for line in folder.scores()
            if isinstance(line.score, Scored) and line.score.counts
        }
        seen = [(legal[e.task_id], refused(e), rewards.get((e.task_id, e.sample))) for e in folder.episodes()]
    told: dict[str, float | None] = {"unscored": round(1 - len(rewards) / max(len(seen), 1), 4)}
    for name, fair in (("legal", True), ("illegal", False)):
        mine = [(no, score) for is_legal, no, score in seen if is_legal is fair]
        told[f"{name}_reward"] = _round(mean(s.reward for _, s in mine if s))
        told[f"{name}_refused"] = _round(mean(float(no) for no, _ in mine))
        told[f"{name}_gate_violations"] = _round(mean(1.0 - s.gate for _, s in mine if s))
        told[f"{name}_perfect"] = _round(mean(float(s.reward > 1 - 1e-9) for _, s in mine if s))
    return told


def _round(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def finished(run: Path) -> bool:
    """Whether every episode of a run was played: the first half of a file is no sample of it."""
    if not (run / "manifest.json").exists():
        return False
    with RunFolder.open(run) as folder:
        wanted = sum(1 for _ in folder.tasks()) * folder.manifest.n * len(folder.manifest.agents)
        return sum(1 for _ in folder.episodes()) == wanted


def results(evals: Path, seconds: dict[str, float]) -> dict[str, Any]:
    """Everything, from `EVALS/MODEL-SET` and `EVALS/redteam-SET`. Models that were not evaluated are left out."""
    runs = {
        (model, group): evals / f"{model}-{name}"
        for model in MODELS
        for group, name in GROUPS.items()
        if finished(evals / f"{model}-{name}")
    }
    rewards = {key: triples(path) for key, path in runs.items()}
    found: dict[str, Any] = {
        model: {group: interval(rewards[model, group]) for group in GROUPS if (model, group) in runs}
        for model in MODELS
    }
    found["paired"] = {
        name: {
            group: difference(rewards[one, group], rewards[two, group])
            for group in GROUPS
            if (one, group) in runs and (two, group) in runs
        }
        for name, (one, two) in PAIRS.items()
    }
    found["habits"] = {f"{model}/{group}": habits(path) for (model, group), path in runs.items()}
    found["red_team"] = {
        group: dict(_red_team(evals / f"redteam-{name}"))
        for group, name in GROUPS.items()
        if finished(evals / f"redteam-{name}")
    }
    found["seconds"] = seconds
    return found


def _red_team(run: Path) -> Iterator[tuple[str, dict[str, float]]]:
    with RunFolder.open(run) as folder:
        agents = folder.manifest.agents
    for agent in agents:
        yield agent.removeprefix("scripted:"), interval(triples(run, agent))
