"""What verl 0.9.1 needs to run a recipe on a cluster: data set, agent loop, and every setting by verl's own name.

verl reads a parquet file of prompts, a YAML that names our agent loop, and Hydra overrides. All three are written into
one folder, which every node must see under the same path. What a recipe asks for and verl cannot do is told in notes.
Neither torch nor verl is imported here.
"""

import math
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field

from synthagent.errors import InputError
from synthagent.schema.record import Record
from synthagent.schema.tasks import Task
from synthagent.simulation.agent import opening
from synthagent.storage.atomic import make_folder, replacing
from synthagent.storage.task_file import write_tasks
from synthagent.training.recipe import Recipe, Rollouts
from synthagent.training.syllabus import refuse_long
from synthagent.training.tokens import Tokenizer

AGENT = "synthagent"
"""Name of our agent loop in the data set."""
LOOP = "synthagent.training.verl_agent.SynthAgentLoop"
TRAINER = "verl.trainer.main_ppo"
UNCLIPPED = 1e6
"""verl also clips at this ratio where the advantage is negative ("dual clip"); no recipe asks for it."""

Value = bool | int | float | str | None | Sequence[str] | Sequence[float]


class Cluster(Record):
    """The machines, and how they are used."""

    nodes: int = Field(default=1, ge=1)
    gpus: int = Field(default=8, ge=1)
    """Of a node."""
    engine: Literal["vllm", "sglang"] = "vllm"
    tensor_parallel: int = Field(default=1, ge=1)
    """GPUs that hold one copy of the generator."""
    memory: float = Field(default=0.5, gt=0, lt=1)
    """Share of a GPU's memory for the generator."""
    workers: int = Field(default=8, ge=1)
    """Processes that play episodes."""


class Others(Record):
    """Who plays with the policy, opened in every worker process."""

    opens: str
    """`package.module:function`, called with protocol, form, seed and the options; see `verl_agent.Opener`."""
    options: dict[str, Any] = {}


@dataclass(frozen=True, slots=True)
class Launch:
    """What was written."""

    folder: Path
    overrides: tuple[str, ...]
    notes: tuple[str, ...]
    """What the recipe asks for and verl does otherwise, each beginning with the recipe's key."""

    def command(self, python: str = sys.executable) -> list[str]:
        """The words of the command: no shell is needed."""
        return [python, "-m", TRAINER, *self.overrides]


def write_launch(
    tasks: Sequence[Task], recipe: Recipe, policy: str | Path, out: Path, *, cluster: Cluster | None = None,
    held_out: Mapping[str, Sequence[Task]] | None = None, others: Others | None = None,
    tokenizer: Tokenizer | None = None,
) -> Launch:  # fmt: skip
    """Writes everything into `out`. `tasks`: as `syllabus` gives them; `held_out`: name of a set -> its tasks.

    `tokenizer`: to measure openings now.

    Raises `InputError` for a recipe or tasks that cannot be trained on so, `RunFolderError`.
    """
    cluster = cluster or Cluster()
    chosen = list(tasks)
    checked = {name: list(these[: recipe.checking.tasks]) for name, these in (held_out or {}).items() if these}
    refuse(chosen, checked, recipe, others)
    if tokenizer is not None:  # verl would lose the group of a longer one in every epoch
        form = recipe.rollouts.tool_form or ("native" if getattr(tokenizer, "knows_tools", True) else "hermes")
        for these in (chosen, *checked.values()):
            refuse_long(these, tokenizer, form, recipe.rollouts)
    out = make_folder(out).resolve()
    write_set(out / "train", {"train": chosen}, recipe.rollouts)
    if checked:
        write_set(out / "heldout", checked, recipe.rollouts)
    _write(out / "agent.yaml", agent_loop(recipe, others))
    settings = settings_of(recipe, str(policy), out, len(chosen), cluster, checking=bool(checked))
    overrides = tuple(f"{key}={said(value)}" for key, value in settings.items())
    launch = Launch(out, overrides, tuple(notes_on(recipe)))
    _write(out / "launch.yaml", yaml.safe_dump(
        {"module": TRAINER, "overrides": list(overrides), "notes": list(launch.notes)}, sort_keys=False, width=1000
    ))  # fmt: skip
    _write(out / "command.txt", shlex.join(launch.command("python")) + "\n")
    return launch


def refuse(
    tasks: Sequence[Task], held_out: Mapping[str, Sequence[Task]], recipe: Recipe, others: Others | None
) -> None:
    """Raises `InputError` for what would fail in the first step."""
    if recipe.method != "grpo":
        raise InputError(f"method: verl is for grpo, not {recipe.method}", way_out="use the trainer in this process")
    if len(tasks) < recipe.rollouts.tasks:
        raise InputError(f"rollouts.tasks: {recipe.rollouts.tasks} tasks a step, and there are {len(tasks)}")
    minibatch = recipe.optimiser.minibatch
    if minibatch is not None and recipe.rollouts.tasks % minibatch:
        raise InputError(f"optimiser.minibatch: {recipe.rollouts.tasks} groups do not divide by {minibatch}")
    for task in (*tasks, *(task for these in held_out.values() for task in these)):
        if task.kind == "reasoning":
            text = f"task {task.id}: answers are not compared in verl's workers, so that it would have no reward"
            raise InputError(text, way_out="--trainer native or trl; or data.reasoning = 0")
    if others is not None:
        return
    if recipe.data.user != "facts":
        raise InputError(f"data.user: nobody opens {recipe.data.user} in verl's workers", way_out="say who: `others`")
    for task in (*tasks, *(task for these in held_out.values() for task in these)):
        bare = [tool.name for tool in task.brief.tools if tool.name not in task.world.programs]
        if bare:
            raise InputError(
                f"task {task.id}: nobody answers for {bare[0]}, which has no program", way_out="say who: `others`"
            )


def write_set(stem: Path, sets: Mapping[str, Sequence[Task]], rollouts: Rollouts) -> None:
    """`STEM.parquet` for verl, and beside it `STEM.jsonl` with the tasks themselves. Raises `InputError`."""
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise InputError("pyarrow is not installed", way_out="pip install 'synthagent[verl]'") from error
    file = stem.with_suffix(".jsonl")
    named = [(name, task) for name, these in sets.items() for task in these]
    write_tasks(file, [task for _, task in named])
    form = rollouts.tool_form or "native"
    rows = [
        {
            # For verl's own eyes; the agent loop makes its own opening of the task.
            "prompt": [
                {"role": str(message["role"]), "content": str(message["content"])}
                for message in opening(task.brief, rollouts.protocol, task.world.now, form)
            ],
            "agent_name": AGENT,
            "data_source": name,
            "reward_model": {"style": "rule", "ground_truth": ""},
            "extra_info": {"task_id": task.id, "tasks_file": str(file), "index": index},
        }
        for index, (name, task) in enumerate(named)
    ]
    with replacing(stem.with_suffix(".parquet")) as write:
        sink = pyarrow.BufferOutputStream()
        parquet.write_table(pyarrow.Table.from_pylist(rows), sink)
        write(sink.getvalue().to_pybytes())


def agent_loop(recipe: Recipe, others: Others | None) -> str:
    """The YAML that makes verl play through our agent loop."""
    entry = {
        "name": AGENT,
        "_target_": LOOP,
        "_convert_": "all",
        "rollouts": recipe.rollouts.model_dump(mode="json"),
        "seed": recipe.seed,
        "mask_overlong": recipe.loss.mask_overlong,
        "opens": others.opens if others else "",
        "options": others.options if others else {},
    }
    return str(yaml.safe_dump([entry], sort_keys=False))


def settings_of(
    recipe: Recipe, policy: str, out: Path, tasks: int, cluster: Cluster, *, checking: bool
) -> dict[str, Value]:
    """verl's own keys -> values, for training on so many tasks with the files in `out`."""
    return {
        **_data(recipe, out, checking=checking),
        **_model(recipe, policy),
        **_learning(recipe),
        **_playing(recipe, out, cluster),
        **_run(recipe, out, tasks, cluster, checking=checking),
    }


def _data(recipe: Recipe, out: Path, *, checking: bool) -> dict[str, Value]:
    train = str(out / "train.parquet")
    return {
        "data.train_files": train,
        # verl opens a held-out set even where it is never asked for one.
        "data.val_files": str(out / "heldout.parquet") if checking else train,
        "data.train_batch_size": recipe.rollouts.tasks,
        "data.max_prompt_length": recipe.rollouts.prompt_tokens,
        "data.max_response_length": recipe.rollouts.response_tokens,
        "data.filter_overlong_prompts": False,
        "data.truncation": "error",
        "data.return_raw_chat": True,
        "data.shuffle": True,
        "data.seed": recipe.seed,
    }


def _model(recipe: Recipe, policy: str) -> dict[str, Value]:
    lora = recipe.lora
    found: dict[str, Value] = {"actor_rollout_ref.model.path": policy}
    if lora is None:
        return found
    return {
        **found,
        "actor_rollout_ref.model.lora_rank": lora.rank,
        "actor_rollout_ref.model.lora_alpha": int(lora.alpha) if lora.alpha == int(lora.alpha) else lora.alpha,
        "actor_rollout_ref.model.target_modules": lora.targets,
        # The generator needs the weights that the adapter is added to; without an adapter it is sent all of them.
        "actor_rollout_ref.rollout.load_format": "safetensors",
    }


def _learning(recipe: Recipe) -> dict[str, Value]:
    loss, optimiser = recipe.loss, recipe.optimiser
    actor = "actor_rollout_ref.actor"
    return {
        "algorithm.adv_estimator": "grpo",
        "critic.enable": False,
        "algorithm.norm_adv_by_std_in_grpo": loss.normalised,
        "algorithm.use_kl_in_reward": False,
        # Without a bound on how often: see the notes. A group without any reward is drawn again likewise.
        "algorithm.filter_groups.enable": recipe.selection.redraws > 0,
        "algorithm.filter_groups.metric": "reward",
        "trainer.v1.sampler.sync_refill_failed_groups": recipe.selection.redraws > 0,
        f"{actor}.ppo_mini_batch_size": optimiser.minibatch or recipe.rollouts.tasks,
        f"{actor}.ppo_epochs": 1,
        f"{actor}.use_dynamic_bsz": True,
        f"{actor}.ppo_max_token_len_per_gpu": max(
            16384, recipe.rollouts.prompt_tokens + recipe.rollouts.response_tokens
        ),
        f"{actor}.clip_ratio": loss.clip_low,
        f"{actor}.clip_ratio_low": loss.clip_low,
        f"{actor}.clip_ratio_high": loss.clip_high,
        f"{actor}.clip_ratio_c": UNCLIPPED,
        f"{actor}.loss_agg_mode": "token-mean" if loss.averaging == "token" else "seq-mean-token-mean",
        f"{actor}.entropy_coeff": 0,
        f"{actor}.use_kl_loss": loss.kl > 0,
        f"{actor}.kl_loss_coef": loss.kl,
        f"{actor}.kl_loss_type": "low_var_kl",
        f"{actor}.data_loader_seed": recipe.seed,
        f"{actor}.grad_clip": optimiser.max_norm,
        f"{actor}.optim.clip_grad": optimiser.max_norm,
        f"{actor}.optim.lr": optimiser.lr,
        f"{actor}.optim.lr_warmup_steps": optimiser.warmup,
        f"{actor}.optim.lr_scheduler_type": "constant",
        f"{actor}.optim.weight_decay": optimiser.weight_decay,
        f"{actor}.optim.betas": (optimiser.beta1, optimiser.beta2),
    }


def _playing(recipe: Recipe, out: Path, cluster: Cluster) -> dict[str, Value]:
    rollouts, checking = recipe.rollouts, recipe.checking
    at = "actor_rollout_ref.rollout"
    return {
        f"{at}.name": cluster.engine,
        f"{at}.n": rollouts.group,
        f"{at}.temperature": rollouts.temperature,
        f"{at}.top_p": 1.0,
        f"{at}.top_k": -1,
        f"{at}.calculate_log_probs": True,
        f"{at}.max_model_len": rollouts.prompt_tokens + rollouts.response_tokens,
        f"{at}.max_num_seqs": rollouts.slots,
        f"{at}.seed": recipe.seed,
        f"{at}.tensor_model_parallel_size": cluster.tensor_parallel,
        f"{at}.gpu_memory_utilization": cluster.memory,
        f"{at}.agent.num_workers": cluster.workers,
        f"{at}.agent.default_agent_loop": AGENT,
        f"{at}.agent.agent_loop_config_path": str(out / "agent.yaml"),
        f"{at}.val_kwargs.n": checking.n,
        f"{at}.val_kwargs.temperature": checking.temperature,
        f"{at}.val_kwargs.do_sample": checking.temperature > 0,
    }


def _run(recipe: Recipe, out: Path, tasks: int, cluster: Cluster, *, checking: bool) -> dict[str, Value]:
    steps = recipe.steps_for(tasks)
    epochs = math.ceil(steps / (tasks // recipe.rollouts.tasks))
    return {
        "trainer.nnodes": cluster.nodes,
        "trainer.n_gpus_per_node": cluster.gpus,
        "trainer.total_training_steps": steps,
        # What is drawn again is taken out of the epochs; the steps say when it ends.
        "trainer.total_epochs": epochs * 100 if recipe.selection.redraws else epochs,
        "trainer.save_freq": recipe.save_every,
        "trainer.max_actor_ckpt_to_keep": recipe.keep,
        "trainer.test_freq": (recipe.checking.every or steps) if checking else -1,
        "trainer.val_before_train": checking,
        "trainer.logger": ("console",),
        "trainer.project_name": "synthagent",
        "trainer.experiment_name": out.name,
        "trainer.default_local_dir": str(out / "checkpoints"),
        "hydra.run.dir": str(out / "hydra"),
    }


def notes_on(recipe: Recipe) -> list[str]:
    """What the recipe asks for and verl 0.9.1 does otherwise, or not at all."""
    data, selection = recipe.data, recipe.selection
    found = [
        (data.reasoning > 0, "data.reasoning: reasoning tasks are mixed as the file has them, not by that share"),
        (data.demonstrations is not None, "data.demonstrations: only noted, here as elsewhere"),
        ((selection.low, selection.high) != (0.0, 1.0),
         "selection.low, selection.high, selection.pool: verl draws tasks in a shuffled order, whatever they earn"),
        (selection.redraws > 0,
         "selection.redraws: verl draws groups that teach nothing again as often as it takes, not so many times"),
        (recipe.optimiser.decay != "constant",
         f"optimiser.decay: verl's FSDP knows constant and cosine, not {recipe.optimiser.decay}; it stays constant"),
        (recipe.dtype != "bfloat16", f"dtype: verl's FSDP computes in bfloat16 or float16, not {recipe.dtype}"),
        (recipe.packed, "packed: verl computes a prompt once an episode, not once a group"),
        (recipe.checking.every == 0, "checking.every: held-out tasks are played before the first and after the last"),
        (True, "seed: orders tasks and seeds users; a turn has a seed of its own only under rollout.full_determinism"),
        (True, "rollouts.group: where only one try has a reward, verl takes that for its advantage, not 0"),
    ]  # fmt: skip
    return [note for holds, note in found if holds]


_PLAIN = re.compile(r"[A-Za-z_/.][\w./-]*\Z")
_WORDS = frozenset({"true", "false", "null", "none", "nan", "inf"})


def said(value: Value) -> str:
    """A value as Hydra's grammar for overrides writes it."""
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case int() | float():
            return repr(value)
        case str():
            return value if _PLAIN.match(value) and value.lower() not in _WORDS else _quoted(value)
        case _:
            return f"[{','.join(said(one) for one in value)}]"


def _quoted(text: str) -> str:
    """In single quotes; a backslash counts only before one of them."""
    escaped = re.sub(r"(\\*)'", lambda found: found[1] * 2 + "\\'", text)
    return "'" + re.sub(r"(\\+)\Z", lambda found: found[1] * 2, escaped) + "'"


def gpu_here() -> bool:
    """Whether this machine shows a GPU, or a cluster that it belongs to does the work."""
    devices = (Path("/dev/nvidiactl"), Path("/dev/kfd"))
    return "RAY_ADDRESS" in os.environ or shutil.which("nvidia-smi") is not None or any(d.exists() for d in devices)


def launch(
    planned: Launch, more: Sequence[str] = (), *, gpu: Callable[[], bool] = gpu_here,
    installed: Callable[[str], object] = find_spec, python: str = sys.executable,
) -> None:  # fmt: skip
    """Runs verl until it ends. `more`: further overrides, which win.

    Raises `InputError` when verl is not installed, no GPU is there, or verl ends with an error.
    """
    if installed("verl") is None:
        raise InputError("verl is not installed", way_out="pip install 'synthagent[verl]' and vllm or sglang")
    if not gpu():
        raise InputError(
            "verl needs a GPU, and there is none here",
            way_out=f"run {planned.folder / 'command.txt'} on the cluster, or set RAY_ADDRESS",
        )
    done = subprocess.run([*planned.command(python), *more], check=False)
    if done.returncode:
        raise InputError(f"verl ended with exit code {done.returncode}", where=str(planned.folder))


def _write(path: Path, text: str) -> None:
    with replacing(path) as write:
        write(text.encode())
