"""export: a task set or a run in the form that another tool reads."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synthagent.cli.console import print_json, say
from synthagent.errors import InputError
from synthagent.export import packages
from synthagent.schema.scores import Score
from synthagent.schema.tasks import Task
from synthagent.storage.atomic import make_folder, replacing
from synthagent.storage.run_folder import RunFolder
from synthagent.storage.task_file import read_tasks, write_tasks


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is exported, and how."""

    source: Path
    out: Path
    name: str
    threshold: float


def run_export(source: Path, out: Path, to: str, name: str, threshold: float, json: bool) -> None:
    """Writes the folder. Raises `InputError` for a source that the form cannot be made of."""
    if to not in FORMS:
        raise InputError(f"--to: {to!r} is not one of {', '.join(FORMS)}")
    figures = {"to": to, "out": str(out), **FORMS[to](Wanted(source, out, packages.checked_name(name), threshold))}
    if json:
        print_json(figures)
        return
    left = ", ".join(f"{why} {count}" for why, count in figures["left_out"].items())
    say(f"{figures['written']} written to {out}" + (f"; left out: {left}" if left else ""))


def _is_run(path: Path) -> bool:
    return (path / "manifest.json").exists()


def _tasks(path: Path) -> Iterator[Task]:
    """The tasks of a file or of a run."""
    if _is_run(path):
        with RunFolder.open(path) as folder:
            yield from folder.tasks()
    else:
        yield from read_tasks(path)


def _episodes(path: Path) -> "Iterator[Any]":
    """(task, episode, score) of every episode of a run."""
    if not _is_run(path):
        raise InputError("not a run folder", where=str(path), way_out="this form is made of episodes: name a run")
    with RunFolder.open(path) as folder:
        tasks = {task.id: task for task in folder.tasks()}
        scores: dict[tuple[str, str, int], Score] = {
            (line.agent, line.score.task_id, line.score.sample): line.score for line in folder.scores()
        }
        for episode in folder.episodes():
            yield tasks[episode.task_id], episode, scores.get((episode.agent, episode.task_id, episode.sample))


def _done(written: int, left_out: Mapping[str, int] | None = None) -> dict[str, Any]:
    return {"written": written, "left_out": dict(left_out or {})}


def _sft(wanted: Wanted) -> dict[str, Any]:
    from synthagent.export.sft import write_sft

    make_folder(wanted.out)
    with replacing(wanted.out / "sft.jsonl") as write:
        counts = dict(write_sft(_episodes(wanted.source), wanted.threshold, write))
    return _done(counts.pop("written"), counts)


def _atif(wanted: Wanted) -> dict[str, Any]:
    import orjson

    from synthagent.export.atif import trajectory

    folder, names = wanted.out / "trajectories", set()
    make_folder(folder)
    for task, episode, score in _episodes(wanted.source):
        agent = "".join(letter if letter.isalnum() or letter in "-." else "_" for letter in episode.agent)
        names.add(name := f"{task.id}-{agent}-{episode.sample}.json")
        with replacing(folder / name) as write:
            write(orjson.dumps(trajectory(task, episode, score), option=orjson.OPT_INDENT_2))
    return _done(len(names))


def _hf(wanted: Wanted) -> dict[str, Any]:
    from synthagent.export.hub import card, write_split

    sources = {"train": wanted.source}
    if wanted.source.is_dir() and not _is_run(wanted.source):
        sources = {path.stem: path for path in sorted(wanted.source.glob("*.jsonl"))}
        if not sources:
            raise InputError("there is no task file in it", where=str(wanted.source))
    make_folder(wanted.out / "data")
    splits = []
    for name, source in sources.items():
        with replacing(wanted.out / "data" / f"{name}.jsonl") as write:
            splits.append(write_split(name, _tasks(source), write))
    with replacing(wanted.out / "README.md") as write:
        write(card(wanted.name, splits).encode())
    return _done(sum(split.tasks for split in splits))


def _verl(wanted: Wanted) -> dict[str, Any]:
    from synthagent.training.recipe import Recipe
    from synthagent.training.verl_launch import agent_loop, write_set

    recipe, tasks = Recipe(), list(_tasks(wanted.source))
    out = make_folder(wanted.out).resolve()
    write_set(out / "train", {wanted.name: tasks}, recipe.rollouts)
    with replacing(out / "agents.yaml") as write:
        write(agent_loop(recipe, None).encode())
    return _done(len(tasks))


def _verifiers(wanted: Wanted) -> dict[str, Any]:
    tasks = list(_tasks(wanted.source))
    packages.refuse_unanswered(tasks)
    _write(wanted.out, packages.verifiers_package(wanted.name))
    return _done(write_tasks(wanted.out / wanted.name / packages.TASKS, tasks))


def _nemo_gym(wanted: Wanted) -> dict[str, Any]:
    tasks = list(_tasks(wanted.source))
    packages.refuse_unanswered(tasks)
    _write(wanted.out, packages.nemo_gym_package(wanted.name))
    data = make_folder(wanted.out / "resources_servers" / wanted.name / "data")
    write_tasks(data / packages.TASKS, tasks)
    with replacing(data / "train.jsonl") as write:
        return _done(packages.write_nemo_rows(wanted.name, tasks, write))


def _write(out: Path, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        make_folder((out / name).parent)
        with replacing(out / name) as write:
            write(text.encode())


FORMS: Mapping[str, Callable[[Wanted], dict[str, Any]]] = {
    "verifiers": _verifiers,
    "nemo-gym": _nemo_gym,
    "verl": _verl,
    "sft": _sft,
    "atif": _atif,
    "hf": _hf,
}
"""Form -> what writes it."""
