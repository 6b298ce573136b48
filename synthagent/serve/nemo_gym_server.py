"""Episodes as a NeMo Gym 0.7 resources server, for its gymnasium agent: its model plays, our loop and our rewards.

A folder written by `synthagent export --to nemo-gym` subclasses it with the path of its tasks. NeMo Gym is imported in
this module and nowhere else.
"""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from synthagent.errors import InputError
from synthagent.schema.episodes import Limits
from synthagent.schema.messages import Usage
from synthagent.schema.tasks import Task
from synthagent.serve.http_api import told
from synthagent.serve.sessions import Company, Session
from synthagent.simulation.episode import facts_user, prepare
from synthagent.storage.task_file import read_tasks

try:
    from resources_servers.gymnasium import GymnasiumServer, extract_text
except ImportError as error:
    raise ImportError(f"NeMo Gym cannot be imported ({error}): pip install 'nemo-gym>=0.7,<0.8'") from error

Stepped = tuple[str | None, float, bool, bool, dict[str, Any]]


class EpisodeServer(GymnasiumServer):
    """One episode a session of NeMo Gym's."""

    ray_enabled = False
    FILE: ClassVar[Path]
    LIMITS: ClassVar[Limits] = Limits()

    @cached_property
    def tasks(self) -> Mapping[str, Task]:
        """By their ids."""
        return {task.id: task for task in read_tasks(self.FILE)}

    async def reset(self, metadata: dict[str, Any], session_id: str | None = None) -> tuple[str | None, dict[str, Any]]:
        """Begins the episode that the row names. The row holds the opening, so there is nothing to add."""
        await self.close_session(session_id)
        task = self.tasks.get(metadata.get("task_id", ""))
        if task is None:
            raise InputError(f"there is no task {str(metadata.get('task_id'))[:80]!r} in {self.FILE}")
        stage = prepare(task)
        session = Session(stage, Company(facts_user(stage), self.LIMITS), agent="nemo-gym")
        await session.start()
        self.session_state[session_id] = session
        return None, {}

    async def step(self, action: Any, metadata: dict[str, Any], session_id: str | None = None) -> Stepped:
        """Takes a turn. Raises `RuntimeError` for an episode without a score: that is never a zero."""
        session: Session = self.session_state[session_id]
        turn = session.turn(_message(action))
        if action.usage is not None:
            used = Usage(prompt=action.usage.input_tokens, completion=action.usage.output_tokens)
            turn = turn.model_copy(update={"usage": used})
        step = await session.step(turn)
        if not step.done:
            outputs = [{"call_id": m["tool_call_id"], "output": m["content"]} for m in step.messages]
            return None, 0.0, False, False, {"tool_outputs": outputs}
        score = told(await session.close(), detail=True)
        if score["reward"] is None:
            raise RuntimeError(f"the episode has no score: {score['blame']}: {score['reason']}")
        return None, float(score["reward"]), True, False, {"score": score}

    async def close_session(self, session_id: str | None) -> None:
        """Drops what is still under way."""
        session = self.session_state.pop(session_id, None)
        if session is not None:
            await session.cancel()


def _message(action: Any) -> dict[str, Any]:
    """An answer of the Responses API as an assistant message of chat completions."""
    calls = [
        {"id": item.call_id, "function": {"name": item.name, "arguments": item.arguments}}
        for item in action.output
        if item.type == "function_call"
    ]
    return {"role": "assistant", "content": extract_text(action), "tool_calls": calls}
