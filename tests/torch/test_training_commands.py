"""`sft` and `train` as typed: killed and gone on with, refused with the field's name, every ablation of the paper."""

import os
import signal
import subprocess
import sys
import time

import orjson
import pytest

from synthagent.schema.tasks import Provenance
from synthagent.storage.task_file import read_tasks, write_tasks
from synthagent.training.recipe import Recipe, Rollouts, read_recipe
from tests.choices import FORM, choice
from tests.commands import synthagent
from tests.docs.pages import ROOT

ABLATIONS = sorted((ROOT / "recipes" / "ablations").glob("*.toml"))
RECIPE = f"""
steps = 6
save_every = 2
dtype = "float32"
[rollouts]
group = 4
tasks = 2
turns = 1
turn_tokens = 80
response_tokens = 80
slots = 8
tool_form = "{FORM}"
[optimiser]
lr = 3e-4
[checking]
every = 3
"""
COLD = f"""
method = "sft"
epochs = 8
save_every = 2
dtype = "float32"
[rollouts]
tool_form = "{FORM}"
[optimiser]
lr = 1e-3
"""
"""A cold start of eight updates on a few demonstrations."""


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Tasks to practise on, held-out ones, a run of demonstrations, and recipes."""
    path = tmp_path_factory.mktemp("files")
    write_tasks(path / "tasks.jsonl", [choice(), choice("lever", "a", "levers"), choice("switch", "b", "switches")])
    write_tasks(path / "held.jsonl", [choice("knob", "b")])
    (path / "recipe.toml").write_text(RECIPE)
    (path / "cold.toml").write_text(COLD)
    words = ("--agent", "scripted:reference", "-k", 2, "--out", path / "demos")
    assert synthagent("demos", path / "tasks.jsonl", *words).code == 0
    return path


def training(files, policy, out, *more):
    words = ("--policy", policy, "--config", files / "recipe.toml", "--eval", files / "held.jsonl", "--threads", 1)
    return [str(word) for word in ("train", files / "tasks.jsonl", *words, "--out", out, *more)]


def imitating(files, policy, out, *more):
    words = ("--data", files / "demos", "--policy", policy, "--config", files / "cold.toml", "--threads", 1)
    return [str(word) for word in ("sft", *words, "--out", out, *more)]


def figures(out):
    """The latest line of each step, without what a clock says; and the held-out lines."""
    steps = {}
    for line in (out / "metrics.jsonl").read_bytes().splitlines():
        record = orjson.loads(line)
        steps[record.get("step", record.get("update"))] = {
            name: value for name, value in record.items() if name not in ("generating", "learning", "seconds")
        }
    held = (out / "heldout.jsonl").read_bytes().splitlines() if (out / "heldout.jsonl").exists() else []
    return steps, sorted(set(held))


def weights(out):
    return (out / "policy" / "model.safetensors").read_bytes()


def begun(words, out, lines):
    """A process of its own that has written so many lines of figures by now."""
    program = [sys.executable, "-c", "from synthagent.cli.main import run; run()"]
    process = subprocess.Popen(
        [*program, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    metrics = out / "metrics.jsonl"
    while process.poll() is None and (not metrics.exists() or metrics.read_bytes().count(b"\n") < lines):
        time.sleep(0.02)
    assert process.poll() is None, process.communicate()[1]
    return process


@pytest.fixture(scope="module")
def undisturbed(files, undecided, tmp_path_factory):
    """A run from beginning to end: its folder, and what it printed."""
    out = tmp_path_factory.mktemp("runs") / "undisturbed"
    done = synthagent(*training(files, undecided, out, "--json"))
    assert done.code == 0, done.err
    return out, done


def test_a_run_leaves_figures_a_policy_that_plays_and_the_documented_columns(undisturbed, files):
    out, done = undisturbed
    steps, held = figures(out)
    assert sorted(steps) == [1, 2, 3, 4, 5, 6]
    assert sorted({orjson.loads(line)["step"] for line in held}) == [0, 3, 6]
    assert (done.json["steps"], done.json["episodes"], done.json["unscored"]) == (6, 48, 0)
    words = ("--agent", f"hf:{out / 'policy'}", "--tool-form", FORM, "--turns", 1, "--json")
    played = synthagent("rollout", files / "tasks.jsonl", *words, "--out", out.parent / "played")
    assert (played.code, played.json[0]["unscored"]) == (0, 0), played.err
    report = synthagent("report", out, "--no-pictures", "--json")
    assert (report.code, report.json["steps"]) == (0, 6), report.err


@pytest.mark.parametrize("lines", [1, 3])
def test_a_run_that_is_killed_and_resumed_ends_as_if_nothing_had_happened(
    files, undecided, undisturbed, tmp_path, lines
):
    out = tmp_path / "run"
    process = begun(training(files, undecided, out), out, lines)
    process.kill()
    process.communicate()
    done = synthagent(*training(files, undecided, out, "--resume"))
    assert done.code == 0, done.err
    assert figures(out) == figures(undisturbed[0])
    assert weights(out) == weights(undisturbed[0])


def test_a_run_that_is_told_to_end_keeps_its_last_whole_step_and_says_how_to_go_on(
    files, undecided, undisturbed, tmp_path
):
    out = tmp_path / "run"
    process = begun(training(files, undecided, out), out, 3)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=120)
    assert (process.returncode, "--resume goes on" in said, "Traceback" in said) == (130, True, False), said
    kept = [int(path.name[5:]) for path in (out / "checkpoints").iterdir()]
    assert max(kept) == max(figures(out)[0]), "no step is taken again"
    done = synthagent(*training(files, undecided, out, "--resume"))
    assert done.code == 0, done.err
    assert figures(out) == figures(undisturbed[0])
    assert weights(out) == weights(undisturbed[0])


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_so_does_a_cold_start(files, tiny, tmp_path, how):
    whole, out = tmp_path / "whole", tmp_path / "run"
    done = synthagent(*imitating(files, tiny, whole, "--json"))
    assert done.code == 0, done.err
    assert (done.json["demonstrations"], done.json["domains"], done.json["updates"]) == (6, 3, 8)
    process = begun(imitating(files, tiny, out), out, 3)
    process.send_signal(how)
    _, said = process.communicate(timeout=120)
    assert process.returncode == (130 if how is signal.SIGTERM else -signal.SIGKILL), said
    assert ("--resume goes on" in said) == (how is signal.SIGTERM)
    done = synthagent(*imitating(files, tiny, out, "--resume"))
    assert done.code == 0, done.err
    assert figures(out) == figures(whole)
    assert weights(out) == weights(whole)


def test_a_run_is_not_gone_on_with_under_other_conditions(files, undecided, tiny, undisturbed, tmp_path):
    out, _ = undisturbed
    other = tmp_path / "recipe.toml"
    other.write_text(RECIPE.replace("lr = 3e-4", "lr = 4e-4"))
    fewer = tmp_path / "tasks.jsonl"
    write_tasks(fewer, list(read_tasks(files / "tasks.jsonl"))[:2])
    words = training(files, undecided, out, "--resume")

    def swapped(old, new):
        return synthagent(*(str(new) if word == str(old) else word for word in words))

    for done, field in (
        (swapped(files / "recipe.toml", other), "recipe: optimiser was"),
        (swapped(files / "tasks.jsonl", fewer), "tasks_sha256: was"),
        (swapped(undecided, tiny), "policy_sha256: was"),
    ):
        assert (done.code, field in done.err, "Traceback" in done.err) == (3, True, False), done.err
    again = synthagent(*training(files, undecided, out))
    assert (again.code, "continue it with --resume" in again.err) == (3, True)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--eval", "TASKS"], "shares 3 families with"),
        (["--trainer", "magic"], "'magic' is not one of native, trl, verl"),
        (["--policy", "nowhere"], "there is no folder 'nowhere'"),
        (["--policy", "local:smollm2-135m"], "synthagent models convert smollm2-135m --out DIR"),
        (["--config", "cold.toml"], "this recipe is a cold start (synthagent sft --config)"),
        (["--config", "reasoning.toml"], "the file holds no task with the feature 'reasoning'"),
        (["--config", "short.toml"], "rollouts.prompt_tokens: the opening of task"),
        (["--eval", "held.jsonl", "--eval", "more/held.jsonl"], "two sets are called 'held'"),
    ],
)
def test_wrong_input_is_exit_code_2_before_there_is_a_folder(files, undecided, tmp_path, words, said):
    (files / "reasoning.toml").write_text(RECIPE + "[data]\nreasoning = 0.2\n")
    (files / "short.toml").write_text(RECIPE.replace("[rollouts]", "[rollouts]\nprompt_tokens = 100"))
    (files / "more").mkdir(exist_ok=True)
    write_tasks(files / "more" / "held.jsonl", [choice("dial", "b")])
    given = [str(files / word) if (files / word).is_file() else word for word in words]
    given = [str(files / "tasks.jsonl") if word == "TASKS" else word for word in given]
    plain = ["--policy", str(undecided), "--config", str(files / "recipe.toml")]
    done = synthagent("train", files / "tasks.jsonl", *plain, *given, "--threads", 1, "--out", tmp_path / "run")
    assert (done.code, said in done.err, "Traceback" in done.err) == (2, True, False), done.err
    assert not (tmp_path / "run").exists()


def test_demonstrations_that_are_not_good_enough_are_left_out_and_counted(files, tiny, tmp_path):
    """Of nine tries six earn nothing; with a short window the others do not fit."""
    for agent in ("scripted:done", "scripted:refuse"):
        words = ("--agent", agent, "--out", tmp_path / agent[9:])
        assert synthagent("rollout", files / "tasks.jsonl", *words).code == 0
    data = [word for name in ("done", "refuse") for word in ("--data", tmp_path / name)]
    done = synthagent(*imitating(files, tiny, tmp_path / "sft", *data, "--json"))
    assert done.code == 0, done.err
    assert (done.json["demonstrations"], done.json["refused"]) == (6, {"reward": 6})
    (tmp_path / "short.toml").write_text(COLD.replace("[rollouts]", "[rollouts]\nresponse_tokens = 20"))
    words = ("--data", files / "demos", "--policy", tiny, "--config", tmp_path / "short.toml", "--threads", 1)
    done = synthagent("sft", *words, "--out", tmp_path / "none")
    assert (done.code, "too long 6" in done.err, "no demonstration is left" in done.err) == (2, True, True), done.err


# ---- the paper's ablations


def small(recipe: Recipe) -> Recipe:
    """As a recipe says, with a model of random weights: two steps, and sizes that take seconds."""
    room = 64 if recipe.method == "grpo" else 1000
    sizes = Rollouts(
        group=2, tasks=2, turns=1, turn_tokens=8, response_tokens=room, slots=4, malformed=1,
        protocol=recipe.rollouts.protocol, tool_form=FORM, temperature=recipe.rollouts.temperature,
    )  # fmt: skip
    user = recipe.data.model_copy(update={"user": "facts"})
    once = recipe.optimiser.model_copy(update={"minibatch": 1 if recipe.optimiser.minibatch else None})
    changes = {"steps": 2, "rollouts": sizes, "data": user, "optimiser": once, "dtype": "float32"}
    return recipe.model_copy(update=changes)


def toml(recipe: Recipe) -> str:
    """A recipe as a file."""
    lines, tables = [], []
    for name, value in recipe.model_dump(exclude_none=True).items():
        if isinstance(value, dict):
            inner = "\n".join(f"{key} = {orjson.dumps(v).decode()}" for key, v in value.items())
            tables.append(f"[{name}]\n{inner}\n")
        else:
            lines.append(f"{name} = {orjson.dumps(value).decode()}\n")
    return "".join(lines + tables)


@pytest.mark.parametrize("path", ABLATIONS, ids=lambda path: path.stem)
def test_every_ablation_of_the_paper_runs(files, tiny, tmp_path, path):
    recipe = small(read_recipe(path))
    (tmp_path / "recipe.toml").write_text(toml(recipe))
    assert read_recipe(tmp_path / "recipe.toml") == recipe
    words = ["--policy", tiny, "--config", tmp_path / "recipe.toml", "--threads", 1, "--out", tmp_path / "run"]
    if recipe.method == "sft":
        done = synthagent("sft", "--data", files / "demos", *words)
    else:
        tasks = list(read_tasks(files / "tasks.jsonl"))
        thinking = [
            choice(f"sum {n}", "b").model_copy(update={"provenance": Provenance(features=("reasoning",))}) for n in "ab"
        ]
        write_tasks(tmp_path / "tasks.jsonl", [*tasks, *thinking])
        done = synthagent("train", tmp_path / "tasks.jsonl", *words)
    assert done.code == 0, done.err
    assert sorted(figures(tmp_path / "run")[0]) == [1, 2]
    assert (tmp_path / "run" / "policy" / "model.safetensors").exists()
