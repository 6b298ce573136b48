"""verl's own worker plays the tasks of `tests/wires`, and comes to the rewards of a rollout."""

import asyncio

import anyio
import numpy as np
from verl.experimental.agent_loop.agent_loop import AgentLoopWorker

from synthagent.schema.scores import Scored
from synthagent.serve.sessions import PROTOCOL
from synthagent.training.recipe import Recipe
from tests.tiny import save_tiny
from tests.verl.scripts import ScriptedServer
from tests.verl.test_verl_agent import batch_of, config_for
from tests.verl.wires import scripts_for
from tests.wires.common import COUNT, agree, some_tasks

RECIPE = Recipe.model_validate(
    {
        "rollouts": {
            "group": 2, "tasks": COUNT, "prompt_tokens": 20_000, "response_tokens": 40_000, "turns": 40,
            "turn_tokens": 4000, "protocol": PROTOCOL,
        }
    }
)  # fmt: skip


def test_verl(tmp_path):
    folder, tasks = save_tiny(tmp_path / "tiny"), some_tasks()
    server = ScriptedServer(str(folder), {text: [turns] for text, turns in scripts_for(tasks).items()})
    config = config_for(tasks, RECIPE, folder, tmp_path)

    async def run():
        worker = AgentLoopWorker(config, server)
        rows = batch_of(config, worker.tokenizer, 1)
        rows.non_tensor_batch["session_id"] = np.zeros(len(rows), dtype=object)
        return await worker.generate_sequences(rows)

    output = asyncio.run(run())
    scores = [Scored.model_validate_json(text) for text in output.non_tensor_batch["episode_score"]]
    rewards = output.batch["rm_scores"].sum(-1).tolist()
    assert rewards == [score.reward for score in scores]
    anyio.run(agree, "verl", "verl", [score.model_copy(update={"sample": 0}) for score in scores])
