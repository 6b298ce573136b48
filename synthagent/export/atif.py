"""Episodes in the Agent Trajectory Interchange Format, version 1.7, which Harbor and others read.

Format: https://harborframework.com/docs/trajectory-format. One JSON document an episode. What the format has no place
for (score, stop reason, our ids) stands under `extra`.
"""

from typing import Any

import orjson

from synthagent import __version__
from synthagent.schema.episodes import AgentEvent, Episode, FormEvent, ToolEvent, UserEvent
from synthagent.schema.messages import ToolCall
from synthagent.schema.scores import Score, Scored
from synthagent.schema.tasks import Task
from synthagent.simulation.agent import opening, tools_for

SCHEMA_VERSION = "ATIF-v1.7"


def trajectory(task: Task, episode: Episode, score: Score | None) -> dict[str, Any]:
    """An episode as an ATIF document."""
    steps = _Steps()
    for message in opening(task.brief, episode.protocol, task.world.now):
        steps.add(message["role"], message["content"])
    for event in episode.events:
        match event:
            case AgentEvent():
                steps.turn(event, episode.protocol == "tools")
            case ToolEvent():
                steps.result(event.call_id, event.response, {"ok": event.ok})
            case UserEvent() if episode.protocol == "tools":
                steps.result(steps.asked(), event.text, {})
            case UserEvent():
                steps.add("user", event.text)
            case FormEvent():
                steps.corrected(event.error)
    name = f"{task.id}-{episode.sample}"
    return {
        "schema_version": SCHEMA_VERSION,
        "session_id": name,
        "trajectory_id": name,
        "agent": {
            "name": "synthagent",
            "version": __version__,
            "model_name": episode.agent,
            "tool_definitions": tools_for(task.brief, episode.protocol),
        },
        "steps": steps.found,
        "final_metrics": {
            "total_prompt_tokens": episode.usage.prompt,
            "total_completion_tokens": episode.usage.completion,
            "total_steps": len(steps.found),
            "extra": _worth(score),
        },
        "extra": {"task_id": task.id, "sample": episode.sample, "stop": episode.stop.value, "seed": episode.seed},
    }


def _worth(score: Score | None) -> dict[str, Any]:
    """The reward, or why there is none; never a zero for the latter."""
    if isinstance(score, Scored):
        return {"reward": score.reward, "gate": score.gate, "subgoals": score.n, "interactions": score.i}
    return {"reward": None, "blame": score.blame.value if score else None, "reason": score.reason if score else ""}


class _Steps:
    """The steps so far."""

    def __init__(self) -> None:
        self.found: list[dict[str, Any]] = []
        self._calls: list[str] = []
        self._asked: list[str] = []

    def add(self, source: str, message: str) -> dict[str, Any]:
        step = {"step_id": len(self.found) + 1, "source": source, "message": message}
        self.found.append(step)
        self._calls, self._asked = [], []
        return step

    def turn(self, event: AgentEvent, asks: bool) -> None:
        step = self.add("agent", event.text)
        if event.calls:
            step["tool_calls"] = [_call(call) for call in event.calls]
            self._calls = [call.id for call in event.calls]
            self._asked = [call.id for call in event.calls if asks and call.name == "ask_user"]
        if event.usage.prompt or event.usage.completion:
            step["metrics"] = {"prompt_tokens": event.usage.prompt, "completion_tokens": event.usage.completion}

    def asked(self) -> str:
        return self._asked.pop(0)

    def result(self, call_id: str, content: str, extra: dict[str, Any]) -> None:
        found = {"source_call_id": call_id, "content": content, **({"extra": extra} if extra else {})}
        self.found[-1].setdefault("observation", {"results": []})["results"].append(found)
        self._calls = [call for call in self._calls if call != call_id]

    def corrected(self, error: str) -> None:
        """A malformed turn or call: its error answers the call it belongs to, else the turn."""
        if error.startswith("ask_user: ") and self._asked:
            self.result(self.asked(), f"error: {error.removeprefix('ask_user: ')}", {"ok": False})
        elif error.endswith("came after the end and did not run"):
            self.found[-1]["extra"] = {"note": error}
        elif self._calls:
            for call_id in list(self._calls):
                self.result(call_id, f"error: {error}", {"ok": False})
        else:
            self.add("user", f"error: {error}")


def _call(call: ToolCall) -> dict[str, Any]:
    found: dict[str, Any] = {"tool_call_id": call.id, "function_name": call.name}
    try:
        arguments = orjson.loads(call.arguments or "{}")
    except orjson.JSONDecodeError:
        arguments = None
    if isinstance(arguments, dict):
        return {**found, "arguments": arguments}
    return {**found, "arguments": {}, "extra": {"raw": call.arguments}}
