"""Runs and task files with what is only there at times: another run to compare with, a map, a recording, rejections."""

from pathlib import Path

import orjson

from synthagent.storage.run_folder import RunFolder
from synthagent.storage.task_file import write_tasks
from tests.commands import synthagent
from tests.endpoints import endpoint
from tests.maps import hybrid

TURNS = 3
REJECTED = (
    {"index": 4, "reasons": ["task 0a1b (library/4): leak: the instruction holds a hidden value", "and more"]},
    {"index": 7, "reasons": ["no goals fit together"]},
    {"family": "library/9", "reasons": ["task 77 (library/9): reference: earns 0.5"]},
)


def worse(run: Path, folder: Path) -> Path:
    """The run again, but its reference does what `refuse` did."""
    with RunFolder.open(run) as source:
        manifest = source.manifest.model_copy(update={"agents": ("scripted:reference",)})
        scores = {(one.agent, one.score.task_id, one.score.sample): one.score for one in source.scores()}
        with RunFolder.create(folder, manifest, list(source.tasks())) as target:
            for episode in source.episodes():
                if episode.agent == "scripted:refuse":
                    score = scores[episode.agent, episode.task_id, episode.sample]
                    target.add(episode.model_copy(update={"agent": "scripted:reference"}), score)
    return folder


def simulated(home: Path) -> Path:
    """A run `made` whose tools were made up by a model; its map lies beside its tasks, `hybrid.jsonl`."""
    tasks = home / "hybrid.jsonl"
    write_tasks(tasks, [hybrid("find_member")])
    words = ("--agent", "scripted:reference", "--tools", "scripted:random", "-n", 2, "--out", home / "made")
    assert synthagent("rollout", tasks, *words).code == 0
    return home / "made"


def taped(tasks: Path, folder: Path) -> Path:
    """Two tries at each of two tasks, recorded; the model counts the messages that it is sent."""
    with endpoint(lambda body: f"Number {len(body['messages'])}: which one do you mean?") as (url, _):
        words = ("--record", "-n", 2, "--limit", 2, "--turns", TURNS, "--out", folder, "--agent", f"openai:tiny@{url}")
        done = synthagent("rollout", tasks, *words, "--agent", "scripted:nothing")
    assert done.code == 0, done.err
    assert "scripted:nothing is not asked over messages" in done.err
    return folder


def rejected(tasks: Path, home: Path) -> Path:
    """A copy of a task file, `copy.jsonl`, with families that did not hold beside it."""
    copy = home / "copy.jsonl"
    copy.write_bytes(tasks.read_bytes())
    (home / "copy.jsonl.d").mkdir()
    added(home / "copy.jsonl.d" / "rejected.jsonl", *REJECTED)
    return copy


def added(path: Path, *rows: object) -> None:
    """Appends lines to a journal."""
    with path.open("ab") as stream:
        stream.write(b"".join(orjson.dumps(row) + b"\n" for row in rows))


def course(folder: Path, hostile: str) -> None:
    """A persona that came to nothing at its second stage, recorded, with hostile last words."""
    usage = {"prompt": 900, "completion": 80}
    outcome = {"index": 0, "persona": "A baker of the night shift", "stage": "review", "reason": "not understood",
               "details": ["workflow: missing"], "raw": hostile, "usage": usage, "tools": 4}  # fmt: skip
    told = [{"role": "user", "content": f"Think of one everyday errand. {hostile}"}]
    asked = {"key": "k", "model": "tiny", "stage": "scenario", "about": "0", "usage": usage, "seconds": 1.25,
             "messages": told, "content": "{}"}  # fmt: skip
    added(folder / "outcomes.jsonl", outcome)
    added(folder / "stages.jsonl", {"index": 0, "stage": "scenario", "output": {"request": "Bread, please."}})
    added(folder / "exchanges.jsonl", asked, {**asked, "stage": "review", "content": hostile})
