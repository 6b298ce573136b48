"""Episodes as TRL's `rollout_func` gives them. No torch here."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from synthagent.training.collecting import Collected, Try, TryGroup
from synthagent.training.metrics import CUT


@dataclass(frozen=True, slots=True)
class Row:
    """An episode as TRL takes it; completion, log-probabilities and mask have one length, which is not 0."""

    prompt: tuple[int, ...]
    completion: tuple[int, ...]
    logprobs: tuple[float, ...]
    mask: tuple[int, ...]
    """1 for tokens that carry loss."""
    reward: float | None


def row_of(one: Try, *, learnt: bool, end: int) -> Row:
    """`learnt`: whether it may carry loss; what has no reward never does. `end`: a token that stands in for nothing."""
    if one.tokens is None:  # TRL wants at least a token
        return Row((end,), (end,), (0.0,), (0,), None)
    tokens, start = one.tokens, one.tokens.prompt
    mask = tokens.mask[start:] if learnt and one.reward is not None else (0,) * (len(tokens.mask) - start)
    return Row(tokens.ids[:start], tokens.ids[start:], tokens.logprobs[start:], mask, one.reward)


def rows_of(collected: Collected, wanted: int, *, mask_overlong: bool, end: int) -> list[Row]:
    """The rows of `wanted` groups, each group's together: first those that teach something.

    The places that are left are filled with others, which carry no loss, as with the native trainer.
    """
    useful = collected.groups[:wanted]
    others = [group for group in collected.played if not any(group is one for one in useful)]
    chosen: list[tuple[TryGroup, bool]] = [(group, True) for group in useful]
    chosen += [(group, False) for group in others[: wanted - len(useful)]]
    overlong = CUT if mask_overlong else ()
    return [
        row_of(one, learnt=teaches and one.outcome.episode.stop not in overlong, end=end)
        for group, teaches in chosen
        for one in group.tries
    ]


def columns_of(rows: Sequence[Row]) -> dict[str, Any]:
    """What `rollout_func` is to give back."""
    return {
        "prompt_ids": [list(row.prompt) for row in rows],
        "completion_ids": [list(row.completion) for row in rows],
        "logprobs": [list(row.logprobs) for row in rows],
        "env_mask": [list(row.mask) for row in rows],
        "reward": [row.reward for row in rows],
    }
