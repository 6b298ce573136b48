"""`serve openenv`: episodes as an OpenEnv environment, one a websocket.

`reset` names a task and gives the opening and the task's own tools, `step` takes an assistant message. The reward comes
with the step that ends the episode; an episode without a score has reward None, and `metadata["score"]` says why.

OpenEnv is imported in this module and nowhere else.
"""

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from pydantic import Field

from synthagent import __version__
from synthagent.errors import InputError
from synthagent.schema.messages import Message
from synthagent.serve.asgi import App
from synthagent.serve.http_api import told
from synthagent.serve.pool import Open, Pool

try:
    from openenv.core.env_server import Action, Environment, Observation, State, create_fastapi_app
    from openenv.core.env_server.types import EnvironmentMetadata
except ImportError as error:
    raise ImportError(f"OpenEnv cannot be imported ({error}): pip install 'synthagent[openenv]'") from error


class TurnAction(Action):
    """One turn of the agent."""

    message: dict[str, Any] = Field(description="An assistant message in OpenAI's form: content, tool_calls.")


class EpisodeObservation(Observation):
    """What the agent gets to see."""

    messages: list[dict[str, Any]] = Field(default=[], description="To be appended to the history.")
    tools: list[dict[str, Any]] = Field(default=[], description="This task's tools, in OpenAI's form; with reset only.")


class EpisodeState(State):
    """Where an episode stands."""

    task_id: str | None = None
    sample: int | None = None
    done: bool = False


def application(pool: Pool, *, sessions: int, detail: bool = True) -> App:
    """The environment's server. Give it to `AsgiServer`, from within the loop that it is to run in."""
    made = partial(EpisodeEnvironment, pool, asyncio.get_running_loop(), detail)
    app: App = create_fastapi_app(
        made,
        TurnAction,
        EpisodeObservation,
        max_concurrent_envs=sessions,
        env_name="synthagent",
        state_cls=EpisodeState,
    )
    return app


class EpisodeEnvironment(Environment[TurnAction, EpisodeObservation, EpisodeState]):
    """Episodes of one connection, one after another."""

    SUPPORTS_CONCURRENT_SESSIONS = True

    def __init__(self, pool: Pool, loop: asyncio.AbstractEventLoop, detail: bool) -> None:
        super().__init__()
        self._pool, self._loop, self._detail = pool, loop, detail
        self._opened: Open | None = None
        self._state = EpisodeState(episode_id=None, step_count=0)

    async def reset_async(
        self, seed: int | None = None, episode_id: str | None = None, task_id: str | None = None,
        split: str | None = None, index: int | None = None, sample: int | None = None, **_: Any,
    ) -> EpisodeObservation:  # fmt: skip
        """Opens an episode: on this task, or on that of this index, or on the next one."""
        await self._leave()
        if task_id is None and index is not None:
            task_id = _at(self._pool, index)
        self._opened = opened = self._pool.open(task_id, sample)
        session = opened.session
        self._state = EpisodeState(
            episode_id=episode_id or secrets.token_hex(8), step_count=0, task_id=session.task.id,
            sample=session.sample,
        )  # fmt: skip
        return EpisodeObservation(messages=list(await session.start()), tools=session.tools)

    async def step_async(self, action: TurnAction, timeout_s: float | None = None, **_: Any) -> EpisodeObservation:
        """Takes a turn. Raises `InputError` before a reset, and after the end was told."""
        opened = self._opened
        if opened is None:
            raise InputError("there is no episode under way", way_out="reset first")
        self._pool.find(opened.id)  # it is in use, and was not given up
        if opened.session.done:  # by the limit of time, before this turn came
            return await self._ended(opened, ())
        async with opened.lock:
            step = await opened.session.step(opened.session.turn(action.message))
        self._state.step_count += 1
        if not step.done:
            return EpisodeObservation(messages=list(step.messages))
        return await self._ended(opened, step.messages)

    async def _ended(self, opened: Open, messages: tuple[Message, ...]) -> EpisodeObservation:
        score = told(await self._pool.close(opened), detail=self._detail)
        self._opened, self._state.done = None, True
        return EpisodeObservation(messages=list(messages), done=True, reward=score["reward"], metadata={"score": score})

    async def _leave(self) -> None:
        opened, self._opened = self._opened, None
        if opened is not None and self._pool.has(opened.id):
            await self._pool.leave(opened)

    def close(self) -> None:
        """The connection is gone. Comes from a thread of OpenEnv's."""
        _in_loop(self._loop, self._leave)

    def reset(self, *_: Any, **__: Any) -> EpisodeObservation:
        """Not used: OpenEnv calls the asynchronous form where there is one."""
        raise NotImplementedError("use reset_async")

    def step(self, *_: Any, **__: Any) -> EpisodeObservation:
        """Not used, as `reset`."""
        raise NotImplementedError("use step_async")

    @property
    def state(self) -> EpisodeState:
        """Where the episode stands."""
        return self._state

    def get_metadata(self) -> EnvironmentMetadata:
        """What this environment is."""
        about = "Tool-use tasks with their own worlds, users and rubrics."
        return EnvironmentMetadata(name="synthagent", description=about, version=__version__)

    def list_splits(self) -> list[str]:
        """The tasks of the file are one split."""
        return [_SPLIT]

    def num_tasks(self, split: str) -> int:
        """How many tasks there are."""
        return len(self._pool.tasks)

    def list_tasks(self, split: str) -> list[dict[str, Any]]:
        """The ids of the tasks, in the order of the file."""
        return [{"id": id_, "index": number} for number, id_ in enumerate(self._pool.tasks)]

    def get_task(self, split: str, index: int) -> dict[str, Any]:
        """One of them. Raises `IndexError`."""
        return self.list_tasks(split)[index]


_SPLIT = "all"


def _at(pool: Pool, index: int) -> str:
    ids = list(pool.tasks)
    if not 0 <= index < len(ids):
        raise InputError(f"index: {index} is not between 0 and {len(ids) - 1}")
    return ids[index]


def _in_loop(loop: asyncio.AbstractEventLoop, work: Callable[[], Awaitable[None]]) -> None:
    """Has something done in the loop, from whatever thread this is, without waiting for it."""
    if not loop.is_closed():
        loop.call_soon_threadsafe(lambda: asyncio.ensure_future(work()))
