"""A recipe in verl's own words: every file and key, and a note for whatever verl does otherwise. No torch, no verl."""

import shlex
import sys
from importlib.util import find_spec

import pytest
import yaml
from pyarrow import parquet

from synthagent.errors import InputError
from synthagent.simulation.agent import opening
from synthagent.storage.task_file import read_tasks
from synthagent.synthesis.personas import shipped as personas
from synthagent.synthesis.procedural.domain import shipped
from synthagent.synthesis.procedural.teacher import families
from synthagent.training.recipe import Recipe
from synthagent.training.verl_launch import (
    AGENT,
    Cluster,
    Launch,
    Others,
    gpu_here,
    launch,
    notes_on,
    said,
    write_launch,
)
from tests.training.test_tokens import Bytes

ACTOR, ROLLOUT = "actor_rollout_ref.actor", "actor_rollout_ref.rollout"


@pytest.fixture(scope="module")
def tasks():
    made = families(shipped(), personas(), 3)
    return [task for _ in range(4) for task in next(made).tasks][:4]


def recipe(**parts):
    return Recipe.model_validate({"rollouts": {"tasks": 2, "group": 4}, **parts})


def settings_in(planned):
    return {key: yaml.safe_load(value) for key, _, value in (word.partition("=") for word in planned.overrides)}


def test_rows_hold_a_prompt_and_where_the_task_is_and_no_schema(tasks, tmp_path):
    write_launch(tasks, recipe(), "models/small", tmp_path, held_out={"easy": tasks[:1], "hard": tasks[1:3]})
    table = parquet.read_table(tmp_path / "train.parquet")
    assert table.column_names == ["prompt", "agent_name", "data_source", "reward_model", "extra_info"]
    assert {field.name for field in table.schema.field("extra_info").type} == {"task_id", "tasks_file", "index"}
    rows = table.to_pylist()
    for number, (row, task) in enumerate(zip(rows, tasks, strict=True)):
        assert row["prompt"] == opening(task.brief, "text", task.world.now)
        assert (row["agent_name"], row["data_source"]) == (AGENT, "train")
        assert row["extra_info"] == {
            "task_id": task.id,
            "tasks_file": str((tmp_path / "train.jsonl").resolve()),
            "index": number,
        }
    assert list(read_tasks(tmp_path / "train.jsonl")) == tasks
    held_out = parquet.read_table(tmp_path / "heldout.parquet").to_pylist()
    assert [row["data_source"] for row in held_out] == ["easy", "hard", "hard"]


def test_the_agent_loop_gets_limits_protocol_and_who_plays(tasks, tmp_path):
    asked = recipe(
        rollouts={"tasks": 2, "turns": 9, "protocol": "tools", "tool_form": "hermes", "errors": 3},
        loss={"mask_overlong": True}, seed=5, data={"user": "openai:m@http://127.0.0.1:1/v1"},
    )  # fmt: skip
    others = Others(opens="somewhere:opened", options={"user": "openai:m@http://127.0.0.1:1/v1"})
    write_launch(tasks, asked, "models/small", tmp_path, others=others)
    (entry,) = yaml.safe_load((tmp_path / "agent.yaml").read_text())
    assert (entry["name"], entry["_target_"]) == (AGENT, "synthagent.training.verl_agent.SynthAgentLoop")
    assert entry["rollouts"] == asked.rollouts.model_dump(mode="json")
    assert (entry["seed"], entry["mask_overlong"]) == (5, True)
    assert (entry["opens"], entry["options"]) == (others.opens, others.options)


def test_every_hyper_parameter_has_verls_name(tasks, tmp_path):
    asked = recipe(
        steps=7, seed=3, save_every=5, keep=4,
        rollouts={
            "tasks": 2, "group": 6, "temperature": 0.9, "response_tokens": 900, "prompt_tokens": 300, "slots": 12,
        },
        loss={"clip_low": 0.1, "clip_high": 0.3, "averaging": "sequence", "normalised": False, "kl": 0.05},
        optimiser={"lr": 2e-6, "warmup": 4, "beta2": 0.95, "weight_decay": 0.1, "max_norm": 0.5, "minibatch": 1},
        lora={"rank": 8, "alpha": 16, "targets": ["q_proj", "v_proj"]},
        checking={"every": 3, "n": 2, "temperature": 0.6, "tasks": 1},
    )  # fmt: skip
    cluster = Cluster(nodes=2, gpus=4, engine="sglang", tensor_parallel=2, memory=0.4, workers=6)
    planned = write_launch(tasks, asked, "models/small", tmp_path, cluster=cluster, held_out={"easy": tasks[:2]})
    found = settings_in(planned)
    expected = {
        "algorithm.adv_estimator": "grpo", "algorithm.norm_adv_by_std_in_grpo": False,
        "data.train_batch_size": 2, "data.max_prompt_length": 300, "data.max_response_length": 900, "data.seed": 3,
        "data.val_files": str(tmp_path / "heldout.parquet"),
        f"{ACTOR}.ppo_mini_batch_size": 1, f"{ACTOR}.clip_ratio_low": 0.1, f"{ACTOR}.clip_ratio_high": 0.3,
        f"{ACTOR}.loss_agg_mode": "seq-mean-token-mean", f"{ACTOR}.use_kl_loss": True, f"{ACTOR}.kl_loss_coef": 0.05,
        f"{ACTOR}.optim.lr_warmup_steps": 4, f"{ACTOR}.optim.weight_decay": 0.1, f"{ACTOR}.optim.betas": [0.9, 0.95],
        f"{ACTOR}.grad_clip": 0.5,
        "actor_rollout_ref.model.path": "models/small", "actor_rollout_ref.model.lora_rank": 8,
        "actor_rollout_ref.model.lora_alpha": 16, "actor_rollout_ref.model.target_modules": ["q_proj", "v_proj"],
        f"{ROLLOUT}.name": "sglang", f"{ROLLOUT}.n": 6, f"{ROLLOUT}.temperature": 0.9, f"{ROLLOUT}.max_num_seqs": 12,
        f"{ROLLOUT}.max_model_len": 1200, f"{ROLLOUT}.tensor_model_parallel_size": 2,
        f"{ROLLOUT}.gpu_memory_utilization": 0.4, f"{ROLLOUT}.agent.num_workers": 6,
        f"{ROLLOUT}.agent.default_agent_loop": AGENT, f"{ROLLOUT}.val_kwargs.n": 2,
        f"{ROLLOUT}.val_kwargs.temperature": 0.6, f"{ROLLOUT}.val_kwargs.do_sample": True,
        "trainer.total_training_steps": 7, "trainer.total_epochs": 4, "trainer.save_freq": 5, "trainer.test_freq": 3,
        "trainer.max_actor_ckpt_to_keep": 4, "trainer.val_before_train": True, "trainer.nnodes": 2,
        "trainer.n_gpus_per_node": 4, "trainer.logger": ["console"],
    }  # fmt: skip
    assert {key: found[key] for key in expected} == expected
    assert float(found[f"{ACTOR}.optim.lr"]) == 2e-6
    assert parquet.read_table(tmp_path / "heldout.parquet").num_rows == 1


def test_by_default_a_step_is_one_update_by_tokens_without_kl_or_checks(tasks, tmp_path):
    found = settings_in(write_launch(tasks, recipe(), "models/small", tmp_path))
    assert found[f"{ACTOR}.ppo_mini_batch_size"] == 2
    assert found[f"{ACTOR}.loss_agg_mode"] == "token-mean"
    assert (found[f"{ACTOR}.use_kl_loss"], found["algorithm.filter_groups.enable"]) == (False, False)
    assert (found["trainer.test_freq"], found["trainer.val_before_train"]) == (-1, False)
    assert (found["trainer.total_training_steps"], found["trainer.total_epochs"]) == (2, 1)
    assert not any("lora" in key for key in found)


def test_the_command_is_there_as_words_and_as_a_line_to_paste(tasks, tmp_path):
    planned = write_launch(tasks, recipe(), "models/my model's", tmp_path / "a run")
    kept = yaml.safe_load((tmp_path / "a run" / "launch.yaml").read_text())
    assert kept == {
        "module": "verl.trainer.main_ppo",
        "overrides": list(planned.overrides),
        "notes": list(planned.notes),
    }
    line = (tmp_path / "a run" / "command.txt").read_text()
    assert shlex.split(line) == planned.command("python") == ["python", "-m", kept["module"], *planned.overrides]


@pytest.mark.parametrize(
    ("changed", "key"),
    [
        ({"data": {"reasoning": 0.5}}, "data.reasoning"),
        ({"data": {"demonstrations": 4}}, "data.demonstrations"),
        ({"selection": {"low": 0.2}}, "selection.low"),
        ({"selection": {"redraws": 1}}, "selection.redraws"),
        ({"optimiser": {"decay": "linear"}}, "optimiser.decay"),
        ({"dtype": "float32"}, "dtype"),
    ],
)
def test_what_verl_does_otherwise_is_said(changed, key):
    plain = {note.partition(":")[0] for note in notes_on(recipe())}
    found = {note.partition(":")[0] for note in notes_on(recipe(**changed))} - plain
    assert len(found) == 1
    assert key in found.pop()
    assert {"packed", "seed", "rollouts.group"} <= plain


def test_what_would_fail_in_the_first_step_is_refused_now(tasks, tmp_path):
    def refused(match, these=tasks, **parts):
        with pytest.raises(InputError, match=match):
            write_launch(these, recipe(**parts), "models/small", tmp_path)

    refused("verl is for grpo", method="sft")
    refused("2 tasks a step, and there are 1", tasks[:1])
    refused("do not divide by 2", rollouts={"tasks": 3}, optimiser={"minibatch": 2})
    refused("nobody opens openai:m", data={"user": "openai:m@http://127.0.0.1:1/v1"})
    world = tasks[0].world
    bare = tasks[0].model_copy(update={"world": world.model_copy(update={"programs": {}})})
    refused("which has no program", [bare, tasks[1]])


def test_an_opening_that_is_too_long_is_refused_before_the_first_step(tasks, tmp_path):
    speaks = Bytes("chatml")
    with pytest.raises(InputError, match=f"prompt_tokens: the opening of task {tasks[0].id} has"):
        write_launch(tasks, recipe(), "models/small", tmp_path, tokenizer=speaks)
    write_launch(
        tasks, recipe(rollouts={"tasks": 2, "prompt_tokens": 20_000}), "models/small", tmp_path, tokenizer=speaks
    )


def test_without_verl_or_a_gpu_the_way_out_is_named(tasks, tmp_path, monkeypatch):
    planned = Launch(tmp_path, ("a=1",), ())
    with pytest.raises(InputError, match="pip install 'synthagent\\[verl\\]'"):
        launch(planned, installed=lambda _: None)
    with pytest.raises(InputError, match=r"needs a GPU.*command\.txt"):
        launch(planned, installed=lambda _: True, gpu=lambda: False)
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:6379")
    assert gpu_here()


def test_the_command_runs_and_its_failure_is_told(tmp_path):
    saying = tmp_path / "python"
    saying.write_text(f"#!{sys.executable}\nimport sys\nopen('{tmp_path}/said', 'w').write(' '.join(sys.argv[1:]))\n")
    saying.chmod(0o755)
    here = {"installed": lambda _: True, "gpu": lambda: True}
    launch(Launch(tmp_path, ("a=1",), ()), ["b=2"], python=str(saying), **here)
    assert (tmp_path / "said").read_text() == "-m verl.trainer.main_ppo a=1 b=2"
    saying.write_text(f"#!{sys.executable}\nraise SystemExit(3)\n")
    with pytest.raises(InputError, match="exit code 3"):
        launch(Launch(tmp_path, (), ()), python=str(saying), **here)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "true"), (None, "null"), (3, "3"), (1e-6, "1e-06"), ("a/b.parquet", "a/b.parquet"),
        (("a", "b c"), "[a,'b c']"), ("it's", "'it\\'s'"), ("True", "'True'"), ("1e5", "'1e5'"), ("a\\", "'a\\\\'"),
    ],
)  # fmt: skip
def test_values_are_written_as_hydra_reads_them(value, text):
    assert said(value) == text


@pytest.mark.skipif(find_spec("verl") is not None, reason="verl is here")
def test_without_verl_the_agent_loop_says_what_is_missing():
    with pytest.raises(ImportError, match="pip install 'synthagent\\[verl\\]'"):
        import synthagent.training.verl_agent  # noqa: F401
