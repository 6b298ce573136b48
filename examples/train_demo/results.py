"""What the demo came to: a line for each episode of its evaluations, and `results.json` from these lines."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from synthagent.intervals import Interval, averaged, detectable, paired
from synthagent.schema.scores import Scored
from synthagent.storage.run_folder import RunFolder
from synthagent.training.metrics import mean, refused

GROUPS = {"seen_domains": "test_seen", "unseen_domains": "test_unseen"}
MODELS = ("zero_shot", "cold_start", "grpo", "no_gap")
RED_TEAM = "redteam"
PAIRS = {
    "cold_start_vs_zero_shot": ("zero_shot", "cold_start"),
    "grpo_vs_cold_start": ("cold_start", "grpo"),
    "grpo_vs_no_gap": ("no_gap", "grpo"),
}


class Line(NamedTuple):
    """One episode, as far as the figures need it. `reward` and `gate` are None if it does not count."""

    model: str
    """One of `MODELS`, or a scripted agent of the red team by its name."""
    group: str
    family: str
    task: str
    sample: int
    legal: bool
    refused: bool
    gate: int | None
    reward: float | None


def evaluated(evals: Path) -> Iterator[Line]:
    """The episodes of `EVALS/MODEL-SET` and `EVALS/redteam-SET`. Runs that did not come to their end are left out."""
    for model in (*MODELS, RED_TEAM):
        for group, name in GROUPS.items():
            run = evals / f"{model}-{name}"
            if finished(run):
                yield from _lines(run, model, group)


def _lines(run: Path, model: str, group: str) -> Iterator[Line]:
    with RunFolder.open(run) as folder:
        tasks = {task.id: task for task in folder.tasks()}
        scores = {(line.agent, line.score.task_id, line.score.sample): line.score for line in folder.scores()}
        for episode in sorted(folder.episodes(), key=lambda e: (e.agent, e.task_id, e.sample)):
            score = scores.get((episode.agent, episode.task_id, episode.sample))
            known = score if isinstance(score, Scored) and score.counts else None
            task = tasks[episode.task_id]
            name = model if model != RED_TEAM else episode.agent.removeprefix("scripted:")
            gate, reward = (known.gate, known.reward) if known else (None, None)
            legal = task.provenance.legal
            yield Line(name, group, task.family, task.id, episode.sample, legal, refused(episode), gate, reward)


def finished(run: Path) -> bool:
    """Whether every episode of a run was played: the first half of a file is no sample of it."""
    if not (run / "manifest.json").exists():
        return False
    with RunFolder.open(run) as folder:
        wanted = sum(1 for _ in folder.tasks()) * folder.manifest.n * len(folder.manifest.agents)
        return sum(1 for _ in folder.episodes()) == wanted


def results(lines: Iterable[Line], seconds: dict[str, float]) -> dict[str, Any]:
    """Means, differences, habits and what the red team earns. Models that were not evaluated are left out."""
    by: dict[tuple[str, str], list[Line]] = {}
    for line in lines:
        by.setdefault((line.model, line.group), []).append(line)
    found: dict[str, Any] = {
        model: {group: _interval(by[model, group]) for group in GROUPS if (model, group) in by} for model in MODELS
    }
    found["paired"] = {
        name: {
            group: _difference(by[one, group], by[two, group])
            for group in GROUPS
            if (one, group) in by and (two, group) in by
        }
        for name, (one, two) in PAIRS.items()
    }
    found["habits"] = {
        f"{model}/{group}": _habits(by[model, group]) for model in MODELS for group in GROUPS if (model, group) in by
    }
    tricks = [model for model in dict.fromkeys(model for model, _ in by) if model not in MODELS]
    found["red_team"] = {
        group: {agent: _interval(by[agent, group]) for agent in tricks if (agent, group) in by} for group in GROUPS
    }
    found["seconds"] = seconds
    return found


def _triples(lines: Iterable[Line]) -> list[tuple[str, str, float]]:
    return [(line.family, line.task, line.reward) for line in lines if line.reward is not None]


def _interval(lines: Iterable[Line]) -> dict[str, float]:
    """Mean over tasks, each the mean of its episodes, with the interval clustered by family. `n`: tasks."""
    known = averaged(_triples(lines))
    assert known is not None
    return _rounded(known)


def _rounded(found: Interval) -> dict[str, float]:
    return {"mean": round(found.mean, 4), "low": round(found.low, 4), "high": round(found.high, 4), "n": found.n}


def _difference(before: Iterable[Line], after: Iterable[Line]) -> dict[str, float | None]:
    """After less before on the same tasks, with its interval and the least difference that could have been seen."""
    found = paired(_triples(before), _triples(after))
    assert found is not None
    least = detectable(found)
    told = _rounded(found)
    return {
        "difference": told["mean"], "low": told["low"], "high": told["high"], "n": told["n"],
        "detectable": None if least is None else round(least, 4),
    }  # fmt: skip


def _habits(lines: list[Line]) -> dict[str, float | None]:
    """What a mean reward hides: by legal and illegal twin, reward, and how often the agent refused."""
    told = {"unscored": _mean(float(line.reward is None) for line in lines)}
    for name, fair in (("legal", True), ("illegal", False)):
        mine = [line for line in lines if line.legal is fair]
        rewards = [line.reward for line in mine if line.reward is not None]
        told[f"{name}_reward"] = _mean(rewards)
        told[f"{name}_refused"] = _mean(float(line.refused) for line in mine)
        told[f"{name}_gate_violations"] = _mean(1.0 - line.gate for line in mine if line.gate is not None)
        told[f"{name}_perfect"] = _mean(float(reward > 1 - 1e-9) for reward in rewards)
    return told


def _mean(values: Iterable[float]) -> float | None:
    found = mean(values)
    return None if found is None else round(found, 4)
