"""Drivers: what stands on the other side of a wire and plays an episode with what the wire tells it."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from synthagent.schema.messages import Message
from synthagent.schema.tasks import Task
from synthagent.serve.sessions import PROTOCOL
from synthagent.simulation.agent import Agent, View, assistant_message

SCRIPTED = ("reference", "careful", "nothing", "refuse", "transfer", "spam", "confirm", "done", "ask-all", "echo")
"""Agents that play over every wire, and must come to the same reward on each."""

Turn = Callable[[Message], Awaitable[tuple[Sequence[Message], bool]]]
"""An assistant message -> (what is new, whether the episode is over)."""


async def drive(task: Task, opening: Sequence[Message], agent: Agent, turn: Turn) -> None:
    """Plays to the end by the history alone, as an agent on the other side of a wire has to."""
    history: list[Any] = list(opening)
    view, done = View(task.brief, PROTOCOL, history), False
    while not done:
        taken = await agent.act(view)
        message = assistant_message(taken.content, taken.tool_calls)
        new, done = await turn(message)
        history += [message, *new]
