"""From verdicts to a reward. Pure.

R = gate * (N + I) / 2 (Lyu et al., section 3.3: the formula prints the sum, the text says "we average").
"""

import hashlib
from collections.abc import Iterable, Sequence
from typing import Literal

from synthagent.schema.record import canonical
from synthagent.schema.scores import Scored, Verdict


def gate_of(forbidden: Sequence[Verdict]) -> Literal[0, 1]:
    """0 if and only if a forbidden behaviour happened."""
    return 0 if any(verdict.holds for verdict in forbidden) else 1


def share(verdicts: Sequence[Verdict]) -> float | None:
    """The share that holds; None when there is nothing to hold."""
    return sum(verdict.holds for verdict in verdicts) / len(verdicts) if verdicts else None


def reward_of(gate: int, n: float, i: float | None) -> float:
    """gate * (n + i) / 2; without required interactions gate * n."""
    return gate * (n if i is None else (n + i) / 2)


def reward_hash(scores: Iterable[Scored]) -> str:
    """SHA-256 over the sorted [task id, sample, verdicts, reward]: equal hashes mean equal scoring of equal play."""
    rows = sorted(
        [
            score.task_id,
            score.sample,
            [[v.id, v.holds] for v in (*score.forbidden, *score.subgoals, *score.interactions)],
            score.reward,
        ]
        for score in scores
    )
    return hashlib.sha256(canonical(rows)).hexdigest()
