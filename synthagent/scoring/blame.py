"""Whose fault a zero is. Pure.

A zero is the agent's own unless the record shows that the user simulator kept it from doing better: training on such a
zero would punish what was right. What could not be scored at all carries its blame already.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from synthagent.errors import Blame
from synthagent.schema.episodes import Episode, UserEvent
from synthagent.schema.scores import Verdict
from synthagent.simulation.hearing import Listener
from synthagent.simulation.users import without_echo
from synthagent.simulation.values import plain


@dataclass(frozen=True, slots=True)
class Cause:
    """Who caused a reward of zero, and why in a word."""

    blame: Blame
    reason: str


def cause_of(
    episode: Episode, opening: str, listener: Listener, forbidden: Sequence[Verdict], *, scripted: bool
) -> Cause:
    """The cause of a zero, in an episode that began with the user's words `opening`.

    `scripted`: the user was not a model. It keeps to its rules by construction, and is not looked at.
    Reasons: `rule` (something forbidden), `user_withheld` and `user_left` (the user's), `did_nothing` (no call, no
    word), else how the episode stopped.
    """
    broken = [verdict.id for verdict in forbidden if verdict.holds]
    if broken:
        # Whatever the user did, nobody made the agent break a rule.
        return Cause(Blame.AGENT, f"rule:{broken[0]}")
    if not scripted:
        found = _users_fault([event for event in episode.events if isinstance(event, UserEvent)], opening, listener)
        if found:
            return Cause(Blame.USER, found)
    if not any(event.kind in ("tool", "user") for event in episode.events):
        return Cause(Blame.AGENT, "did_nothing")
    return Cause(Blame.AGENT, str(episode.stop))


def _users_fault(replies: Sequence[UserEvent], opening: str, listener: Listener) -> str:
    """What the user did that kept the agent from going on; empty for nothing."""
    told: set[str] = set()
    wanting: set[str] = set()
    own = [plain(opening)]
    for event in replies:
        told |= set(event.disclosed)
        # As users hear it: whoever repeats a user's own question has asked nothing.
        wanting |= set(listener.heard(without_echo(event.message, own)).topics)
        own.append(plain(event.text))
    if wanting - told:
        return "user_withheld"
    # The completion protocol: nobody goes while a question or a confirmation waits for an answer.
    if replies and replies[-1].done and replies[-1].heard in ("question", "confirmation"):
        return "user_left"
    return ""
