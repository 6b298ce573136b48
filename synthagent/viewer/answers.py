"""What is asked for by address and what is answered: plain functions from words to JSON."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from synthagent import __version__
from synthagent.errors import InputError, SynthAgentError
from synthagent.schema.episodes import Episode
from synthagent.schema.record import Json, dump
from synthagent.schema.scores import Score
from synthagent.schema.tasks import Task
from synthagent.viewer.asking import whole as number
from synthagent.viewer.episodes import aligned, whole
from synthagent.viewer.exporting import page, report
from synthagent.viewer.figures import Prices, compared, figures
from synthagent.viewer.library import Library, Missing
from synthagent.viewer.maps import behind
from synthagent.viewer.tasks import Rates

Words = Mapping[str, Any]
Query = Mapping[str, str]


class Answers:
    """Each method answers one address; `path` and `query` are its words. All raise `InputError` for words that fit
    nothing."""

    def __init__(self, library: Library, *, playing: bool, prices: Prices, keeping: Path | None):
        self._library, self._playing, self._prices, self._keeping = library, playing, prices, keeping

    def library_list(self, _path: Words, _query: Query) -> Json:
        """Everything that was opened, each with its figures, or with what is wrong with it."""
        library = self._library
        return {
            "version": __version__,
            "playing": self._playing,
            "keeping": None if self._keeping is None else str(self._keeping),
            "runs": [_row(name, lambda name=name: library.run(name).summary()) for name in library.names("run")],
            "tasks": [
                _row(name, lambda name=name: {"tasks": len(library.tasks(name))}) for name in library.names("tasks")
            ],
            "training": [
                _row(name, lambda name=name: library.training(name).summary()) for name in library.names("training")
            ],
        }

    def run(self, path: Words, _query: Query) -> Json:
        """One run: its figures, and how many episodes there are of each kind."""
        run = self._library.run(path["run"])
        return {"name": path["run"], **run.summary(), "facets": run.facets(), **figures(run, self._prices)}

    def episodes(self, path: Words, query: Query) -> Json:
        """A page of its episodes."""
        return self._library.run(path["run"]).episodes(query)

    def episode(self, path: Words, query: Query) -> Json:
        """One episode whole, and the other tries at its task."""
        task, episode, score = self._episode(path["run"], query)
        run = self._library.run(path["run"])
        found = {"run": path["run"], **whole(task, episode, score), "group": run.group(episode.task_id)}
        return {**found, "recorded": run.recorded}

    def exchange(self, path: Words, query: Query) -> Json:
        """`{exchange}`: what the agent's model was asked for one of its turns, and what it answered; or null."""
        run = self._library.run(path["run"])
        sample, turn = number(query, "sample", 0), number(query, "turn", 0)
        return {"exchange": run.exchange(query.get("agent", ""), query.get("task", ""), sample, turn)}

    def entries(self, path: Words, query: Query) -> Json:
        """The entries of the response map behind one episode."""
        task, episode, _ = self._episode(path["run"], query)
        if task is None:
            raise Missing("the task of this episode is not in the run")
        beside = [(one.parent / f"{one.name}.d") / "map.sqlite" for one in self._library.task_files()]
        return behind(episode, task, self._library.run(path["run"]).manifest.map_store, beside)

    def export(self, path: Words, query: Query) -> str:
        """The same as a file of its own."""
        task, episode, score = self._episode(path["run"], query)
        return page(whole(task, episode, score), f"{episode.agent} on task {episode.task_id}, try {episode.sample}")

    def report(self, path: Words, query: Query) -> str:
        """A run's report as a file of its own, with its comparison with `other` if that is asked for."""
        run = self._library.run(path["run"])
        versus = self.versus({}, {"left": query["other"], "right": path["run"]}) if query.get("other") else None
        return report({"name": path["run"], **run.summary(), **figures(run, self._prices)}, versus)

    def compare(self, _path: Words, query: Query) -> Json:
        """Two episodes side by side: `left` and `right` as `RUN|AGENT|TASK|SAMPLE`."""
        found = {}
        for side in ("left", "right"):
            words = query.get(side, "").split("|")
            if len(words) != 4:
                raise InputError(f"{side}: RUN|AGENT|TASK|SAMPLE is wanted")
            run, agent, task_id, sample = words
            found[side] = (run, *self._episode(run, {"agent": agent, "task": task_id, "sample": sample}))
        (_, _, one, _), (_, _, other, _) = found["left"], found["right"]
        sides = {side: {"run": run, **whole(task, ep, score)} for side, (run, task, ep, score) in found.items()}
        return {**sides, "rows": aligned(one, other)}

    def versus(self, _path: Words, query: Query) -> Json:
        """Two runs side by side: `left` and `right` are their names."""
        names = [query.get(side, "") for side in ("left", "right")]
        left, right = (self._library.run(name) for name in names)
        found = compared(left, right, self._prices)
        instructions = self._library.tasks(names[0]).instructions([row["left"]["task_id"] for row in found["tasks"]])
        for row in found["tasks"]:
            row["instruction"] = instructions.get(row["left"]["task_id"], "")
        for side, name, run in (("left", names[0], left), ("right", names[1], right)):
            found[side] = {"name": name, **run.summary(), **found[side]}
        return found

    def tasks(self, path: Words, query: Query) -> Json:
        """A page of the tasks of a set, and how many others were rejected when it was made."""
        found = self._library.tasks(path["set"]).page(query, self._rates())
        return {**found, "kept": len(self._library.tasks(path["set"])), **self._rejected_of(path["set"])}

    def rejected(self, path: Words, query: Query) -> Json:
        """A page of what was rejected when a set was made."""
        kept = len(self._library.tasks(path["set"]))
        return {**self._library.making(path["set"]).page(query), "kept": kept, **self._rejected_of(path["set"])}

    def one_rejected(self, path: Words, _query: Query) -> Json:
        """One of them whole."""
        return {"set": path["set"], **self._library.making(path["set"]).rejected(path["place"])}

    def task(self, path: Words, _query: Query) -> Json:
        """One task whole, with its family and who played it."""
        tasks = self._library.tasks(path["set"])
        task = tasks.task(path["task"])
        played = []
        for name in self._library.names("run"):
            rows = self._library.run(name).episodes({"task_id": task.id, "limit": "200"})["rows"]
            played += [{"run": name, **{k: row[k] for k in ("agent", "sample", "reward", "stop")}} for row in rows]
        family = [
            {name: row[name] for name in ("id", "instruction", "twin", "legal", "parents")}
            for row in tasks.family(task.family)
        ]
        made, made_error = self._made(task.id)
        found = {"set": path["set"], "task": dump(task), "family": family, "played": played}
        return {**found, "made": made, "made_error": made_error}

    def training(self, path: Words, _query: Query) -> Json:
        """The curves of a training run."""
        return {"name": path["name"], **self._library.training(path["name"]).curves()}

    def tries(self, path: Words, _query: Query) -> Json:
        """The episodes of one of its steps."""
        return {"rows": self._library.training(path["name"]).tries(path["step"])}

    def one_try(self, path: Words, _query: Query) -> Json:
        """One of them whole. A training folder holds no tasks: the task is looked for among all that was opened."""
        episode, score = self._library.training(path["name"]).episode(path["step"], path["place"])
        return {"run": None, **whole(self._anywhere(episode.task_id), episode, score), "group": []}

    def _episode(self, name: str, query: Query) -> tuple[Task | None, Episode, Score | None]:
        run = self._library.run(name)
        sample = query.get("sample", "0")
        if not sample.isascii() or not sample.isdigit() or len(sample) > 9:
            raise InputError(f"sample: a whole number is wanted, not '{sample[:40]}'")
        try:
            episode, score = run.episode(query.get("agent", ""), query.get("task", ""), int(sample))
        except InputError as error:
            raise Missing(str(error)) from error
        return self._task_of(name, episode.task_id), episode, score

    def _task_of(self, name: str, task_id: str) -> Task | None:
        try:
            return self._library.run(name).task(task_id)
        except InputError:
            return self._anywhere(task_id)

    def _anywhere(self, task_id: str) -> Task | None:
        for name in (*self._library.names("tasks"), *self._library.names("run")):
            try:
                return self._library.tasks(name).task(task_id)
            except InputError:
                continue
        return None

    def _rejected_of(self, name: str) -> Json:
        """`{rejected, rejected_error}`: a journal that cannot be read must not hide the tasks themselves."""
        try:
            return {"rejected": len(self._library.making(name)), "rejected_error": None}
        except InputError as error:
            return {"rejected": None, "rejected_error": str(error)}

    def _made(self, task_id: str) -> tuple[Json | None, str | None]:
        """What made a task, from the course beside any file that was opened; why it cannot be told, if that is so."""
        for name in self._library.names("tasks"):
            try:
                found = self._library.making(name).of(task_id)
            except (InputError, OSError) as error:
                return None, str(error)
            if found is not None:
                return found, None
        return None, None

    def _rates(self) -> Rates:
        """Task -> mean reward in all runs that were opened."""
        found: dict[str, tuple[float | None, int]] = {}
        for name in self._library.names("run"):
            for task, (mean, count) in self._library.run(name).rewards().items():
                before, so_far = found.get(task, (None, 0))
                both = [(value, weight) for value, weight in ((before, so_far), (mean, count)) if value is not None]
                weight = sum(weight for _, weight in both)
                found[task] = (sum(v * w for v, w in both) / weight if weight else None, so_far + count)
        return found


def _row(name: str, summary: Any) -> Json:
    try:
        return {"name": name, **summary()}
    except (SynthAgentError, OSError) as error:
        return {"name": name, "error": str(error)}
