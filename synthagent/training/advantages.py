"""From the rewards of a group to advantages. Pure.

Group-relative (Shao et al., *DeepSeekMath*, arXiv 2402.03300, section 4.1): what a try earned less what its group
earned on average. A try that has no reward, or a zero that another caused, is in no mean and has no advantage.
"""

import math
from collections.abc import Sequence

EPSILON = 1e-6
"""Keeps the division by the standard deviation finite, as in the paper's reference code."""


def advantages(rewards: Sequence[float | None], *, normalised: bool = True) -> list[float | None]:
    """An advantage a try, None where there is no reward to learn from.

    `normalised`: divided by the group's standard deviation; without it a group counts by how much its tries differ (Liu
    et al., *Understanding R1-Zero-Like Training*, arXiv 2503.20783, "Dr. GRPO"). A lone try has advantage 0.
    """
    known = [reward for reward in rewards if reward is not None]
    if not known:
        return [None] * len(rewards)
    mean = math.fsum(known) / len(known)
    spread = math.sqrt(math.fsum((reward - mean) ** 2 for reward in known) / max(len(known) - 1, 1))
    scale = spread + EPSILON if normalised else 1.0
    return [None if reward is None else (reward - mean) / scale for reward in rewards]


def without_variance(rewards: Sequence[float | None]) -> bool:
    """Whether a group teaches nothing: all its rewards are the same, or fewer than two are known.

    Such groups are drawn again (Yu et al., *DAPO*, arXiv 2503.14476, "dynamic sampling").
    """
    known = [reward for reward in rewards if reward is not None]
    return len(known) < 2 or max(known) - min(known) < 1e-9
