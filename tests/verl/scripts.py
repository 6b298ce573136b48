"""Turns that are known beforehand, written as tokens by what stands in for verl's generator. Sent to Ray's workers."""

import asyncio
from collections.abc import AsyncIterator, Hashable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import anyio
import orjson

from synthagent.errors import UserFailed
from synthagent.schema.episodes import AgentEvent, Limits
from synthagent.schema.tasks import Task
from synthagent.simulation.episode import Cast, facts_user, play, prepare
from synthagent.simulation.scripted_agents import scripted
from synthagent.synthesis.personas import shipped as personas
from synthagent.synthesis.procedural.domain import shipped
from synthagent.synthesis.procedural.teacher import families
from synthagent.training.sampling import Sampled, Wish

LIMITS = Limits(turns=40)
HEAD = "<|im_start|>assistant\n"
END = "<|im_end|>"
Turns = tuple[str, ...]
Scripts = Mapping[str, Sequence[Turns]]
"""Instruction of a task -> the ways of playing it, taken in turn by the conversations about it."""


def some_tasks(count: int) -> list[Task]:
    """Tasks of different families, with different tools."""
    made = families(shipped(), personas(), 3)
    return [next(made).tasks[0] for _ in range(count)]


def turns_of(task: Task, agent: str) -> Turns:
    """What a scripted agent says in a task, in the form in which a small model would write it."""
    stage = prepare(task)
    played = anyio.run(play, stage, Cast(scripted(agent, stage), facts_user(stage)), LIMITS)
    return tuple(written(event) for event in played.episode.events if isinstance(event, AgentEvent))


def written(event: AgentEvent) -> str:
    """A turn as text."""
    calls = [
        f"<tool_call>{orjson.dumps({'name': c.name, 'arguments': orjson.loads(c.arguments)}).decode()}</tool_call>"
        for c in event.calls
    ]
    return "\n".join(filter(None, [event.text, *calls])) + END


def logprobs_for(ids: Sequence[int]) -> list[float]:
    """Made up, and the same everywhere."""
    return [-((token * 7 + place) % 13 + 1) / 8 for place, token in enumerate(ids)]


def turn_at(tokenizer: Any, ids: Sequence[int], turns: Turns) -> list[int]:
    """The turn that comes after these tokens; the last one again when all are spent."""
    number = tokenizer.decode(list(ids)).count(HEAD) - 1
    return list(tokenizer.encode(turns[min(number, len(turns) - 1)], add_special_tokens=False))


class ScriptedServer:
    """Stands in for verl's `LLMServerClient`."""

    def __init__(self, folder: str, scripts: Scripts, *, wait: float = 0.0, fails: str = ""):
        self.folder, self.scripts, self.wait, self.fails = folder, scripts, wait, fails
        self.tokenizer: Any = None
        self.taken: dict[str, Turns] = {}
        self.begun = dict.fromkeys(scripts, 0)
        self.asked: list[dict[str, Any]] = []

    async def generate(
        self, request_id: str, *, prompt_ids: list[int], sampling_params: dict[str, Any], **_: Any
    ) -> Any:
        from transformers import AutoTokenizer
        from verl.workers.rollout.replica import TokenOutput

        self.tokenizer = self.tokenizer or AutoTokenizer.from_pretrained(self.folder)
        self.asked.append(sampling_params)
        await asyncio.sleep(self.wait)
        if self.fails:
            raise RuntimeError(self.fails)
        if request_id not in self.taken:
            text = self.tokenizer.decode(prompt_ids)
            task = next(instruction for instruction in self.scripts if instruction in text)
            ways = self.scripts[task]
            self.taken[request_id] = ways[self.begun[task] % len(ways)]
            self.begun[task] += 1
        ids = turn_at(self.tokenizer, prompt_ids, self.taken[request_id])[: sampling_params["max_tokens"]]
        return TokenOutput(
            token_ids=ids, log_probs=logprobs_for(ids), stop_reason="completed", num_preempted=0,
            extra_fields={"global_steps": 3, "min_global_steps": 3, "max_global_steps": 3},
        )  # fmt: skip


class ScriptedSampler:
    """The same turns for our own code, without verl."""

    def __init__(self, tokenizer: Any, turns: Turns, length: int):
        self._tokenizer, self._turns, self.length = tokenizer, turns, length

    async def sample(self, key: Hashable, ids: Sequence[int], wish: Wish) -> Sampled:
        found = turn_at(self._tokenizer, ids, self._turns)[: wish.max_tokens]
        return Sampled(tuple(found), tuple(logprobs_for(found)), found[-1] == self._tokenizer.eos_token_id)

    def release(self, key: Hashable) -> None:
        pass


class Absent:
    """A user who is not to be reached."""

    name = "absent"

    async def reply(self, message: str) -> Any:
        raise UserFailed("nobody answers", reason="gone")


@asynccontextmanager
async def absent(protocol: Any, form: Any, seed: int, why: str) -> AsyncIterator[Any]:
    """Opened in a worker by its name, as the agent loop's YAML has it."""
    assert why == "test"
    yield lambda stage, sample, agent: Cast(agent, Absent(), protocol, form)
