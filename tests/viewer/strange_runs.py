"""Runs that no honest model plays: hostile text, ten thousand episodes, two thousand events."""

from pathlib import Path

from synthagent.schema.episodes import AgentEvent, Episode, Event, Stop, ToolEvent, UserEvent
from synthagent.schema.messages import ToolCall
from synthagent.schema.scores import Scored, Verdict
from synthagent.schema.tasks import Task
from synthagent.storage.manifest import Manifest
from synthagent.storage.run_folder import RunFolder
from tests.builders import library

MARK = "<script>window.hacked = 1</script><img src=x onerror='window.hacked = 2'>"
TURNED = "safe \u202egnihton si siht\u202c \u0007\u001b[31m\u2066"
UNBROKEN = "x" * 100_000


def manifest(agent: str) -> Manifest:
    return Manifest(
        command="none", agents=(agent,), tasks_file="tasks.jsonl", tasks_sha256="0" * 64, version="0",
    )  # fmt: skip


def scored(task: Task, sample: int, reward: float) -> Scored:
    verdict = Verdict(id="s1", holds=reward > 0, events=(0,))
    return Scored(
        task_id=task.id, sample=sample, rubric_id=task.rubric.rubric_id, reward=reward, gate=1, n=reward, i=None,
        subgoals=(verdict,),
    )  # fmt: skip


def hostile(folder: Path) -> Task:
    """One episode in which everything is hostile: what is said, called, answered, and the agent's name."""
    agent = f"openai:{MARK}"
    brief = library().brief.model_copy(update={"instruction": f"{MARK} {TURNED}", "rules": (MARK,)})
    task = library(brief=brief)
    call = ToolCall(id="1", name=MARK, arguments=f'{{"a": "{UNBROKEN}"')
    events: tuple[Event, ...] = (
        AgentEvent(text=f"{MARK}\n{TURNED}\n{UNBROKEN}", calls=(call,)),
        ToolEvent(call_id="1", tool=MARK, ok=False, error="malformed", response=f"{MARK}{TURNED}"),
        AgentEvent(text=MARK),
        UserEvent(message=MARK, text=f"{TURNED}{MARK}", disclosed=(MARK,), findings=(f"invented: {MARK}",)),
    )
    episode = Episode(task_id=task.id, agent=agent, events=events, stop=Stop.USER_DONE, turns=2)
    with RunFolder.create(folder, manifest(agent), [task]) as run:
        run.add(episode, scored(task, 0, 0.5))
    return task


def long(folder: Path, count: int) -> Task:
    """One episode of so many events."""
    task = library()
    events: list[Event] = []
    for number in range(count // 2):
        events += [AgentEvent(text=f"line {number}"), UserEvent(message=f"line {number}", text=f"reply {number}")]
    episode = Episode(task_id=task.id, agent="long", events=tuple(events), stop=Stop.TURN_LIMIT, turns=count // 2)
    with RunFolder.create(folder, manifest("long"), [task]) as run:
        run.add(episode)
    return task


def many(folder: Path, count: int) -> None:
    """So many episodes of a few turns, one of which says a word that no other does."""
    task = library()
    with RunFolder.create(folder, manifest("many").model_copy(update={"n": count}), [task]) as run:
        for sample in range(count):
            word = "needle" if sample == count * 3 // 4 else "hay"
            said = [f"turn {turn} of {sample}: {word} and some more words to be searched" for turn in range(6)]
            events = [event for text in said for event in (AgentEvent(text=text), UserEvent(message=text, text="yes"))]
            episode = Episode(
                task_id=task.id, sample=sample, agent="many", events=tuple(events), stop=Stop.USER_DONE, turns=6,
            )  # fmt: skip
            run.add(episode, scored(task, sample, (sample % 11) / 10))
