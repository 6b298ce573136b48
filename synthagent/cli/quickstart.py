"""quickstart: the whole loop in a few minutes, on real tasks, with nothing but a laptop."""

import importlib.util
from itertools import islice
from pathlib import Path

from synthagent.cli.agents import role
from synthagent.cli.console import console, print_json, say
from synthagent.cli.report import print_report
from synthagent.cli.rollout import manifest_for, open_run, roll_into
from synthagent.cli.show import print_episode
from synthagent.cli.synth import run_synth
from synthagent.config import Settings
from synthagent.errors import InputError, SynthAgentError
from synthagent.evaluation.report import lines
from synthagent.llm.local_models import cache_dir, fetch, find
from synthagent.schema.episodes import Limits
from synthagent.schema.tasks import Task
from synthagent.storage.atomic import make_folder
from synthagent.storage.run_folder import RunFolder
from synthagent.storage.task_file import read_tasks, write_tasks

MODEL = "smollm2-135m"
MODEL_TASKS = 8
SCRIPTED = ("scripted:reference", "scripted:refuse", "scripted:nothing")


def run_quickstart(out: Path, n: int, seed: int, model: bool, json: bool) -> None:
    """Tasks from personas, played by three scripted agents and, where it can be had, by SmolLM2-135M."""
    make_folder(out)
    tasks = out / "tasks.jsonl"
    say(f"1. {n} tasks from personas, every one verified by execution")
    no_knobs = dict.fromkeys(("goals", "depth", "facts", "distractors", "traps"))
    run_synth(tasks, n, seed, None, "mixed", None, [], no_knobs, True, False)
    say("2. played by the reference, by one who refuses everything, by one who does nothing")
    run = out / "run"
    settings = Settings(in_flight=2, temperature=0.3, max_tokens=100)
    manifest = manifest_for(tasks, [role(text) for text in SCRIPTED], 1, "text", seed, None, settings)
    with open_run(tasks, run, manifest, _exists(run), None) as folder:
        roll_into(folder, [role(text) for text in SCRIPTED], "text", settings)
        rows = lines(folder.index.rows())
        if not json:
            _show_one(folder)
    if model:
        rows += _model_rows(out, tasks, seed, settings)
    if json:
        print_json([row.model_dump(mode="json") for row in rows])
        return
    print_report(rows)
    say(f"Where to look next:\n  synthagent show {tasks}\n  synthagent show {run}\n  synthagent check {tasks}")
    say("  docs/getting-started.md: your own personas, domains and models")


def _long(task: Task) -> bool:
    """Reading a long tool result takes a small model on two cores longer than anybody wants to wait here."""
    return "long_result" in task.provenance.features


def _exists(run: Path) -> bool:
    return (run / "manifest.json").exists()


def _show_one(folder: RunFolder) -> None:
    """The trajectory of the first task, so that the reader sees what all this is about."""
    task = next(iter(folder.tasks()))
    key = ("scripted:reference", task.id, 0)
    score = next(line.score for line in folder.scores() if (line.agent, line.score.task_id) == key[:2])
    print_episode(console(), task, folder.load_episode(*key), score)


def _model_rows(out: Path, tasks: Path, seed: int, settings: Settings) -> list:  # type: ignore[type-arg]
    """SmolLM2-135M on a few of the tasks; without it, the run goes on and says so."""
    say(f"3. {MODEL_TASKS} of them played by SmolLM2-135M on this machine's processor")
    try:
        if importlib.util.find_spec("xllamacpp") is None:
            raise InputError("xllamacpp is not installed", way_out="pip install 'synthagent[local]'")
        if find(MODEL, cache_dir()) is None:
            fetch(MODEL, cache_dir(), say)
        run = out / "run-model"
        who = role(f"local:{MODEL}")
        short = settings.model_copy(update={"limits": Limits(turns=6, tokens=500, malformed=3)})
        few = out / "tasks-model.jsonl"
        write_tasks(few, islice((task for task in read_tasks(tasks) if not _long(task)), MODEL_TASKS))
        manifest = manifest_for(few, [who], 1, "text", seed, None, short)
        with open_run(few, run, manifest, _exists(run), None) as folder:
            roll_into(folder, [who], "text", short)
            return lines(folder.index.rows())
    except SynthAgentError as error:
        say(f"   left out: {error}")
        return []
