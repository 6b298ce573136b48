"""Reasoning tasks beside others in training: drawn by the recipe's share, and rewarded for the right answer."""

import orjson
import pytest

from synthagent.reasoning.problems import Problem
from synthagent.reasoning.tasks import as_task
from synthagent.storage.task_file import read_tasks, write_tasks
from tests.choices import FORM, choice
from tests.commands import synthagent

pytestmark = [
    # What trl 1.16 does that others' releases have since come to warn of.
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"),
    pytest.mark.filterwarnings("ignore:.*torch.jit.*is deprecated:DeprecationWarning"),
]
RECIPE = f"""
steps = 2
dtype = "float32"
[data]
reasoning = 0.5
[rollouts]
group = 2
tasks = 2
turns = 2
turn_tokens = 24
response_tokens = 64
slots = 4
tool_form = "{FORM}"
"""


@pytest.fixture
def files(tmp_path):
    """Tasks with a button, questions in a file of their own, and a recipe that wants half of each."""
    write_tasks(tmp_path / "tasks.jsonl", [choice(), choice("lever", "a", "levers")])
    sums = [Problem(id=str(n), question=f"How much is {n} plus 1?", gold=f"{n + 1}/1", source="sums") for n in (1, 2)]
    write_tasks(tmp_path / "sums.jsonl", map(as_task, sums))
    (tmp_path / "recipe.toml").write_text(RECIPE)
    return tmp_path


@pytest.mark.parametrize("trainer", ["native", "trl"])
def test_two_steps_on_both_kinds_of_tasks(files, tiny, trainer):
    words = ["train", files / "tasks.jsonl", "--policy", tiny, "--config", files / "recipe.toml", "--threads", 1]
    words += ["--trainer", trainer, "--out", files / "run", "--json"]
    alone = synthagent(*words)
    assert (alone.code, "--reasoning FILE" in alone.err) == (2, True), alone.err
    done = synthagent(*words, "--reasoning", files / "sums.jsonl")
    assert done.code == 0, done.err
    assert (done.json["steps"], done.json["unscored"]) == (2, 0)
    lines = [orjson.loads(line) for line in (files / "run" / "rollouts.jsonl").read_bytes().splitlines()]
    thinking = {task.id for task in read_tasks(files / "sums.jsonl")}
    answered = [line for line in lines if line["episode"]["task_id"] in thinking]
    assert len(answered) == len(lines) - len(answered) == 4
    assert {line["episode"]["protocol"] for line in answered} == {"tools"}
    for line in answered:  # a model of random weights: whatever it says was compared, and is wrong
        assert (line["score"]["kind"], line["score"]["reward"], line["score"]["blame"]) == ("scored", 0.0, "agent")
