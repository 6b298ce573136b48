"""Episodes as a verifiers 0.4 taskset and harness: its model plays, our loop and our rewards.

A package written by `synthagent export --to verifiers` subclasses the two with the path of its tasks. The harness runs
in process, without a container: every turn is asked of verifiers' interception endpoint, which records it.

verifiers is imported in this module and nowhere else.
"""

from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

import orjson

from synthagent.schema.episodes import Limits
from synthagent.schema.messages import AssistantTurn, Message, Usage
from synthagent.schema.tasks import Task
from synthagent.serve.http_api import told
from synthagent.serve.sessions import PROTOCOL, Company, Session
from synthagent.simulation.agent import assistant_message, opening
from synthagent.simulation.episode import facts_user, prepare
from synthagent.storage.task_file import read_tasks

try:
    import verifiers.v1 as vf
    from verifiers.v1.runtimes import ProgramResult
except ImportError as error:
    raise ImportError(f"verifiers cannot be imported ({error}): pip install 'verifiers>=0.4,<0.5'") from error

KEY = "synthagent"
"""Where an episode's score stands in a trace's `info`."""


class EpisodeData(vf.TaskData):
    """What a trace keeps of a task: its id, and the opening."""

    tasks_file: str
    """Where the whole task is; the trace holds nothing of it that the agent must not see."""


class EpisodeTask(vf.Task[EpisodeData]):
    """A task of ours. Its reward was decided when the episode ended."""

    @property
    def key(self) -> str:
        """The task's own id."""
        return str(self.data.id)

    @vf.reward(weight=1.0)
    async def reward(self, trace: vf.Trace) -> float:
        """Our reward. Raises `RuntimeError` for an episode without one: that is never a zero."""
        score = trace.info.get(KEY) or {"reward": None, "blame": "infrastructure", "reason": "never_scored"}
        if score["reward"] is None:
            raise RuntimeError(f"the episode has no score: {score['blame']}: {score['reason']}")
        return float(score["reward"])

    @vf.metric
    async def parts(self, trace: vf.Trace) -> dict[str, float]:
        """What the reward is made of, as far as there is anything."""
        score = trace.info.get(KEY) or {}
        names = ("gate", "subgoals", "interactions")
        return {name: float(score[name]) for name in names if score.get(name) is not None}


class EpisodeTaskset(vf.Taskset[EpisodeTask, vf.TasksetConfig]):
    """The tasks of a file."""

    FILE: ClassVar[Path]

    def load(self) -> Iterator[EpisodeTask]:
        """One by one. Raises `InputError` for a file that is none."""
        for task in read_tasks(self.FILE):
            system, user = (message["content"] for message in opening(task.brief, PROTOCOL, task.world.now))
            data = EpisodeData(id=task.id, prompt=user, system_prompt=system, tasks_file=str(self.FILE))
            yield EpisodeTask(data, self.config.task)


class EpisodeHarnessConfig(vf.HarnessConfig):
    """How an episode is cut."""

    turns: int = Limits().turns
    tokens: int = Limits().tokens
    seconds: float = Limits().seconds
    request_timeout: float = 600.0
    """Seconds that one turn of the model may take."""


class EpisodeHarness(vf.Harness[EpisodeHarnessConfig]):
    """Plays an episode against verifiers' endpoint."""

    NEEDS_CONTAINER = False
    EXECUTES_CODE = False
    APPENDS_SYSTEM_PROMPT = True

    async def launch(
        self, ctx: vf.ModelContext, trace: vf.Trace, runtime: Any, endpoint: str, secret: str,
        mcp_urls: Mapping[str, str], data: EpisodeData,
    ) -> ProgramResult:  # fmt: skip
        """One episode to its end. What its endpoint refuses ends it, and raises unless verifiers wanted that."""
        from aiohttp import ClientSession, ClientTimeout

        session = self._session(data)
        try:
            async with ClientSession(
                headers={"Authorization": f"Bearer {secret}"}, timeout=ClientTimeout(self.config.request_timeout)
            ) as client:
                history = list(await session.start())
                while not session.done:
                    message = await _asked(client, endpoint, {
                        "model": ctx.model, "messages": history, "tools": session.tools,
                    })  # fmt: skip
                    if message is None and trace.stop_condition is not None:
                        break  # verifiers' own limit: the episode is scored as it stands
                    if message is None:
                        raise RuntimeError("the model's endpoint refused a turn")
                    turn, written = _turn(session, message)
                    step = await session.step(turn)
                    history += [written, *step.messages]
            trace.info[KEY] = told(await session.close(), detail=True)
        finally:
            await session.cancel()
        return ProgramResult(exit_code=0, stdout="", stderr="")

    def _session(self, data: EpisodeData) -> Session:
        task = _tasks_of(data.tasks_file)[str(data.id)]
        limits = Limits(turns=self.config.turns, tokens=self.config.tokens, seconds=self.config.seconds)
        stage = prepare(task)
        return Session(stage, Company(facts_user(stage), limits), agent="verifiers")


@lru_cache(maxsize=4)
def _tasks_of(path: str) -> Mapping[str, Task]:
    return {task.id: task for task in read_tasks(Path(path))}


async def _asked(client: Any, endpoint: str, body: Mapping[str, Any]) -> dict[str, Any] | None:
    """The endpoint's answer, one choice with what it cost; None where it refuses."""
    url = f"{endpoint.rstrip('/')}/chat/completions"
    async with client.post(url, data=orjson.dumps(body), headers={"Content-Type": "application/json"}) as response:
        if response.status != 200:
            return None
        answer = orjson.loads(await response.read())
    found: dict[str, Any] = {**answer["choices"][0], "usage": answer.get("usage") or {}}
    return found


def _turn(session: Session, choice: Mapping[str, Any]) -> tuple[AssistantTurn, Message]:
    """A choice as a turn, and as the history has it: as the model wrote it, so that no token of it changes."""
    message, usage = choice["message"], choice["usage"]
    turn = session.turn({"content": message.get("content"), "tool_calls": message.get("tool_calls")})
    turn = turn.model_copy(
        update={
            "truncated": choice.get("finish_reason") == "length",
            "usage": Usage(prompt=usage.get("prompt_tokens") or 0, completion=usage.get("completion_tokens") or 0),
        }
    )
    written = assistant_message(turn.content, turn.tool_calls)
    if message.get("reasoning_content"):
        written["reasoning_content"] = message["reasoning_content"]
    return turn, written
