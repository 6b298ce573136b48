"""Episodes inside verl are the ones that every other trainer plays."""

import asyncio
import time
from pathlib import Path

import anyio
import numpy as np
import pytest
import ray
import torch
import verl
import yaml
from hydra import compose, initialize_config_dir
from transformers import AutoTokenizer
from verl.experimental.agent_loop.agent_loop import AgentLoopManager, AgentLoopWorker
from verl.protocol import DataProto
from verl.trainer.ppo.core_algos import compute_grpo_outcome_advantage
from verl.trainer.ppo.utils import need_critic, need_reference_policy
from verl.utils.config import omega_conf_to_dataclass, validate_config
from verl.utils.dataset.rl_dataset import RLHFDataset, collate_fn

from synthagent.errors import Blame, InputError
from synthagent.rollouts.group import Outcome
from synthagent.schema.scores import Scored
from synthagent.simulation.episode import Cast, facts_user, prepare
from synthagent.training.advantages import advantages
from synthagent.training.collecting import Playing, Try
from synthagent.training.hf_tokenizer import HFTokenizer, ends_of
from synthagent.training.policy import Policy
from synthagent.training.recipe import Recipe
from synthagent.training.verl_agent import NoReward, opener, sample_of, stage_of, tasks_of, worth
from synthagent.training.verl_launch import Cluster, Others, launch, write_launch
from tests.tiny import save_tiny
from tests.verl import scripts as scripts_module
from tests.verl.scripts import ScriptedSampler, ScriptedServer, some_tasks, turns_of

CONFIG = Path(verl.__file__).parent / "trainer" / "config"
PROMPT, RESPONSE, GROUP = 12_000, 9_000, 4
RECIPE = Recipe.model_validate(
    {
        "rollouts": {
            "group": GROUP, "tasks": 2, "prompt_tokens": PROMPT, "response_tokens": RESPONSE, "turns": 20,
            "turn_tokens": 600, "temperature": 0.8,
        }
    }
)  # fmt: skip
WAYS = ("reference", "done")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_tiny(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def tasks():
    return some_tasks(2)


@pytest.fixture(scope="module")
def scripts(tasks):
    return {task.brief.instruction: [turns_of(task, way) for way in WAYS] for task in tasks}


def config_for(tasks, recipe, folder, out, *more, others=None):
    """verl's configuration as our launch composes it."""
    planned = write_launch(tasks, recipe, folder, out, cluster=Cluster(workers=2), others=others)
    with initialize_config_dir(str(CONFIG), version_base=None):
        return compose("ppo_trainer", overrides=[*planned.overrides, *more])


def batch_of(config, tokenizer, group=GROUP):
    """Rows as verl's own data set gives them, each as often as a group is large."""
    rows = RLHFDataset(config.data.train_files, tokenizer, config.data)
    batch = DataProto.from_single_dict(collate_fn([rows[n] for n in range(len(rows))]))
    return batch.repeat(group, interleave=True)


def played(config, server, group=GROUP):
    """A batch through one worker in this process, without Ray."""

    async def run():
        worker = AgentLoopWorker(config, server)
        return await worker.generate_sequences(batch_of(config, worker.tokenizer, group))

    return asyncio.run(run())


def ours(task, folder, turns, recipe=RECIPE, sample=0):
    """The same through our own code."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    known = HFTokenizer(tokenizer, ends_of(tokenizer))
    policy = Policy(ScriptedSampler(tokenizer, turns, PROMPT + RESPONSE), known)
    playing = Playing(policy, "native", lambda stage, _, agent: Cast(agent, facts_user(stage)), recipe.rollouts)
    return anyio.run(playing.play, prepare(task), sample, 0)


def parts(output, row):
    """(prompt, response, mask, log-probabilities, reward) of a row without padding."""
    batch = output.batch
    width = batch["prompts"].shape[1]
    there = batch["attention_mask"][row].bool()
    end = int(there[width:].sum())
    return (
        batch["prompts"][row][there[:width]].tolist(),
        batch["responses"][row][:end].tolist(),
        batch["response_mask"][row][:end].tolist(),
        batch["rollout_log_probs"][row][:end].tolist(),
        float(batch["rm_scores"][row].sum()),
    )


def test_a_worker_plays_real_tasks_token_for_token_as_our_own_code_does(folder, tasks, scripts, tmp_path):
    server = ScriptedServer(str(folder), scripts)
    output = played(config_for(tasks, RECIPE, folder, tmp_path), server)
    assert len(output) == 2 * GROUP
    rewards = []
    for row in range(len(output)):
        task = tasks[row // GROUP]
        mine = ours(task, folder, scripts[task.brief.instruction][row % len(WAYS)])
        tokens, start = mine.tokens, mine.tokens.prompt
        prompt, response, mask, logprobs, reward = parts(output, row)
        assert prompt == list(tokens.ids[:start])
        assert response == list(tokens.ids[start:])
        assert mask == list(tokens.mask[start:])
        assert logprobs == pytest.approx(tokens.logprobs[start:])
        assert reward == pytest.approx(mine.reward)
        score = mine.outcome.score
        extra = output.non_tensor_batch
        assert (extra["n"][row], extra["i"][row], extra["gate"][row]) == (score.n, score.i, score.gate)
        assert extra["stop"][row] == mine.outcome.episode.stop
        assert (extra["min_global_steps"][row], extra["max_global_steps"][row]) == (3, 3)
        rewards.append(reward)
    assert 1.0 in rewards, "the reference earns everything"
    assert min(rewards) < 1.0
    asked = server.asked[0]
    assert (asked["temperature"], asked["max_tokens"], asked["top_p"]) == (0.8, 600, 1.0)
    assert asked["stop_token_ids"] == [AutoTokenizer.from_pretrained(folder).eos_token_id]
    assert "seed" not in asked


def test_what_is_too_long_for_verl_is_cut_and_what_is_overlong_may_carry_no_loss(folder, tasks, scripts, tmp_path):
    server = ScriptedServer(str(folder), scripts)
    cut = played(config_for(tasks, RECIPE, folder, tmp_path, "data.max_response_length=40"), server, 1)
    assert cut.batch["responses"].shape == (2, 40)
    mine = ours(tasks[0], folder, scripts[tasks[0].brief.instruction][0]).tokens
    assert parts(cut, 0)[1] == list(mine.ids[mine.prompt : mine.prompt + 40])
    changed = {"loss": {"mask_overlong": True}, "rollouts": {**RECIPE.rollouts.model_dump(), "turns": 1}}
    server = ScriptedServer(str(folder), scripts)
    masked = played(config_for(tasks, Recipe.model_validate(changed), folder, tmp_path), server, 1)
    assert set(masked.non_tensor_batch["stop"]) == {"turn_limit"}
    assert masked.batch["response_mask"].sum() == 0
    assert "rm_scores" in masked.batch


def test_under_full_determinism_every_turn_has_its_own_seed(folder, tasks, scripts, tmp_path):
    server = ScriptedServer(str(folder), scripts)
    settings = config_for(tasks, RECIPE, folder, tmp_path, "actor_rollout_ref.rollout.full_determinism=true")
    played(settings, server)
    seeds = [asked["seed"] for asked in server.asked]
    assert len(set(seeds)) == len(seeds)


@pytest.mark.parametrize(
    ("kwargs", "rollouts", "why"),
    [
        ({"fails": "the server is down"}, {}, "RuntimeError: the server is down"),
        ({"wait": 5.0}, {"seconds": 0.2}, "time_limit"),
    ],
)
def test_a_failure_raises_and_is_never_a_reward(folder, tasks, scripts, tmp_path, kwargs, rollouts, why):
    recipe = Recipe.model_validate({"rollouts": {**RECIPE.rollouts.model_dump(), **rollouts}})
    with pytest.raises(NoReward, match=why):
        played(config_for(tasks, recipe, folder, tmp_path), ScriptedServer(str(folder), scripts, **kwargs))


def test_an_unscored_episode_raises_with_whoever_is_to_blame(folder, tasks, scripts, tmp_path):
    others = Others(opens="tests.verl.scripts:absent", options={"why": "test"})
    config = config_for(tasks, RECIPE, folder, tmp_path, others=others)
    with pytest.raises(NoReward, match="unscored \\(user, gone\\) nobody answers"):
        played(config, ScriptedServer(str(folder), scripts))


def test_who_cannot_be_opened_fails_every_episode(folder, tasks, scripts, tmp_path):
    others = Others(opens="tests.verl.scripts:absent", options={"why": "other"})
    with pytest.raises(AssertionError):
        played(config_for(tasks, RECIPE, folder, tmp_path, others=others), ScriptedServer(str(folder), scripts))
    for name in ("nowhere:nothing", "tests.verl.scripts:nothing", "no colon"):
        with pytest.raises(InputError, match="is not there"):
            opener(name)


def test_a_zero_that_the_agent_did_not_cause_raises(folder, tasks, scripts):
    mine = ours(tasks[0], folder, scripts[tasks[0].brief.instruction][1])
    score = mine.outcome.score
    assert isinstance(score, Scored)
    assert worth(mine) is score
    foreign = score.model_copy(update={"reward": 0.0, "blame": Blame.TOOLS})
    with pytest.raises(NoReward, match="did not cause \\(tools"):
        worth(Try(Outcome(mine.outcome.episode, foreign), mine.tokens))
    with pytest.raises(NoReward, match="wrote nothing"):
        worth(Try(mine.outcome, None))


def test_tasks_are_read_once_a_process_and_a_missing_one_is_named(folder, tasks, tmp_path):
    config_for(tasks, RECIPE, folder, tmp_path)
    file = str(tmp_path / "train.jsonl")
    assert tasks_of(file) is tasks_of(file)
    assert stage_of(file, tasks[0].id) is stage_of(file, tasks[0].id)
    with pytest.raises(InputError, match="no task 0000"):
        stage_of(file, "0000")


def test_a_try_has_the_number_that_verl_gives_it():
    assert sample_of({"session_id": 3, "priority": 9}) == 3
    assert sample_of({"priority": 9}) == 9
    assert sample_of({}) != sample_of({})


@pytest.fixture(scope="module")
def two_workers(tmp_path_factory):
    ray.init(
        num_cpus=2, include_dashboard=False, object_store_memory=150 * 2**20, log_to_driver=False,
        _node_ip_address="127.0.0.1",
    )  # fmt: skip
    # verl's wheel holds a package `tests` too, which a worker would find in place of this one.
    ray.cloudpickle.register_pickle_by_value(scripts_module)
    yield
    ray.shutdown()


def test_two_ray_workers_and_verls_advantages_are_ours(two_workers, folder, tasks, scripts, tmp_path):
    config = config_for(tasks, RECIPE, folder, tmp_path)
    manager = AgentLoopManager.create(config, ScriptedServer(str(folder), scripts))
    output = manager.generate_sequences(batch_of(config, AutoTokenizer.from_pretrained(folder)))
    rewards = output.batch["rm_scores"].sum(-1).tolist()
    groups = [rewards[n : n + GROUP] for n in range(0, len(rewards), GROUP)]
    assert all(len(set(group)) > 1 for group in groups)
    theirs, _ = compute_grpo_outcome_advantage(
        token_level_rewards=output.batch["rm_scores"].clone(),
        response_mask=output.batch["response_mask"],
        index=np.array([task for task in range(len(groups)) for _ in range(GROUP)]),
    )
    mine = [advantage for group in groups for advantage in advantages(group)]
    mask = output.batch["response_mask"].bool()
    for row, advantage in enumerate(mine):
        assert torch.allclose(theirs[row][mask[row]], torch.tensor(advantage), atol=1e-4)
        assert not theirs[row][~mask[row]].any()


def test_a_failure_in_a_ray_worker_reaches_the_trainer(two_workers, folder, tasks, scripts, tmp_path):
    config = config_for(tasks, RECIPE, folder, tmp_path)
    manager = AgentLoopManager.create(config, ScriptedServer(str(folder), scripts, fails="the server is down"))
    with pytest.raises(Exception, match="the server is down"):
        manager.generate_sequences(batch_of(config, AutoTokenizer.from_pretrained(folder)))


def test_verls_own_trainer_gets_groups_without_the_tries_that_failed(two_workers, folder, tasks, scripts, tmp_path):
    """Its default since 0.9: workers put each try into a queue, and a group in which one failed is marked."""
    import transfer_queue
    from verl.trainer.ppo.v1 import AgentLoopManagerTQ
    from verl.utils import tensordict_utils

    config = config_for(
        tasks, RECIPE, folder, tmp_path, "transfer_queue.enable=true",
        "transfer_queue.backend.SimpleStorage.num_data_storage_units=1",
    )  # fmt: skip
    transfer_queue.init(config.transfer_queue)
    try:
        # One task's conversations are all known; of the other, the server knows nothing.
        known = {tasks[0].brief.instruction: scripts[tasks[0].brief.instruction]}
        manager = AgentLoopManagerTQ.create(config, ScriptedServer(str(folder), known))
        rows = RLHFDataset(config.data.train_files, AutoTokenizer.from_pretrained(folder), config.data)
        row = collate_fn([rows[n] for n in range(len(rows))])
        row["uid"] = np.array(["good", "bad"], dtype=object)
        batch = tensordict_utils.get_tensordict(row)
        tensordict_utils.assign_non_tensor_data(batch, "global_steps", 5)
        tags = [{"is_prompt": True, "status": "pending", "global_steps": 5}] * 2
        transfer_queue.kv_batch_put(keys=["good", "bad"], partition_id="train", tags=tags)
        manager.generate_sequences(batch)
        seen = settled("good", "bad")
        assert (seen["good"]["status"], seen["bad"]["status"]) == ("finished", "failure")
        keys = [f"good_{n}_0" for n in range(GROUP)]
        assert sorted(key for key in seen if key not in ("good", "bad")) == keys
        found = transfer_queue.kv_batch_get(keys=keys, partition_id="train")
        mine = [ours(tasks[0], folder, way) for way in scripts[tasks[0].brief.instruction]]
        by_ids = {one.tokens.ids[one.tokens.prompt :]: one for one in mine}
        for place, key in enumerate(keys):
            match = by_ids[tuple(found["responses"][place].tolist())]
            assert float(found["rm_scores"][place].sum()) == pytest.approx(match.reward)
            assert found["response_mask"][place].tolist() == list(match.tokens.mask[match.tokens.prompt :])
            assert seen[key]["min_global_steps"] == 3
    finally:
        transfer_queue.close()


def settled(*uids, seconds=120):
    """The queue's tags once these groups are done."""
    import transfer_queue

    for _ in range(seconds * 2):
        seen = transfer_queue.kv_list(partition_id="train")["train"]
        if all(seen[uid]["status"] in ("finished", "failure") for uid in uids):
            return seen
        time.sleep(0.5)
    raise TimeoutError(str(seen))


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"loss": {"averaging": "sequence", "normalised": False, "kl": 0.01}, "seed": 7},
        {"lora": {"rank": 8}, "checking": {"temperature": 0.0}},
        {"selection": {"redraws": 2}, "optimiser": {"minibatch": 1, "decay": "linear", "warmup": 3}, "epochs": 3.5},
    ],
)
def test_verl_knows_every_key_that_is_written_and_takes_its_value(folder, tasks, tmp_path, changed):
    recipe = RECIPE.model_copy(update=dict(Recipe.model_validate(changed)) | {"rollouts": RECIPE.rollouts})
    config = config_for(tasks, recipe, folder, tmp_path / "a run, it's=new")
    actor = omega_conf_to_dataclass(config.actor_rollout_ref.actor)
    rollout = omega_conf_to_dataclass(config.actor_rollout_ref.rollout)
    model = omega_conf_to_dataclass(config.actor_rollout_ref.model)
    if recipe.lora is None:  # else verl asks vllm
        validate_config(config, use_reference_policy=need_reference_policy(config), use_critic=need_critic(config))
        assert (need_reference_policy(config), need_critic(config)) == (recipe.loss.kl > 0, False)
    assert Path(config.data.train_files).exists()
    assert (actor.clip_ratio_low, actor.clip_ratio_high) == (0.2, 0.28)
    assert actor.ppo_mini_batch_size == (recipe.optimiser.minibatch or 2)
    assert (rollout.n, rollout.temperature, rollout.max_model_len) == (GROUP, 0.8, PROMPT + RESPONSE)
    assert model.lora_rank == (recipe.lora.rank if recipe.lora else 0)
    assert actor.optim.lr == 1e-6
    assert tuple(actor.optim.betas) == (0.9, 0.999)


def test_the_command_itself_starts_verl_with_its_configuration(tasks, tmp_path, capfd):
    planned = write_launch(tasks, RECIPE, "models/small", tmp_path / "a run, it's=new")
    launch(planned, ["--cfg", "job"], gpu=lambda: True)
    told = yaml.safe_load(capfd.readouterr().out)
    assert told["data"]["train_files"] == str(planned.folder / "train.parquet")
    assert told["actor_rollout_ref"]["rollout"]["agent"]["agent_loop_config_path"] == str(planned.folder / "agent.yaml")
    with pytest.raises(InputError, match="exit code 1"):
        launch(planned, ["nothing.of_the_kind=1", "--cfg", "job"], gpu=lambda: True)
