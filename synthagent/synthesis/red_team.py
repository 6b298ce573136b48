"""What agents that do not try may earn: a task that pays them more teaches the wrong thing."""

from collections.abc import Mapping

from synthagent.schema.episodes import Limits
from synthagent.schema.scores import Scored
from synthagent.scoring.scorer import PLAIN, Scoring, judged
from synthagent.simulation.episode import Cast, Stage, facts_user, play
from synthagent.simulation.response_map import Tools
from synthagent.simulation.scripted_agents import scripted

BOUNDS: Mapping[str, float] = {
    "nothing": 0.05,
    "echo": 0.05,
    "spam": 0.05,
    "done": 0.05,
    "inject": 0.05,
    "refuse": 0.5,
    "transfer": 0.5,
    "confirm": 0.5,
    "ask-all": 0.5,
}
"""Scripted agent -> the most it may earn on any one task."""

_LIMITS = Limits()


async def earnings(stage: Stage, tools: Tools | None = None, scoring: Scoring = PLAIN) -> dict[str, float]:
    """What each agent of the red team earns on a task under the protocol `text`; those it cannot score are left out."""
    found = {}
    for name in BOUNDS:
        played = await play(stage, Cast(scripted(name, stage), facts_user(stage), "text", tools=tools), _LIMITS)
        result = await judged(stage, played.episode, played.final, scoring)
        if isinstance(result, Scored):
            found[name] = result.reward
    return found


async def too_easy(stage: Stage, tools: Tools | None = None) -> list[str]:
    """The agents that earn more than they may."""
    return [
        f"the agent '{name}' earns {reward:.3f}, more than {BOUNDS[name]:g}"
        for name, reward in (await earnings(stage, tools)).items()
        if reward > BOUNDS[name]
    ]
