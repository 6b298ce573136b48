"""Episodes that a person played, kept in a run folder of their own: it is made with the first, and grows."""

import threading
from pathlib import Path

from synthagent.rollouts.group import Outcome
from synthagent.schema.record import Json
from synthagent.schema.tasks import Task
from synthagent.storage.manifest import Manifest
from synthagent.storage.run_folder import MANIFEST, RunFolder


class Keeping:
    """Where they are kept. Safe to use from many threads; another process waits for nobody and is refused."""

    def __init__(self, folder: Path, manifest: Manifest):
        """`manifest`: how they are played; it has to agree with that of a folder that is there."""
        self.folder = folder
        self._manifest = manifest
        self._lock = threading.Lock()

    def keep(self, task: Task, outcome: Outcome) -> Json:
        """Adds an episode as the next try at its task, and gives `{agent, task_id, sample}`.

        Raises `RunFolderError` when the folder holds something else or was played under other settings, when another
        process writes to it, or when the disk refuses.
        """
        with self._lock, self._opened() as run:
            run.add_task(task)
            agent, task_id = outcome.episode.agent, task.id
            there = run.done()
            number = {"sample": sum((key.agent, key.task_id) == (agent, task_id) for key in there)}
            run.add(outcome.episode.model_copy(update=number), outcome.score.model_copy(update=number))
        return {"agent": agent, "task_id": task_id, **number}

    def _opened(self) -> RunFolder:
        if (self.folder / MANIFEST).exists():
            return RunFolder.resume(self.folder, self._manifest)
        return RunFolder.create(self.folder, self._manifest, ())
