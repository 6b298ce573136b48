"""Finished episodes as conversations, and which of them are worth imitating."""

from collections.abc import Iterator
from dataclasses import dataclass

from synthagent.schema.episodes import AgentEvent, Episode, FormEvent, ToolEvent, UserEvent
from synthagent.schema.messages import Message
from synthagent.schema.scores import Score, Scored
from synthagent.simulation.agent import assistant_message


@dataclass(frozen=True, slots=True)
class Turn:
    """What the agent wrote, as a message, and what came of it."""

    message: Message
    answers: tuple[Message, ...]


def refusal(episode: Episode, score: Score | None, threshold: float) -> str | None:
    """Why an episode is not to be imitated; None if it is."""
    if score is None or not isinstance(score, Scored):
        return "unscored"
    if not score.counts:
        return f"blame:{score.blame}"
    if score.reward < threshold - 1e-9:
        return "reward"
    if any(isinstance(event, FormEvent) for event in episode.events) or episode.malformed:
        return "malformed"
    return None


def turns(episode: Episode) -> Iterator[Turn]:
    """An episode's turns as the agent saw them. Raises `ValueError` for one in which the agent was corrected."""
    message: Message | None = None
    answers: list[Message] = []
    pending: list[str] = []
    for event in episode.events:
        match event:
            case AgentEvent():
                if message is not None:
                    yield Turn(message, tuple(answers))
                message, answers = assistant_message(event.text, event.calls), []
                pending = [call.id for call in event.calls if call.name == "ask_user"]
            case ToolEvent():
                answers.append({"role": "tool", "tool_call_id": event.call_id, "content": event.response})
            case UserEvent() if episode.protocol == "tools":
                answers.append({"role": "tool", "tool_call_id": pending.pop(0), "content": event.text})
            case UserEvent():
                answers.append({"role": "user", "content": event.text})
            case FormEvent():
                raise ValueError(f"the agent was corrected: {event.error}")
    if message is not None:
        yield Turn(message, tuple(answers))
