"""What a policy is asked for, and what comes back: token ids in, token ids out. No torch here."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Sampled:
    """What the model wrote."""

    ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    """Under the distribution that was sampled from: temperature included."""
    ended: bool
    """It came to an end of turn; else it was cut off."""


@dataclass(frozen=True, slots=True)
class Wish:
    """How a turn is sampled."""

    max_tokens: int
    temperature: float = 1.0
    """0: always the likeliest."""
    seed: int = 0
    top_p: float = 1.0
    """The likeliest tokens that have so much of the probability are drawn from, and no others."""


class Sampler(Protocol):
    """A model that goes on with conversations: our own, a trainer's, an inference server's."""

    @property
    def length(self) -> int:
        """Tokens that a conversation may have, prompt included."""
        ...

    async def sample(self, key: Hashable, ids: Sequence[int], wish: Wish) -> Sampled:
        """The next turn of the conversation `key`, which stands at `ids`."""
        ...

    def release(self, key: Hashable) -> None:
        """Says that a conversation will not go on."""
        ...
