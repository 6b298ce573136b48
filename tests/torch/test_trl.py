"""TRL learns from what we play: the same ids, masks, log-probabilities and rewards, and every switch of a recipe."""

from importlib.util import find_spec

import pytest

if find_spec("trl") is None:
    pytest.skip("needs trl: make test-train brings it", allow_module_level=True)

import signal
import subprocess
import sys
import time

import anyio
import anyio.to_thread
import torch

from synthagent.errors import Blame, InputError
from synthagent.rollouts.group import Outcome
from synthagent.schema.scores import Unscored
from synthagent.simulation.agent import Agent
from synthagent.simulation.episode import Cast, Stage, facts_user, prepare
from synthagent.storage.task_file import write_tasks
from synthagent.synthesis.personas import shipped as personas
from synthagent.synthesis.procedural.domain import shipped
from synthagent.synthesis.procedural.teacher import families
from synthagent.training.advantages import advantages
from synthagent.training.collecting import Playing, Try
from synthagent.training.job import Job
from synthagent.training.loading import load, weights
from synthagent.training.metrics import StepLine
from synthagent.training.policy import Policy
from synthagent.training.recipe import Recipe
from synthagent.training.sampling import Sampled
from synthagent.training.train_folder import (
    HELDOUT,
    METRICS,
    POLICY,
    Interrupted,
    TrainFolder,
    TrainManifest,
    checkpoints,
    latest,
    state_of,
)
from synthagent.training.trl_rows import row_of
from synthagent.training.trl_settings import (
    at_once,
    lora_of,
    notes_on,
    refuse,
    refuse_version,
    settings_of,
    updates_a_step,
)
from synthagent.training.trl_shim import config_of
from synthagent.training.trl_trainer import practice_of, save
from tests.commands import synthagent
from tests.tiny import save_tiny

pytestmark = [
    # transformers 5.24 renamed it, and asks its own models by the old name.
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"),
    pytest.mark.filterwarnings("ignore:.*torch.jit.*is deprecated:DeprecationWarning"),
]

ROLLOUTS = {
    "group": 3, "tasks": 2, "turns": 2, "turn_tokens": 8, "response_tokens": 600, "prompt_tokens": 5000,
    "malformed": 2, "slots": 6,
}  # fmt: skip
BASE = {"steps": 2, "save_every": 1, "dtype": "float32", "rollouts": ROLLOUTS, "optimiser": {"lr": 1e-3}}


def recipe(**parts):
    return Recipe.model_validate({**BASE, **parts})


@pytest.fixture(scope="module")
def policy(tmp_path_factory):
    return save_tiny(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def tasks():
    """Those with the shortest openings: to the tiny model a letter is a token."""
    made = families(shipped(), personas(), 3)
    found = [task for _ in range(12) for task in next(made).tasks]
    return sorted(found, key=lambda task: len(task.brief.model_dump_json()))[:4]


def facts(stage: Stage, _: int, agent: Agent) -> Cast:
    return Cast(agent, facts_user(stage), "text", "native")


def folder_at(path, asked: Recipe, steps: int, *, resume=False) -> TrainFolder:
    manifest = TrainManifest(
        command="", version="", trainer="trl", policy="", policy_sha256="", tasks_file="", tasks_sha256="",
        tool_form="native", steps=steps, seed=asked.seed, recipe=asked,
    )  # fmt: skip
    return TrainFolder.open(path, manifest, resume=resume)


def trained(path, policy, tasks, asked, *, stop=lambda: None, heldout=None, resume=False, tell=lambda _: None):
    """A run whose rewards go by sample, since a random model would earn nothing."""
    steps = asked.steps_for(len(tasks))
    found = weights(policy, torch.float32)
    sampler = found.sampler(slots=6, length=5600)
    playing = Judged(Policy(sampler, found.tokenizer), "native", facts, asked.rollouts)

    async def run(job):
        practice = practice_of(job, found, playing, sampler.weights_changed)
        await anyio.to_thread.run_sync(practice.run)
        save(practice, found)

    with folder_at(path, asked, steps, resume=resume) as folder:
        anyio.run(run, Job(policy, "native", tasks, heldout or {}, asked, steps, folder, facts, stop, tell))
    return list(latest(path / METRICS, StepLine, "step"))


def same(one, two):
    """The lines of two runs, without what a clock says."""
    clocks = {"generating": 0.0, "learning": 0.0}
    return [line.model_copy(update=clocks) for line in one] == [line.model_copy(update=clocks) for line in two]


class Scripted:
    """A sampler whose turns are a function of conversation and seed: no model."""

    length = 16_000

    def __init__(self, tokenizer, written=("I need more.", "Cancelled.", "No, sorry.")):
        self._turns = [(*tokenizer.encode(text), *tokenizer.ends) for text in written]

    async def sample(self, key, ids, wish):
        turn = self._turns[(len(ids) + wish.seed) % len(self._turns)]
        return Sampled(turn, tuple(-0.25 - 0.01 * n for n in range(len(turn))), True)

    def release(self, key):
        pass


REWARDS = (1.0, 0.0, None, 0.5)


class Judged(Playing):
    """Playing, with rewards by sample: a random model would earn nothing."""

    async def play(self, stage, sample, seed, temperature=None):
        found = await Playing.play(self, stage, sample, seed, temperature)
        return judged(found, sample)


def judged(one: Try, sample: int) -> Try:
    reward, score = REWARDS[sample % len(REWARDS)], one.outcome.score
    if reward is None:
        lost = Unscored(task_id=score.task_id, sample=sample, rubric_id="r", blame="infrastructure", reason="test")
        return Try(Outcome(one.outcome.episode, lost), one.tokens)
    return Try(
        Outcome(one.outcome.episode, score.model_copy(update={"reward": reward, "blame": Blame.AGENT})), one.tokens
    )


class Died(Exception):
    """Stands in for a process that is killed."""


def seen_by_trl(path, policy, tasks, asked):
    """Every batch as TRL has it, and the step's own groups, with a scripted policy."""
    found = weights(policy, torch.float32)
    batches = []
    playing = Judged(Policy(Scripted(found.tokenizer), found.tokenizer), "native", facts, asked.rollouts)

    async def run(job):
        practice = practice_of(job, found, playing, lambda: None, batches.append)
        await anyio.to_thread.run_sync(practice.run)
        return practice.collected

    with folder_at(path, asked, 1) as folder:
        job = Job(policy, "native", tasks, {}, asked, 1, folder, facts, lambda: None)
        collected = anyio.run(run, job)
    return batches, collected, playing


def test_trl_has_what_our_own_rollouts_have(policy, tasks, tmp_path):
    asked = recipe(steps=1, rollouts={**ROLLOUTS, "group": 4})
    (batch,), collected, playing = seen_by_trl(tmp_path / "run", policy, tasks, asked)
    rows = 0
    for group in collected.groups:
        worth = advantages(group.rewards)
        for sample, advantage in enumerate(worth):
            ours = anyio.run(playing.play, prepare(group.task), sample, asked.seed * 1_000_003 + 1)
            ids, start = list(ours.tokens.ids), ours.tokens.prompt
            prompt = batch["prompt_ids"][rows][batch["prompt_mask"][rows].bool()].tolist()
            kept = batch["completion_mask"][rows].bool()
            assert prompt + batch["completion_ids"][rows][kept].tolist() == ids
            mask = batch["tool_mask"][rows][kept].tolist()
            assert mask == (list(ours.tokens.mask[start:]) if ours.reward is not None else [0] * len(mask))
            logprobs = batch["sampling_per_token_logps"][rows][kept].tolist()
            assert logprobs == pytest.approx(ours.tokens.logprobs[start:])
            assert ours.reward == group.rewards[sample] == REWARDS[sample]
            # TRL adds 1e-4 to the standard deviation.
            assert batch["advantages"][rows].item() == pytest.approx(advantage or 0.0, abs=1e-3)
            rows += 1
    assert rows == 8


def test_without_a_reward_there_is_no_advantage_and_no_loss_token(policy, tasks, tmp_path):
    asked = recipe(steps=1, rollouts={**ROLLOUTS, "group": 4})
    (batch,), _, _ = seen_by_trl(tmp_path / "run", policy, tasks, asked)
    for row in (2, 6):
        assert batch["advantages"][row] == 0.0
        assert batch["tool_mask"][row][batch["completion_mask"][row].bool()].sum() == 0
    carrying = (batch["completion_mask"] * batch["tool_mask"]).sum()
    assert batch["num_items_in_batch"] == carrying > 0


def test_an_episode_in_which_the_policy_wrote_nothing_is_a_token_that_carries_nothing(policy, tasks):
    found = weights(policy, torch.float32)
    playing = Playing(Policy(Scripted(found.tokenizer), found.tokenizer), "native", facts, recipe().rollouts)
    one = anyio.run(playing.play, prepare(tasks[0]), 0, 1)
    row = row_of(Try(one.outcome, None), learnt=True, end=7)
    assert (row.prompt, row.completion, row.mask, row.logprobs, row.reward) == ((7,), (7,), (0,), (0.0,), None)


def test_two_steps_run_and_every_figure_is_there(policy, tasks, tmp_path):
    asked = recipe(checking={"every": 1}, loss={"kl": 0.05})
    lines = trained(tmp_path / "run", policy, tasks, asked, heldout={"held": tasks[:1]})
    assert [line.step for line in lines] == [1, 2]
    for line in lines:
        assert line.logprob_gap < 1e-4
        assert min(line.grad_norm, line.lr, line.entropy, line.learnt, line.generated) > 0
        assert line.learning > 0
        assert (line.groups, line.played.episodes) == (2, 6)
    assert lines[0].kl == pytest.approx(0, abs=1e-5)
    assert min(lines[1].kl, abs(lines[1].loss)) > 0
    held = (tmp_path / "run" / HELDOUT).read_text().splitlines()
    assert len(held) == 3
    before = load(policy).sampler.model.state_dict()
    after = load(tmp_path / "run" / POLICY).sampler.model.state_dict()
    assert before.keys() == after.keys()
    assert any(not torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize("averaging", ["token", "sequence"])
def test_a_run_that_dies_and_is_resumed_ends_like_one_that_does_not(policy, tasks, tmp_path, averaging):
    asked = recipe(steps=3, loss={"averaging": averaging})
    whole = trained(tmp_path / "whole", policy, tasks, asked)

    def die(line):
        if line.step == 2:  # its line is written, its checkpoint is not
            raise Died

    with pytest.raises(Died):
        trained(tmp_path / "died", policy, tasks, asked, tell=die)
    assert [state_of(one).step for one in checkpoints(tmp_path / "died")] == [1]
    resumed = trained(tmp_path / "died", policy, tasks, asked, resume=True)
    assert same(whole, resumed)
    one, two = (load(tmp_path / name / POLICY).sampler.model.state_dict() for name in ("whole", "died"))
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_told_to_stop_it_keeps_the_last_whole_step(policy, tasks, tmp_path):
    asked = recipe(steps=3, save_every=3)
    whole = trained(tmp_path / "whole", policy, tasks, asked)
    done = []

    def stop():
        if done:
            raise Interrupted

    with pytest.raises(Interrupted):
        trained(tmp_path / "stopped", policy, tasks, asked, stop=stop, tell=lambda line: done.append(line.step))
    assert [state_of(one).step for one in checkpoints(tmp_path / "stopped")] == [1]
    assert same(whole, trained(tmp_path / "stopped", policy, tasks, asked, resume=True))


def test_a_signal_ends_the_command_with_a_checkpoint(policy, tasks, tmp_path):
    write_tasks(tmp_path / "tasks.jsonl", tasks)
    (tmp_path / "r.toml").write_text(
        'steps = 500\nsave_every = 400\ndtype = "float32"\n[rollouts]\ngroup = 2\ntasks = 1\nturns = 1\n'
        "turn_tokens = 4\nprompt_tokens = 5000\nresponse_tokens = 400\nslots = 2\n"
    )
    words = ["train", "tasks.jsonl", "--policy", str(policy), "--config", "r.toml", "--trainer", "trl", "--out", "out"]
    command = [sys.executable, "-m", "synthagent.cli.main", *words, "--threads", "1"]
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    for _ in range(1200):
        if (tmp_path / "out" / METRICS).exists() or process.poll() is not None:
            break
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=120)
    assert (process.returncode, "interrupted" in said) == (130, True), said
    (kept,) = checkpoints(tmp_path / "out")
    assert state_of(kept).step >= 1


def test_what_teaches_nothing_moves_nothing(policy, tasks, tmp_path):
    asked = recipe(steps=1, loss={"mask_overlong": True})  # a random model always comes to a limit
    (line,) = trained(tmp_path / "run", policy, tasks, asked)
    assert (line.loss, line.grad_norm) == (0.0, 0.0)
    one, two = (load(path).sampler.model.state_dict() for path in (policy, tmp_path / "run" / POLICY))
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_updates_within_a_step(policy, tasks, tmp_path):
    asked = recipe(steps=2, optimiser={"lr": 1e-3, "minibatch": 1, "warmup": 2, "decay": "linear"})
    lines = trained(tmp_path / "run", policy, tasks, asked)
    assert [line.lr for line in lines] == [pytest.approx(asked.optimiser.rate(done, 4)) for done in (1, 3)]
    assert [state_of(one).step for one in checkpoints(tmp_path / "run")] == [1, 2]


def test_adapters_run_a_step_and_become_weights(policy, tasks, tmp_path):
    asked = recipe(steps=1, dtype="bfloat16", lora={"rank": 2, "alpha": 4, "targets": ["q_proj", "v_proj"]})
    (line,) = trained(tmp_path / "run", policy, tasks, asked)
    assert line.played.unscored == pytest.approx(1 / 3)
    assert line.grad_norm > 0
    assert line.logprob_gap < 0.05
    one, two = (load(path).sampler.model.state_dict() for path in (policy, tmp_path / "run" / POLICY))
    assert one.keys() == two.keys()
    held = tmp_path / "tasks.jsonl"
    write_tasks(held, tasks[:1])
    (tmp_path / "s.toml").write_text("max_tokens = 4\n[limits]\nturns = 1\n")
    words = ("--agent", f"hf:{tmp_path / 'run' / POLICY}", "--config", tmp_path / "s.toml", "--json")
    done = synthagent("rollout", held, *words, "--out", tmp_path / "r")
    assert done.code == 0, done.err


def test_every_switch_of_a_recipe_arrives(tmp_path):
    asked = Recipe.model_validate({
        "seed": 7, "save_every": 3, "dtype": "float32",
        "rollouts": {"group": 4, "tasks": 6, "temperature": 0.9, "response_tokens": 1000, "prompt_tokens": 1000},
        "loss": {"clip_low": 0.1, "clip_high": 0.3, "averaging": "sequence", "normalised": False, "kl": 0.02},
        "optimiser": {"lr": 2e-5, "beta1": 0.8, "beta2": 0.95, "weight_decay": 0.1, "max_norm": 0.5, "minibatch": 2},
        "lora": {"rank": 8, "alpha": 16, "targets": ["q_proj"]},
    })  # fmt: skip
    assert (updates_a_step(asked), at_once(asked)) == (3, 4)
    config = config_of(settings_of(asked, 10, tmp_path, gpu=False))
    expected = {
        "num_generations": 4, "temperature": 0.9, "beta": 0.02, "epsilon": 0.1, "epsilon_high": 0.3,
        "loss_type": "grpo", "scale_rewards": "none", "mask_truncated_completions": False, "learning_rate": 2e-5,
        "adam_beta1": 0.8, "adam_beta2": 0.95, "weight_decay": 0.1, "max_grad_norm": 0.5, "seed": 7, "bf16": False,
        "max_steps": 30, "save_steps": 9, "use_cpu": True, "per_device_train_batch_size": 4,
        "gradient_accumulation_steps": 2, "generation_batch_size": 24, "steps_per_generation": 6,
        "max_completion_length": 1000, "gradient_checkpointing": False,
    }  # fmt: skip
    assert {name: getattr(config, name) for name in expected} == expected
    adapters = lora_of(asked)
    assert adapters is not None
    assert (adapters["r"], adapters["lora_alpha"], adapters["target_modules"]) == (8, 16, ["q_proj"])
    plain = settings_of(Recipe(), 10, tmp_path, gpu=True)
    assert (plain["loss_type"], plain["scale_rewards"], plain["bf16"], plain["use_cpu"]) == (
        "dapo", "group", True, False,
    )  # fmt: skip
    assert lora_of(Recipe()) is None


def test_what_trl_does_otherwise_is_said():
    said = notes_on(Recipe.model_validate({"optimiser": {"minibatch": 2, "weight_decay": 0.1}}))
    for key in ("loss.normalised", "optimiser.minibatch", "optimiser.weight_decay", "packed", "dtype"):
        assert any(note.startswith(f"{key}:") for note in said)
    quiet = {"packed": False, "dtype": "float32", "loss": {"normalised": False}}
    assert notes_on(Recipe.model_validate(quiet)) == []


def test_what_trl_cannot_do_is_refused():
    with pytest.raises(InputError, match="8 groups do not divide by 3"):
        refuse(Recipe.model_validate({"optimiser": {"minibatch": 3}}), ())
    with pytest.raises(InputError, match="'paper' is not one of tensorboard, trackio"):
        refuse(Recipe(), ("paper",))
    with pytest.raises(InputError, match="trackio is not installed"):
        refuse(Recipe(), ("trackio",), installed=lambda _: None)
    refuse_version()
    with pytest.raises(InputError, match=r"TRL 1\.17\.0 is installed, and it takes >=1"):
        refuse_version(lambda _: "1.17.0")
