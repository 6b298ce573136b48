"""A training run as a trainer gets it: one call shape for ours and for those of plugins. No torch here."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from synthagent.schema.tasks import Task
from synthagent.scoring.scorer import PLAIN, Scoring
from synthagent.simulation.agent import ToolForm
from synthagent.training.collecting import Supporting
from synthagent.training.metrics import StepLine
from synthagent.training.recipe import Recipe
from synthagent.training.train_folder import TrainFolder


@dataclass(frozen=True, slots=True)
class Job:
    """What is to be done, and where it is written down."""

    policy: Path
    """The folder of the model to start from."""
    form: ToolForm
    """How the model is told of tools."""
    tasks: Sequence[Task]
    heldout: Mapping[str, Sequence[Task]]
    """Name of a held-out set -> its tasks."""
    recipe: Recipe
    steps: int
    folder: TrainFolder
    """Where lines and checkpoints go; if it holds checkpoints, the run goes on from the latest."""
    supporting: Supporting
    """Who plays besides the policy; belongs to the event loop in which the trainer is called."""
    stop: Callable[[], None]
    """Called often; raises `Interrupted` when the run is to stop."""
    tell: Callable[[StepLine], None] = lambda _: None
    report_to: tuple[str, ...] = ()
    """Where figures go besides the folder, for trainers that know of such places."""
    scoring: Scoring = PLAIN
    """Who decides what code alone cannot; belongs to the same loop."""


Trainer = Callable[[Job], Awaitable[None]]
"""Trains, and leaves the model in the folder's `policy/`. Raises `Interrupted` when it was asked to stop."""
