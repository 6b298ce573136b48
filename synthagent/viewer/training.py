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
        steps = self._metrics()
        return {
            "command": manifest.command, "trainer": manifest.trainer, "policy": manifest.policy,
            "steps": manifest.steps, "done": max(steps, default=0), "seed": manifest.seed, "version": manifest.version,
        }  # fmt: skip

    def curves(self) -> Json:
        """`{steps, series, heldout}`: figure -> its value at each step, None where it has none.

        Of a step that was repeated the latest line counts; a cold start's steps are its updates. `heldout`: a row for
        each set and step, with the mean reward over what has one.
        """
        latest = self._metrics()
        steps = sorted(latest)
        told = [_figures(latest[step]) for step in steps]
        names = dict.fromkeys(name for one in told for name in one)
        # Nobody is blamed by name for nothing: who is not there has no share.
        series = {name: [one.get(name, 0.0 if name.startswith("blame.") else None) for one in told] for name in names}
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

    def _metrics(self) -> dict[int, Json]:
        """Step -> its latest line. Raises `InputError` for a line that names no step."""
        latest: dict[int, Json] = {}
        for found in self._lines(METRICS):
            step = found.value.get("step", found.value.get("update"))
            if not isinstance(step, int):
                raise InputError(f"the line at byte {found.span.offset} names no step", where=str(self.path / METRICS))
            latest[step] = found.value
        return latest

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


def _figures(value: Json) -> dict[str, float | None]:
    """The figures of a step by name; those of its episodes and their blame as `played.NAME` and `blame.WHO`."""
    played = value.get("played") or {}
    named = [(f"played.{name}", figure) for name, figure in played.items() if name != "blame"]
    named += [(f"blame.{who}", share) for who, share in (played.get("blame") or {}).items()]
    named += [(name, figure) for name, figure in value.items() if name not in ("step", "update", "played")]
    return {name: _number(figure) for name, figure in named if figure is None or _number(figure) is not None}


def _number(value: Any) -> float | None:
    """A figure that JSON can carry."""
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None
