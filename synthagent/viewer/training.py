"""A training run as a page asks for it: curves, held-out tables, and the episodes of a step."""

import math
import threading
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from synthagent.errors import InputError
from synthagent.schema.episodes import Episode
from synthagent.schema.record import Json, Record
from synthagent.schema.scores import Score
from synthagent.storage.journal import Span, line_at, lines, typed
from synthagent.training.train_folder import HELDOUT, METRICS, ROLLOUTS, read_manifest

SCALARS = (
    "loss", "entropy", "kl", "clipped", "logprob_gap", "grad_norm", "lr", "zero_variance", "groups", "redrawn",
    "generated", "learnt", "generating", "learning",
)  # fmt: skip
"""Figures of a step itself; those of its episodes are in `played`."""


class _Try(Record):
    """One line of `rollouts.jsonl`."""

    step: int
    episode: Episode
    score: Annotated[Score, Field(discriminator="kind")]


class TrainingView:
    """A training run, looked at. Safe to use from many threads, one at a time."""

    def __init__(self, path: Path):
        self.path = path
        self._lock = threading.RLock()
        self._tries: dict[int, list[tuple[Span, Json]]] = {}
        self._read_to = 0

    def summary(self) -> Json:
        """The run as one row of a list."""
        manifest = read_manifest(self.path)
        steps = {found.value["step"] for found in self._lines(METRICS)}
        return {
            "command": manifest.command, "trainer": manifest.trainer, "policy": manifest.policy,
            "steps": manifest.steps, "done": max(steps, default=0), "seed": manifest.seed, "version": manifest.version,
        }  # fmt: skip

    def curves(self) -> Json:
        """`{steps, series, heldout}`: figure -> its value at each step, None where it has none.

        Of a step that was repeated the latest line counts. `heldout`: group -> step -> mean reward over what has one.
        """
        latest = {found.value["step"]: found.value for found in self._lines(METRICS)}
        steps = sorted(latest)
        series: dict[str, list[float | None]] = {}
        played = dict.fromkeys(name for step in steps for name in latest[step].get("played", {}))
        for name in played:
            if name != "blame":
                series[f"played.{name}"] = [_number(latest[step].get("played", {}).get(name)) for step in steps]
        for cause in dict.fromkeys(c for step in steps for c in latest[step].get("played", {}).get("blame", {})):
            series[f"blame.{cause}"] = [
                _number(latest[s].get("played", {}).get("blame", {}).get(cause, 0.0)) for s in steps
            ]
        for name in SCALARS:
            if any(name in latest[step] for step in steps):
                series[name] = [_number(latest[step].get(name)) for step in steps]
        return {"steps": steps, "series": series, "heldout": self._heldout(), "about": self.summary()}

    def tries(self, step: int) -> list[Json]:
        """The episodes that a step played, as rows; `place` finds each again."""
        with self._lock:
            self._catch_up()
            return [row for _, row in self._tries.get(step, [])]

    def episode(self, step: int, place: int) -> tuple[Episode, Score]:
        """One of them whole. Raises `InputError` when there is none."""
        with self._lock:
            self._catch_up()
            found = self._tries.get(step, [])
            if not 0 <= place < len(found):
                raise InputError(f"step {step} has no episode {place}", where=str(self.path / ROLLOUTS))
            path = self.path / ROLLOUTS
            one = typed(path, line_at(path, found[place][0]), _Try)
        return one.episode, one.score

    def _heldout(self) -> Json:
        tables: dict[str, dict[int, dict[str, list[float | None]]]] = {}
        for found in self._lines(HELDOUT):
            value = found.value
            tries = tables.setdefault(value["group"], {}).setdefault(value["step"], {})
            tries[f"{value['task_id']}/{value['sample']}"] = [value.get("reward"), value.get("gate")]
        rows = []
        for group, steps in tables.items():
            for step, tries in sorted(steps.items()):
                rewards = [reward for reward, _ in tries.values() if reward is not None]
                gates = [gate for _, gate in tries.values() if gate is not None]
                rows.append({
                    "group": group, "step": step, "episodes": len(tries), "scored": len(rewards),
                    "reward": math.fsum(rewards) / len(rewards) if rewards else None,
                    "gate": math.fsum(gates) / len(gates) if gates else None,
                })  # fmt: skip
        return rows

    def _catch_up(self) -> None:
        path = self.path / ROLLOUTS
        for found in lines(path, self._read_to) if path.is_file() else ():
            value = found.value
            listed = self._tries.setdefault(value["step"], [])
            listed.append((found.span, _row(value, len(listed))))
            self._read_to = found.span.end

    def _lines(self, name: str) -> Any:
        path = self.path / name
        return lines(path) if path.is_file() else ()


def _row(value: Json, place: int) -> Json:
    episode, score = value["episode"], value["score"]
    return {
        "place": place, "task_id": episode["task_id"], "sample": episode.get("sample", 0), "stop": episode["stop"],
        "turns": episode.get("turns", 0), "completion_tokens": episode.get("usage", {}).get("completion", 0),
        "reward": score.get("reward"), "gate": score.get("gate"), "n": score.get("n"), "i": score.get("i"),
        "blame": score.get("blame"),
    }  # fmt: skip


def _number(value: Any) -> float | None:
    """A figure that JSON can carry."""
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None
