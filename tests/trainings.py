"""Training folders with made-up figures, for tests that need one."""

import math
from collections.abc import Iterable
from pathlib import Path
from random import Random
from typing import Any

import orjson

from synthagent.schema.record import Record, line
from synthagent.training.metrics import HeldOut, Played, StepLine
from synthagent.training.recipe import Recipe

ABOUT = {
    "policy": "hf:models/small",
    "trainer": "embedded",
    "recipe": Recipe().model_dump(mode="json"),
    "tasks_sha256": "0" * 64,
    "seed": 3,
    "version": "0.1.0",
    "command": "synthagent train tasks.jsonl --out runs/train",
    "something_else": {"of": "the trainer's"},
}


def played(**changes: Any) -> Played:
    values: dict[str, Any] = {
        "episodes": 64, "reward": 0.5, "subgoals": 0.6, "interactions": 0.4, "gate_violations": 0.1, "perfect": 0.3,
        "refusals": 0.2, "refusals_legal": 0.05, "ask_all": 0.0, "unscored": 0.02, "truncated": 0.1, "turns": 5.5,
        "written": 80.0, "blame": {"agent": 0.2, "user": 0.02},
    }  # fmt: skip
    return Played(**{**values, **changes})


def step(number: int, of_episodes: Any = None, **changes: Any) -> StepLine:
    values: dict[str, Any] = {
        "step": number, "played": played(**(of_episodes or {})), "groups": 6, "zero_variance": 0.25, "redrawn": 1,
        "loss": 0.01, "entropy": 0.5, "kl": 0.001, "clipped": 0.01, "logprob_gap": 0.002, "grad_norm": 0.7, "lr": 1e-6,
        "generated": 5000, "generating": 20.0, "learnt": 30_000, "learning": 25.0,
    }  # fmt: skip
    return StepLine(**{**values, **changes})


def held_out(at: int, task: str, reward: float | None, **changes: Any) -> HeldOut:
    """One episode; the family is the task's first letter."""
    values = {"group": "test", "family": task[0], "task_id": task, "sample": 0}
    return HeldOut(step=at, reward=reward, **{**values, **changes})


def folder(path: Path, steps: Iterable[Record] = (), evaluated: Iterable[Record] = (), **about: Any) -> Path:
    """A training folder with these lines."""
    path.mkdir(parents=True)
    (path / "train.json").write_bytes(orjson.dumps(ABOUT | about))
    for name, records in (("metrics.jsonl", steps), ("heldout.jsonl", evaluated)):
        (path / name).write_bytes(b"".join(line(record.model_dump(mode="json")) for record in records))
    return path


def learning(path: Path, steps: int = 40) -> Path:
    """A run that looks like one: reward grows, and two sets were evaluated four times."""
    random = Random(1)
    lines = [
        step(
            number,
            {
                "reward": 0.3 + 0.4 * number / steps + random.gauss(0, 0.05),
                "perfect": 0.1 + 0.4 * number / steps + random.gauss(0, 0.05),
                "refusals_legal": 0.3 * math.exp(-number / 10),
                "blame": {"agent": 0.4 - 0.3 * number / steps, "tools": 0.03} if number % 3 else {"agent": 0.3},
            },
            entropy=0.9 - 0.4 * number / steps,
            grad_norm=random.lognormvariate(0, 0.3),
        )
        for number in range(1, steps + 1)
    ]
    evaluated = [
        held_out(
            at,
            f"{family}{task}",
            min(1.0, max(0.0, random.gauss(0.4 + slope * at / steps, 0.3))),
            sample=sample,
            group=group,
            gate=1,
            legal=task == 0,
            refused=random.random() < 0.2,
        )
        for group, slope in (("unseen-tasks", 0.3), ("unseen-domain", 0.05))
        for at in range(0, steps + 1, steps // 4)
        for family in "abcdefghijkl"
        for task in range(2)
        for sample in range(2)
    ]
    return folder(path, lines, evaluated)
