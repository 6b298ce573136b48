"""From verdicts to a reward. Pure.

R = gate * (N + I) / 2 (Lyu et al., section 3.3: the formula prints the sum, the text says "we average").
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal

from synthagent.schema.record import canonical
from synthagent.schema.scores import FormulaName, Scored, Verdict, Weights

Formula = Callable[[int, float, float | None], float]
"""(gate, share of sub-goals, share of interactions or None) -> a reward between 0 and 1."""


def gate_of(forbidden: Sequence[Verdict]) -> Literal[0, 1]:
    """0 if and only if a forbidden behaviour happened."""
    return 0 if any(verdict.holds for verdict in forbidden) else 1


def share(verdicts: Sequence[Verdict]) -> float | None:
    """The share that holds; None when there is nothing to hold."""
    return sum(verdict.holds for verdict in verdicts) / len(verdicts) if verdicts else None


def reward_of(gate: int, n: float, i: float | None) -> float:
    """gate * (n + i) / 2; without required interactions gate * n. Formula `mean` (Lyu et al., section 3.3)."""
    return gate * (n if i is None else (n + i) / 2)


def strict(gate: int, n: float, i: float | None) -> float:
    """1 if all of it is done and nothing forbidden happened, else 0: success as tau-bench counts it.

    Yao et al., *tau-bench* (arXiv 2406.12045), section 3: the reward of a task is binary.
    """
    return float(gate == 1 and n == 1.0 and i in (None, 1.0))


def subgoals_only(gate: int, n: float, i: float | None) -> float:  # noqa: ARG001 - a formula takes all three
    """gate * n: the progress rate, whatever was asked.

    Ma et al., *AgentBoard* (arXiv 2401.13178), section 2.2: the share of sub-goals reached.
    """
    return gate * n


def weighted(weights: Weights) -> Formula:
    """gate times the mean of n and i, weighted.

    Gunjal et al., *Rubrics as Rewards* (arXiv 2507.17746), section 3: explicit aggregation with a weight a category.
    Raises `ValueError` when both weights are 0.
    """
    most = max(weights.subgoals, weights.interactions)
    if not most:
        raise ValueError("reward_weights: one of them must be above 0")
    # By the larger one: neither the sum of huge weights nor a tiny weight's share of something is out of range.
    own, other = weights.subgoals / most, weights.interactions / most

    def formula(gate: int, n: float, i: float | None) -> float:
        if i is None:
            return gate * n
        # A mean of shares, kept below 1 whatever the last bit of a quotient says.
        return gate * min((own * n + other * i) / (own + other), 1.0)

    return formula


FORMULAS: Mapping[FormulaName, Callable[[Weights], Formula]] = {
    "mean": lambda _: reward_of,
    "strict": lambda _: strict,
    "subgoals": lambda _: subgoals_only,
    "weighted": weighted,
}


def formula_of(name: FormulaName, weights: Weights | None = None) -> Formula:
    """The formula of a name. Raises `ValueError` for weights that weigh nothing."""
    return FORMULAS[name](weights or Weights())


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
