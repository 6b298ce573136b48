"""A training run on disk. No torch here.

train.json       what was asked: recipe, policy, tasks, seeds
metrics.jsonl    one line a step; a step that was repeated after a resume has several, the latest counts
heldout.jsonl    one line an episode of a held-out task
rollouts.jsonl   every episode that was played to learn from: {"step": ..., "episode": ..., "score": ...}
checkpoints/     step-000010/: master.safetensors (weights and moments), state.json (written last)
policy/          the trained model, as transformers saves it: `hf:RUN/policy`
"""

import shutil
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import orjson
from pydantic import ValidationError

from synthagent.errors import InputError, RunFolderError
from synthagent.rollouts.group import Outcome
from synthagent.schema.record import Record, dump
from synthagent.storage.atomic import replacing
from synthagent.storage.journal import Journal, records
from synthagent.storage.lock import Lock, holder
from synthagent.storage.run_folder import told
from synthagent.training.recipe import Recipe

MANIFEST, METRICS, HELDOUT, ROLLOUTS = "train.json", "metrics.jsonl", "heldout.jsonl", "rollouts.jsonl"
CHECKPOINTS, POLICY, STATE, MASTER, LOCK = "checkpoints", "policy", "state.json", "master.safetensors", "lock"


class TrainManifest(Record):
    """What a training run was asked to do."""

    command: str
    version: str
    trainer: str
    policy: str
    """The folder it starts from."""
    policy_sha256: str
    tasks_file: str
    tasks_sha256: str
    heldout: dict[str, str] = {}
    """Name of a held-out set -> SHA-256 of its file."""
    tool_form: str
    prompts: dict[str, str] = {}
    """Prompt -> fingerprint."""
    steps: int
    seed: int
    recipe: Recipe


class Interrupted(Exception):
    """The run was asked to stop. What it held is in a checkpoint."""


class State(Record):
    """Where a checkpoint stands."""

    step: int
    """Steps that are done; of a cold start: updates."""
    curriculum: dict[str, Any] = {}
    checked: bool = True
    """Whether the held-out tasks that were due at this step have been played."""


class TrainFolder:
    """A training run's folder, held for writing. Use as a context manager."""

    def __init__(self, path: Path, manifest: TrainManifest, lock: Lock):
        self.path, self.manifest, self._lock = path, manifest, lock
        self._journals: dict[str, Journal] = {}

    @classmethod
    def open(cls, path: Path, manifest: TrainManifest, *, resume: bool) -> "TrainFolder":
        """A new folder, or with `resume` the one to go on with.

        Raises `RunFolderError` when there is a run already and it is not to be resumed, when another process writes
        to it, or when what was asked differs, naming every field.
        """
        path.mkdir(parents=True, exist_ok=True)
        there = (path / MANIFEST).exists()
        if there and not resume:
            raise RunFolderError(f"{path}: holds a run already; continue it with --resume, or use another --out")
        foreign = [entry.name for entry in path.iterdir() if entry.name != LOCK and entry.suffix != ".tmp"]
        if not there and foreign:
            raise RunFolderError(f"{path}: holds other files already; use another --out")
        lock = Lock.take(path / LOCK)
        if lock is None:
            raise RunFolderError(f"{path}: {holder(path / LOCK)} is writing to this run")
        try:
            if there:
                _agree(path, read_manifest(path), manifest)
            else:
                with replacing(path / MANIFEST) as write:
                    write(orjson.dumps(manifest.model_dump(mode="json"), option=orjson.OPT_INDENT_2))
        except BaseException:
            lock.release()
            raise
        return cls(path, manifest, lock)

    def add(self, name: str, record: Record | dict[str, Any]) -> None:
        """Appends a line to one of the journals."""
        if name not in self._journals:
            self._journals[name] = Journal.open(self.path / name)
        self._journals[name].append(dump(record) if isinstance(record, Record) else record)

    def add_try(self, step: int, outcome: Outcome) -> None:
        """Appends an episode that was played to learn from, and its score."""
        episode, score = told(outcome.episode, outcome.score, self.path / ROLLOUTS)
        self.add(ROLLOUTS, {"step": step, "episode": episode, "score": score})

    def checkpoint(self, step: int) -> Path:
        """The folder of a checkpoint, made if need be."""
        path = self.path / CHECKPOINTS / f"step-{step:06d}"
        path.mkdir(parents=True, exist_ok=True)
        return path

    def finish_checkpoint(self, state: State, keep: int) -> None:
        """Writes the state, which makes a checkpoint count, and takes away the oldest beyond `keep`."""
        path = self.checkpoint(state.step)
        with replacing(path / STATE) as write:
            write(orjson.dumps(state.model_dump(mode="json")))
        for old in checkpoints(self.path)[:-keep]:
            shutil.rmtree(old)

    def close(self) -> None:
        """Lets go of the folder."""
        for journal in self._journals.values():
            journal.close()
        self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def checkpoints(path: Path) -> list[Path]:
    """Complete checkpoints, the latest last."""
    found = (path / CHECKPOINTS).glob("step-*") if (path / CHECKPOINTS).is_dir() else ()
    return sorted(one for one in found if (one / STATE).exists())


def state_of(checkpoint: Path) -> State:
    """Where a checkpoint stands. Raises `InputError`."""
    try:
        return State.model_validate_json((checkpoint / STATE).read_bytes())
    except (OSError, ValidationError) as error:
        raise InputError(f"cannot be read: {error}", where=str(checkpoint / STATE)) from error


def read_manifest(path: Path) -> TrainManifest:
    """What a training run was asked to do. Raises `InputError`."""
    try:
        return TrainManifest.model_validate_json((path / MANIFEST).read_bytes())
    except OSError as error:
        raise InputError(f"no training run: {error.strerror}", where=str(path / MANIFEST)) from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise InputError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}", where=str(path / MANIFEST)) from error


def latest(path: Path, kind: type[Record], key: str) -> Iterator[Any]:
    """The records of a journal, of those with one key only the last, in order of the key."""
    found = {getattr(record, key): record for record in records(path, kind)}
    return (found[value] for value in sorted(found))


_FREE = ("command", "version")
"""Fields that may differ between a run and its continuation."""


def _agree(path: Path, was: TrainManifest, now: TrainManifest) -> None:
    one, two = was.model_dump(mode="json"), now.model_dump(mode="json")
    differing = [name for name in one if name not in _FREE and one[name] != two[name]]
    if differing:
        told = "; ".join(f"{name}: {_brief(one[name], two[name])}" for name in differing)
        raise RunFolderError(f"{path}: this is another run ({told}); use the same inputs, or another --out")


def _brief(one: Any, two: Any) -> str:
    if isinstance(one, dict) and isinstance(two, dict):
        keys = [key for key in {**one, **two} if one.get(key) != two.get(key)]
        return ", ".join(f"{key} was {one.get(key)}, is {two.get(key)}" for key in keys)
    return f"was {one}, is {two}"
