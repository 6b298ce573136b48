"""What a run came to, agent by agent."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Literal

from synthagent.errors import Blame
from synthagent.intervals import Interval, clustered, detectable, paired
from synthagent.schema.record import Record
from synthagent.storage.tables import EpisodeRow


class AgentLine(Record):
    """One agent's line in a report. Means are over scored episodes, but for zeros that the agent did not cause; None
    where there is nothing to average."""

    agent: str
    episodes: int
    reward_mean: float | None
    reward_low: float | None
    """95 % interval, clustered by family; None when there are fewer than two families."""
    reward_high: float | None
    gate_violations: int
    """Episodes in which a forbidden behaviour happened."""
    subgoals_mean: float | None
    interactions_mean: float | None
    unscored: int
    """Episodes without a reward: not zeros, not in any mean."""
    blame: dict[str, int]
    """Who caused the zeros and the unscored."""
    tokens: int
    """Read and written by the agent's model."""
    seconds: float
    """Summed over episodes."""


class BlameLine(Record):
    """Zeros, or episodes without a reward, that one cause explains."""

    agent: str
    outcome: Literal["zero", "unscored"]
    blame: Blame
    reason: str
    """`rule:ID`, `user_withheld`, ... or what made the episode unscored; criteria are put together as `rule`."""
    count: int
    share: float
    """Of the agent's episodes."""
    counts: bool
    """Whether training and metrics take these episodes."""
    example: str
    """One of them, as `synthagent show RUN` names it."""


class Comparison(Record):
    """One agent (or two) on the tasks that two runs share."""

    agent: str
    tasks: int
    families: int
    difference: float | None
    """Mean reward of this run less the other's, per task."""
    low: float | None
    high: float | None
    detectable: float | None
    """Smallest true difference that a comparison of this size and spread finds in four cases of five."""


def lines(rows: Iterable[EpisodeRow]) -> list[AgentLine]:
    """One line an agent, in the order in which agents first appear."""
    groups: dict[str, list[EpisodeRow]] = defaultdict(list)
    for row in rows:
        groups[row.agent].append(row)
    return [_line(agent, group) for agent, group in groups.items()]


def blames(rows: Iterable[EpisodeRow]) -> list[BlameLine]:
    """Every zero and every unscored episode under its cause, the most frequent first."""
    totals: Counter[str] = Counter()
    groups: dict[tuple[str, Literal["zero", "unscored"], Blame, str], list[EpisodeRow]] = defaultdict(list)
    for row in rows:
        totals[row.agent] += 1
        if row.unscored_blame is not None:
            groups[row.agent, "unscored", row.unscored_blame, row.unscored_reason or ""].append(row)
        elif row.blame is not None:
            groups[row.agent, "zero", row.blame, (row.reason or "").partition(":")[0]].append(row)
    found = [
        BlameLine(
            agent=agent,
            outcome=outcome,
            blame=blame,
            reason=reason,
            count=len(group),
            share=len(group) / totals[agent],
            counts=outcome == "zero" and blame is Blame.AGENT,
            example=f"{group[0].task_id} --sample {group[0].sample}",
        )
        for (agent, outcome, blame, reason), group in groups.items()
    ]
    return sorted(found, key=lambda line: -line.count)


def _line(agent: str, rows: list[EpisodeRow]) -> AgentLine:
    scored = [row for row in rows if row.counts]
    interval = clustered([(row.family or row.task_id, row.reward) for row in scored if row.reward is not None])
    blame = Counter(str(found) for row in rows if (found := row.unscored_blame or row.blame))
    return AgentLine(
        agent=agent,
        episodes=len(rows),
        reward_mean=interval.mean if interval else None,
        reward_low=_finite(interval.low) if interval else None,
        reward_high=_finite(interval.high) if interval else None,
        gate_violations=sum(row.gate == 0 for row in scored),
        subgoals_mean=_mean([row.n for row in scored if row.n is not None]),
        interactions_mean=_mean([row.i for row in scored if row.i is not None]),
        unscored=sum(row.reward is None for row in rows),
        blame=dict(sorted(blame.items())),
        tokens=sum(row.prompt_tokens + row.completion_tokens for row in rows),
        seconds=round(sum(row.seconds for row in rows), 3),
    )


def compare(run: Iterable[EpisodeRow], other: Iterable[EpisodeRow]) -> list[Comparison]:
    """Per agent of `run`, against the same agent of `other`, or against its only one. Paired by task."""
    mine, theirs = _triples(run), _triples(other)
    found = []
    for agent, triples in mine.items():
        match = theirs.get(agent) or (next(iter(theirs.values())) if len(theirs) == 1 else None)
        if match is None:
            continue
        interval: Interval | None = paired(match, triples)
        found.append(
            Comparison(
                agent=agent,
                tasks=interval.n if interval else 0,
                families=interval.clusters if interval else 0,
                difference=interval.mean if interval else None,
                low=_finite(interval.low) if interval else None,
                high=_finite(interval.high) if interval else None,
                detectable=detectable(interval),
            )
        )
    return found


def _triples(rows: Iterable[EpisodeRow]) -> dict[str, list[tuple[str, str, float]]]:
    found: dict[str, list[tuple[str, str, float]]] = defaultdict(list)
    for row in rows:
        if row.reward is not None and row.counts:
            found[row.agent].append((row.family or row.task_id, row.task_id, row.reward))
    return found


def _mean(values: list[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
