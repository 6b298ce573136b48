"""An endpoint that knows TAU-2's answers: as the agent and as the user it performs a task's gold actions in turn.

For tests of the whole way from an endpoint to a score. It keeps nothing between requests, so any number of
conversations may run at once: both sides write into what they say which task this is, and how many actions are done.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synthagent.llm.model import ChatReply
from synthagent.llm.scripted import calling

_PLACE = re.compile(r"\[case (\d+), step (\d+)\]")
_DONE = "All done."
_STOP = "That is all. ###STOP###"


@dataclass(frozen=True, slots=True)
class _Case:
    scenario: str
    """What the user is told, with every space the same."""
    actions: Sequence[Mapping[str, Any]]
    told: str
    """What the agent must have said."""


class Tau2Oracle:
    """Replies to chat requests of the model names `agent` and `user`.

    `domains` is TAU-2's folder of domains. With `idle`, the agent says one sentence, and the user ends.
    """

    def __init__(self, domains: Path, names: Sequence[str], *, idle: bool = False):
        self._cases = [case for name in names for case in _cases(domains / name)]
        self._idle = idle

    def __call__(self, body: dict[str, Any]) -> ChatReply:
        """Raises `LookupError` for a conversation that is none of TAU-2's."""
        messages = body["messages"]
        side = "user" if body["model"].endswith("user") else "assistant"
        if side == "user" and not any(_PLACE.search(str(message.get("content"))) for message in messages):
            return ChatReply(content=f"Hello, I need some help. [case {self._told(messages[0]['content'])}, step 0]")
        number, step = _place(messages)
        case = self._cases[number]
        place = f"[case {number}, step {step}]"
        if self._idle:
            return ChatReply(content=f"{_DONE if side == 'assistant' else _STOP} {place}")
        if step < len(case.actions):
            action = case.actions[step]
            if action.get("requestor", "assistant") == side:
                return calling((action["name"], action["arguments"]))
            return ChatReply(content=f"Please go on. {place}")
        if side == "assistant":
            return ChatReply(content=f"{_DONE} {case.told} {place}")
        done = any(_DONE in str(message.get("content")) for message in messages)
        return ChatReply(content=f"{_STOP} {place}" if done else f"Please go on. {place}")

    def _told(self, prompt: str) -> int:
        text = " ".join(prompt.split())
        found = [number for number, case in enumerate(self._cases) if case.scenario in text]
        if not found:
            raise LookupError("no task of TAU-2 has this user")
        return max(found, key=lambda number: len(self._cases[number].scenario))


def _place(messages: Sequence[Mapping[str, Any]]) -> tuple[int, int]:
    """Which case, and how many of its actions are done: what was said last, and this side's calls since."""
    since = 0
    for message in reversed(messages):
        if found := _PLACE.findall(str(message.get("content"))):
            number, step = map(int, found[-1])
            return number, step + since
        since += len(message.get("tool_calls") or ())
    raise LookupError("nobody has said which case this is: is the user an oracle too?")


def base_tasks(domain: Path) -> list[dict[str, Any]]:
    """The tasks of a domain's base split, which is what is reported, in the order of its file."""
    split = set(json.loads((domain / "split_tasks.json").read_bytes())["base"])
    return [task for task in json.loads((domain / "tasks.json").read_bytes()) if task["id"] in split]


def _cases(domain: Path) -> list[_Case]:
    return [
        _Case(
            scenario=_scenario(task["user_scenario"]),
            actions=task["evaluation_criteria"].get("actions") or (),
            told="; ".join(task["evaluation_criteria"].get("communicate_info") or ()),
        )
        for task in base_tasks(domain)
    ]


def _scenario(scenario: Mapping[str, Any]) -> str:
    """The scenario as it stands in the user's prompt, with every space the same."""
    told = scenario["instructions"]
    parts = ["Persona:", scenario["persona"]] if scenario.get("persona") is not None else []
    parts.append("Instructions:")
    if isinstance(told, str):
        parts.append(told)
    else:
        parts += [f"Domain: {told['domain']}", "Reason for call:", told["reason_for_call"]]
        for title, key in (("Known info:", "known_info"), ("Unknown info:", "unknown_info")):
            parts += [title, told[key]] if told.get(key) is not None else []
        parts += ["Task instructions:", told["task_instructions"]]
    return " ".join(" ".join(parts).split())
