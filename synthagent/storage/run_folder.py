"""A run on disk: what was asked, the tasks, and two append-only journals that one process at a time writes.

manifest.json    what was asked
tasks.jsonl      the tasks played, so that the run can be scored again without the original file
episodes.jsonl   what happened, one episode a line
scores.jsonl     what it was worth: {"agent": ..., "score": ...}; scoring again adds lines, the latest counts
unjudged.jsonl   the lines of scores.jsonl that a judge could not decide, with what it said; there is none without any
exchanges.jsonl  with --record: every exchange with an agent's model as it was
lock             held by the writer
index.sqlite     computed from the journals; may be deleted (index.lock: held by whoever brings it up to date)
"""

from collections.abc import Collection, Iterable, Iterator
from contextlib import ExitStack
from functools import cached_property
from math import isfinite
from pathlib import Path
from types import TracebackType
from typing import Self

from synthagent.errors import Blame, InputError, RunFolderError
from synthagent.llm.recording import Exchange
from synthagent.schema.episodes import Episode
from synthagent.schema.record import Json, Record, dump
from synthagent.schema.scores import Score, Scored, Unscored
from synthagent.schema.tasks import SCHEMA, Task
from synthagent.storage.index import EPISODES, FILE, SCORES, TASKS, Index
from synthagent.storage.index import LOCK as INDEX_LOCK
from synthagent.storage.journal import Journal, line_at, typed
from synthagent.storage.lock import Lock, holder
from synthagent.storage.manifest import Manifest, read_manifest, resumed, write_manifest
from synthagent.storage.tables import Key, ScoreLine
from synthagent.storage.task_file import read_tasks, write_tasks

MANIFEST, LOCK, UNJUDGED, EXCHANGES = "manifest.json", "lock", "unjudged.jsonl", "exchanges.jsonl"
OURS = (MANIFEST, TASKS, EPISODES, SCORES, UNJUDGED, EXCHANGES, LOCK, INDEX_LOCK, FILE, f"{FILE}-wal", f"{FILE}-shm")


class RunFolder:
    """A run folder, open. Use `create`, `resume` or `open`, and `close` it (or use it as a context manager)."""

    def __init__(self, path: Path, manifest: Manifest, lock: Lock | None):
        self.path = path
        self.manifest = manifest
        self._lock = lock
        self._journals: dict[str, Journal] = {}

    @classmethod
    def create(cls, path: Path, manifest: Manifest, tasks: Iterable[Task]) -> "RunFolder":
        """Start a run: make the folder (and its parents), copy the tasks into it, and hold it for writing.

        Raises `RunFolderError` when the folder holds a run already, holds anything else, is being written by another
        process, or cannot be written.
        """
        try:
            path.mkdir(parents=True, exist_ok=True)
            foreign = [entry.name for entry in path.iterdir() if entry.name not in OURS and entry.suffix != ".tmp"]
        except OSError as error:
            raise RunFolderError(f"{path}: cannot hold a run ({error.strerror}); use another --out") from error
        if foreign:
            raise RunFolderError(f"{path}: holds other files already ({foreign[0]}); use another --out")
        lock = _locked(path)
        try:
            # The manifest comes last: a folder without it was never a run, and may be made into one.
            if (path / MANIFEST).exists() or _size(path / EPISODES) or _size(path / SCORES):
                raise RunFolderError(f"{path}: holds a run already; continue it with --resume, or use another --out")
            write_tasks(path / TASKS, tasks)
            folder = cls(path, manifest, lock)._opened_for_writing()
        except BaseException:
            lock.release()
            raise
        try:
            write_manifest(path / MANIFEST, manifest)
        except BaseException:
            folder.close()
            raise
        return folder

    @classmethod
    def resume(cls, path: Path, manifest: Manifest) -> "RunFolder":
        """Continue a run, possibly with further agents, holding the folder for writing.

        Raises `RunFolderError` naming every field of the manifest that differs from the run's own (tasks, n, seed,
        protocol, limits, user, prompts, an agent that is missing), and as `open` does.
        """
        folder = cls.open(path, write=True)
        try:
            agreed = resumed(path, folder.manifest, manifest)
            if agreed != folder.manifest:
                write_manifest(path / MANIFEST, agreed)
                folder.manifest = agreed
        except BaseException:
            folder.close()
            raise
        return folder

    @classmethod
    def open(cls, path: Path, *, write: bool = False) -> "RunFolder":
        """Open a run folder for reading, which never waits and may happen while a writer is at work, or for writing.

        Raises `RunFolderError` when it is no run folder, or with `write` when another process writes to it;
        `InputError` when the manifest is broken.
        """
        manifest = read_manifest(path / MANIFEST)
        if not write:
            return cls(path, manifest, None)
        lock = _locked(path)
        try:
            return cls(path, read_manifest(path / MANIFEST), lock)._opened_for_writing()
        except BaseException:
            lock.release()
            raise

    @cached_property
    def index(self) -> Index:
        """The run as tables, opened and caught up at first use. Raises as `Index.open` does."""
        return Index.open(self.path, write=self._lock is not None)

    @property
    def mended(self) -> tuple[str, ...]:
        """What was cut off the journals on opening for writing, in words; empty after a clean stop."""
        return tuple(
            f"{journal.path}: a torn last line of {journal.cut} bytes was cut off"
            for journal in self._journals.values()
            if journal.cut
        )

    def done(self, *, retry: Collection[Blame] = ()) -> set[Key]:
        """(agent, task id, sample) of every episode that need not be played again.

        `retry`: leave out those that got no reward through one of these, such as infrastructure.
        """
        return self.index.keys() - self.index.blamed_keys(tuple(retry))

    def unscored_keys(self) -> set[Key]:
        """Episodes that were played but never scored, not even as `Unscored`: the caller scores them on resuming."""
        return self.index.unscored_keys()

    def add_task(self, task: Task) -> None:
        """Append a task unless it is there, for a run whose tasks come one by one. Raises as `add` does."""
        journal = self._journal(EPISODES)  # opened for writing, or nothing is
        if any(True for _ in self.index.query("SELECT 1 FROM tasks WHERE task_id = ?", (task.id,))):
            return
        if TASKS not in self._journals:
            self._journals[TASKS] = Journal.open(journal.path.with_name(TASKS))
        self._journals[TASKS].append({"schema": SCHEMA, **_data(task, self.path / TASKS)})
        self.index.catch_up()

    def add(self, episode: Episode, score: Score | None = None) -> None:
        """Append an episode and its score. Both are in their files when this returns.

        An episode that is there already may be played again only as long as it has no reward; the latest counts.
        Raises `RunFolderError` when it has one, when the folder was opened for reading, or when the disk refuses
        (then all earlier lines are safe); `InputError` for a record that JSON cannot hold; `ValueError` when the
        score is another episode's.
        """
        key = Key(episode.agent, episode.task_id, episode.sample)
        journal = self._journal(EPISODES)
        if score and (score.task_id, score.sample) != (episode.task_id, episode.sample):
            raise ValueError(f"a score of {score.task_id}/{score.sample} for an episode of {key}")
        if self.index.has_reward(key):
            raise RunFolderError(f"{self.path}: {key} was played and scored already; use another --out")
        span = journal.append(_episode_data(episode, journal.path))
        self.index.add_episode(episode, span)
        if score:
            self.add_score(episode.agent, score)

    def add_score(self, agent: str, score: Score) -> None:
        """Append a score of an episode that is in the journal. Raises as `add` does, `ValueError` for NaN."""
        journal = self._journal(SCORES)
        # JSON would turn it into null, and the line could never be read again.
        if isinstance(score, Scored) and not all(map(isfinite, (score.reward, score.n, score.i or 0.0))):
            raise ValueError(f"not a number among the parts of a reward: {score}")
        data = {"agent": agent, "score": {"kind": score.kind, **_data(score, journal.path)}}
        self.index.add_score(agent, score, journal.append(data))
        if isinstance(score, Unscored) and score.blame is Blame.JUDGE:
            if UNJUDGED not in self._journals:
                self._journals[UNJUDGED] = Journal.open(self.path / UNJUDGED)
            self._journals[UNJUDGED].append(data)

    def record(self, exchange: Exchange) -> None:
        """Append an exchange with a model. Raises as `add` does."""
        journal = self._journal(EPISODES)  # opened for writing, or nothing is
        if EXCHANGES not in self._journals:
            self._journals[EXCHANGES] = Journal.open(journal.path.with_name(EXCHANGES))
        self._journals[EXCHANGES].append(_data(exchange, self.path / EXCHANGES))

    def episodes(self) -> Iterator[Episode]:
        """The episodes in file order, one in memory at a time; of one played twice, the latest. Raises `InputError`."""
        path = self.path / EPISODES
        return (typed(path, line_at(path, span), Episode) for span in self.index.spans("played"))

    def scores(self) -> Iterator[ScoreLine]:
        """The latest score of each agent, task, sample and rubric, in file order. Raises `InputError`."""
        path = self.path / SCORES
        return (typed(path, line_at(path, span), ScoreLine) for span in self.index.spans("scored"))

    def tasks(self) -> Iterator[Task]:
        """The tasks that were played, as `read_tasks` gives them."""
        return read_tasks(self.path / TASKS)

    def load_episode(self, agent: str, task_id: str, sample: int) -> Episode:
        """One episode, without reading the others. Raises `InputError` when there is none."""
        return self.index.load_episode(agent, task_id, sample)

    def close(self) -> None:
        """Force everything to the disk and let go of the folder. Raises `RunFolderError` when the disk refuses."""
        with ExitStack() as closing:  # in reverse order, and each even when another fails
            if self._lock:
                closing.callback(self._lock.release)
            for journal in self._journals.values():
                closing.callback(journal.close)
            if "index" in self.__dict__:
                closing.callback(self.index.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _opened_for_writing(self) -> "RunFolder":
        try:
            for name in (EPISODES, SCORES):
                self._journals[name] = Journal.open(self.path / name)
        except BaseException:
            self.close()
            raise
        return self

    def _journal(self, name: str) -> Journal:
        if name not in self._journals:
            raise RunFolderError(f"{self.path}: was opened for reading")
        return self._journals[name]


def _locked(path: Path) -> Lock:
    if lock := Lock.take(path / LOCK):
        return lock
    raise RunFolderError(
        f"{path}: {holder(path / LOCK)} is writing to this run folder; "
        "wait until it ends, or stop it and continue with --resume, or use another --out"
    )


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def told(episode: Episode, score: Score, path: Path) -> tuple[Json, Json]:
    """An episode and its score as their journals have them, to be read back: `path` is named where they cannot be."""
    return _episode_data(episode, path), {"kind": score.kind, **_data(score, path)}


def _episode_data(episode: Episode, path: Path) -> Json:
    """An episode without its defaults, but with the kinds of its events: they are defaults too, and name the type."""
    data = _data(episode, path)
    if episode.events:
        data["events"] = [{"kind": e.kind, **d} for e, d in zip(episode.events, data["events"], strict=True)]
    return data


def _data(record: Record, path: Path) -> Json:
    try:
        return dump(record)
    except ValueError as error:  # nested beyond pydantic's limit, or around in a circle
        raise InputError(f"a record cannot be written as JSON: {error}", where=str(path)) from error
