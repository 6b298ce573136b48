"""What is known of each step of a training run: one line of `metrics.jsonl`. Pure; no torch."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence

from synthagent.rollouts.group import Outcome
from synthagent.schema.episodes import Episode, Stop, ToolEvent, UserEvent
from synthagent.schema.record import Record
from synthagent.schema.scores import Scored


class Played(Record):
    """What the episodes of a step were like. Shares are of its episodes, means over those with a reward that counts."""

    episodes: int
    reward: float | None
    """None where nothing has a reward, here and below."""
    subgoals: float | None
    """Mean share of sub-goals done."""
    interactions: float | None
    """Mean share of required interactions done."""
    gate_violations: float | None
    """Share of scored episodes in which a rule was broken."""
    perfect: float | None
    """Share of scored episodes with the full reward."""
    refusals: float
    """Share whose last word to the user was a refusal, or that were handed over: see `refusals_legal`."""
    refusals_legal: float | None
    """The same among tasks in which nothing is forbidden: the exploit monitor. None where no such task was played."""
    ask_all: float
    """Share that asked the user and did nothing else: no tool call succeeded."""
    unscored: float
    """Share without a reward, or with a zero that the agent did not cause: in no loss and no baseline."""
    blame: dict[str, float]
    """Whose fault: share of all episodes, over those unscored and those with reward zero."""
    truncated: float
    """Share cut at a limit of turns, tokens, errors or malformed turns."""
    turns: float
    """Mean turns of the agent."""
    written: float
    """Mean tokens that the policy wrote."""


class StepLine(Record):
    """One line of `metrics.jsonl`."""

    step: int
    """From 1."""
    played: Played
    groups: int
    """Groups that were learnt from."""
    zero_variance: float
    """Share of the groups played whose rewards were all equal."""
    redrawn: int
    """Groups played in place of such."""
    loss: float
    entropy: float
    """Mean over the policy's tokens, in nats."""
    kl: float
    """Estimated divergence from the starting policy, a token; 0 where it is not asked for."""
    clipped: float
    """Share of tokens whose ratio was clipped."""
    logprob_gap: float
    """Mean absolute difference between the log-probabilities of generator and trainer, before the first update."""
    grad_norm: float
    lr: float
    generated: int
    """Tokens the policy wrote."""
    generating: float
    """Seconds."""
    learnt: int
    """Tokens that were computed when learning."""
    learning: float
    """Seconds."""


class HeldOut(Record):
    """One line of `heldout.jsonl`: one episode of a held-out task, at one step."""

    step: int
    """0: before the first."""
    group: str
    """Name of the set: the stem of its file."""
    family: str
    task_id: str
    sample: int
    reward: float | None
    """None: unscored, or a zero that the agent did not cause."""
    gate: int | None = None
    subgoals: float | None = None
    interactions: float | None = None
    legal: bool | None = None
    refused: bool = False


CUT = (Stop.TURN_LIMIT, Stop.TOKEN_LIMIT, Stop.MALFORMED_LIMIT, Stop.ERROR_LIMIT)


def played(outcomes: Sequence[tuple[Outcome, bool | None]]) -> Played:
    """The figures of a step from its (outcome, whether its task is legal, None where nobody says) pairs."""
    scored = [s for o, _ in outcomes if isinstance(s := o.score, Scored) and s.counts]
    legal = [o for o, fair in outcomes if fair]
    causes = Counter(
        str(o.score.blame) for o, _ in outcomes if not isinstance(o.score, Scored) or o.score.reward == 0.0
    )
    total = max(len(outcomes), 1)
    return Played(
        episodes=len(outcomes),
        reward=mean(s.reward for s in scored),
        subgoals=mean(s.n for s in scored),
        interactions=mean(s.i for s in scored if s.i is not None),
        gate_violations=mean(1.0 - s.gate for s in scored),
        perfect=mean(float(s.reward > 1 - 1e-9) for s in scored),
        refusals=sum(refused(o.episode) for o, _ in outcomes) / total,
        refusals_legal=mean(float(refused(o.episode)) for o in legal),
        ask_all=sum(only_asked(o.episode) for o, _ in outcomes) / total,
        unscored=1 - len(scored) / total,
        blame={cause: count / total for cause, count in sorted(causes.items())},
        truncated=sum(o.episode.stop in CUT for o, _ in outcomes) / total,
        turns=mean(float(o.episode.turns) for o, _ in outcomes) or 0.0,
        written=mean(float(o.episode.usage.completion) for o, _ in outcomes) or 0.0,
    )


def mean(values: Iterable[float]) -> float | None:
    """The mean; None of nothing."""
    found = list(values)
    return math.fsum(found) / len(found) if found else None


def refused(episode: Episode) -> bool:
    """Whether the agent's last word to the user was a refusal, or it handed the user over."""
    if episode.stop is Stop.TRANSFERRED:
        return True
    said = [event for event in episode.events if isinstance(event, UserEvent)]
    return bool(said) and said[-1].heard == "refusal"


def only_asked(episode: Episode) -> bool:
    """Whether the agent spoke to the user and no tool call succeeded."""
    asked = any(isinstance(event, UserEvent) and event.asked for event in episode.events)
    return asked and not any(isinstance(event, ToolEvent) and event.ok for event in episode.events)
