"""The agents and tasks of `tests/wires`, as text that a trainer's stand-in for a generator writes token by token."""

from collections.abc import Mapping, Sequence
from typing import Any

import anyio

from synthagent.schema.episodes import AgentEvent, Limits
from synthagent.schema.tasks import Task
from synthagent.serve.sessions import PROTOCOL
from synthagent.simulation.episode import Cast, facts_user, play, prepare
from synthagent.training.sampling import Sampled, Wish
from tests.verl.scripts import Turns, logprobs_for, turn_at, written
from tests.wires.common import agent_for


def turns_of(number: int, task: Task) -> Turns:
    """What the agent of the n-th task says in it."""
    stage = prepare(task)
    cast = Cast(agent_for(number, task), facts_user(stage), PROTOCOL)
    played = anyio.run(play, stage, cast, Limits())
    return tuple(written(event) for event in played.episode.events if isinstance(event, AgentEvent))


def scripts_for(tasks: Sequence[Task]) -> dict[str, Turns]:
    """Instruction -> turns."""
    return {task.brief.instruction: turns_of(number, task) for number, task in enumerate(tasks)}


class TaskSampler:
    """Samples what is written for the task that a conversation is about."""

    length = 60_000

    def __init__(self, tokenizer: Any, scripts: Mapping[str, Turns], ends: Sequence[int]):
        self._tokenizer, self._scripts, self._ends = tokenizer, scripts, ends

    async def sample(self, key: Any, ids: Sequence[int], wish: Wish) -> Sampled:
        text = self._tokenizer.decode(list(ids))
        turns = next(turns for instruction, turns in self._scripts.items() if instruction in text)
        found = turn_at(self._tokenizer, ids, turns)[: wish.max_tokens]
        return Sampled(tuple(found), tuple(logprobs_for(found)), found[-1] in self._ends)

    def release(self, key: Any) -> None:
        pass
