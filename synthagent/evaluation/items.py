"""What a benchmark comes to, entry by entry: the one form in which every suite hands in its outcomes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from synthagent.errors import SynthAgentError
from synthagent.schema.record import Record


class Item(Record):
    """One entry of a benchmark, tried once."""

    id: str
    """The entry's id in its own data set."""
    trial: int
    score: float
    """0 to 1, as the benchmark's own scorer has it."""
    family: str = ""
    """Entries that are not independent of each other share it; empty: the entry stands alone."""
    overflow: bool = False
    """A prompt went beyond the model's own window: the agent's failure, counted apart."""


class SuiteFailed(SynthAgentError):
    """A benchmark run that says nothing of the agent: a dead endpoint, entries that are missing, other data.

    Its message is the reason that the report gives. Never a score.
    """


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An OpenAI-compatible endpoint that a harness may use."""

    model: str
    """As the endpoint calls it."""
    url: str
    """Ends in `/v1`."""
    key_env: str = ""
    """The environment variable with the key; empty: none is needed."""


@dataclass(frozen=True, slots=True)
class HarnessOrder:
    """What a harness in an environment of its own is asked to run."""

    out: Path
    """A folder of this suite and agent alone; what is finished in it is not run again."""
    agent: Endpoint
    user: Endpoint | None = None
    judge: Endpoint | None = None
    trials: int = 1
    limit: int | None = None
    """The first so many entries of each part; None: all."""
    seed: int = 0
    temperature: float = 0.0
    in_flight: int = 4
    options: Mapping[str, str] = field(default_factory=dict)
    """What only this suite knows."""


class Harness(Protocol):
    """Drives a benchmark's own code, which runs in its own environment: the parent reads JSON files only."""

    def run(self, order: HarnessOrder) -> Sequence[Item]:
        """Runs what is missing and hands in every entry of every trial. Raises `SuiteFailed`."""
        ...

    def versions(self) -> Mapping[str, str]:
        """Version of the harness and hash of its data, by name."""
        ...
