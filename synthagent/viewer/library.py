"""What was opened: runs, task files and training runs, each under a name of its own."""

import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Literal, NamedTuple

from synthagent.errors import InputError
from synthagent.storage.index import TASKS
from synthagent.storage.run_folder import MANIFEST as RUN
from synthagent.training.train_folder import MANIFEST as TRAIN
from synthagent.viewer.making import Making
from synthagent.viewer.runs import RunView
from synthagent.viewer.tasks import TaskSet
from synthagent.viewer.training import TrainingView

DEEPEST = 4
"""Levels of folders below a given one that are looked into."""

Kind = Literal["run", "tasks", "training"]


class Found(NamedTuple):
    """One thing to look at."""

    kind: Kind
    name: str
    path: Path


class Missing(InputError):
    """Nothing of this name was opened."""


class Library:
    """Everything that was opened. Views are made when they are first asked for."""

    def __init__(self, paths: Iterable[Path], cache: Path | None):
        """Raises `InputError` for a path at which there is nothing to look at."""
        self.found = [Found(kind, name, path) for kind, name, path in _named(paths)]
        self._cache = cache
        self._lock = threading.Lock()
        self._runs: dict[str, RunView] = {}
        self._tasks: dict[str, TaskSet] = {}
        self._making: dict[str, Making] = {}
        self._training: dict[str, TrainingView] = {}

    def admit(self, path: Path) -> str:
        """A run that was made since, opened too unless it is; its name."""
        with self._lock:
            for found in self.found:
                if found.kind == "run" and found.path.resolve() == path.resolve():
                    return found.name
            name, number = path.resolve().name, 2
            while name in {found.name for found in self.found}:
                name, number = f"{path.resolve().name}-{number}", number + 1
            self.found = [*self.found, Found("run", name, path)]
            return name

    def names(self, kind: Kind) -> list[str]:
        """The names of one kind, in the order they were given."""
        return [found.name for found in self.found if found.kind == kind]

    def task_files(self) -> list[Path]:
        """The task files that were opened."""
        return [found.path for found in self.found if found.kind == "tasks"]

    def run(self, name: str) -> RunView:
        """A run. Raises `Missing`."""
        path = self._path("run", name)
        with self._lock:
            return self._runs.setdefault(name, RunView(path, self._cache))

    def tasks(self, name: str) -> TaskSet:
        """A task file, or the tasks of a run. Raises `Missing`."""
        kinds: dict[str, Kind] = {found.name: found.kind for found in self.found}
        path = self._path("tasks", name) if kinds.get(name) == "tasks" else self._path("run", name) / TASKS
        with self._lock:
            return self._tasks.setdefault(name, TaskSet(path, self._cache))

    def making(self, name: str) -> Making:
        """How the tasks of a file came about. Raises `Missing`."""
        tasks = self.tasks(name)
        with self._lock:
            return self._making.setdefault(name, Making(tasks))

    def training(self, name: str) -> TrainingView:
        """A training run. Raises `Missing`."""
        path = self._path("training", name)
        with self._lock:
            return self._training.setdefault(name, TrainingView(path))

    def close(self) -> None:
        """Lets go of every index."""
        for run in self._runs.values():
            run.close()
        for tasks in self._tasks.values():
            tasks.close()

    def _path(self, kind: Kind, name: str) -> Path:
        for found in self.found:
            if (found.kind, found.name) == (kind, name):
                return found.path
        raise Missing(f"there is no {kind} '{name[:80]}' here")


def _named(paths: Iterable[Path]) -> list[tuple[Kind, str, Path]]:
    """Kind, name and path of everything there is; what would have the same name gets a number."""
    named: list[tuple[Kind, str, Path]] = []
    seen: set[Path] = set()
    taken: set[str] = set()
    for given in paths:
        if not given.exists():
            raise InputError("there is nothing here", where=str(given))
        here = list(_within(given, DEEPEST)) if given.is_dir() else [("tasks", given)]
        if not here:
            way_out = "give a run folder, a task file, a training run, or a folder that holds some"
            raise InputError("holds neither a run nor a training run", where=str(given), way_out=way_out)
        for kind, path in here:
            if path.resolve() in seen:
                continue
            seen.add(path.resolve())
            whole = path.resolve()
            base = whole.relative_to(given.resolve().parent) if given.is_dir() else Path(whole.name)
            name, number = str(base).replace("/", "."), 2
            while name in taken:
                name, number = f"{str(base).replace('/', '.')}-{number}", number + 1
            taken.add(name)
            named.append((kind, name, path))  # type: ignore[arg-type]
    return named


def _within(folder: Path, depth: int) -> Iterable[tuple[Kind, Path]]:
    """The runs and training runs in a folder; what is a run is not looked into."""
    if (folder / RUN).is_file() and (folder / TASKS).is_file():
        yield "run", folder
        return
    if (folder / TRAIN).is_file():
        yield "training", folder
    if depth:
        for below in sorted(entry for entry in folder.iterdir() if entry.is_dir() and not entry.is_symlink()):
            yield from _within(below, depth - 1)
