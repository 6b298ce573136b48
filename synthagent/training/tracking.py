"""A training run's figures, for those who watch them elsewhere: TensorBoard or trackio, beside `metrics.jsonl`."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from synthagent.errors import InputError
from synthagent.training.metrics import StepLine

TRACKERS = ("tensorboard", "trackio")
Track = Callable[[StepLine], None]


@contextmanager
def tracked(kind: str, folder: Path, config: dict[str, Any]) -> Iterator[Track]:
    """A callable that hands every step on, for as long as the run goes.
    TensorBoard writes into FOLDER/tensorboard; trackio keeps its own store and names the run after the folder. Raises
    `InputError` for an unknown tracker, or when its package is not installed.
    """
    match kind:
        case "tensorboard":
            try:
                from torch.utils.tensorboard import SummaryWriter
            except ImportError as error:
                raise InputError(f"--report-to tensorboard: {error}", way_out="pip install tensorboard") from error
            with SummaryWriter(str(folder / "tensorboard")) as writer:
                yield lambda line: _each(line, lambda name, value: writer.add_scalar(name, value, line.step))
        case "trackio":
            try:
                import trackio
            except ImportError as error:
                raise InputError(f"--report-to trackio: {error}", way_out="pip install trackio") from error
            trackio.init(project="synthagent", name=folder.name, config=config)
            try:
                yield lambda line: trackio.log(scalars(line), step=line.step)
            finally:
                trackio.finish()
        case _:
            raise InputError(f"--report-to: '{kind}' is not one of {', '.join(TRACKERS)}")


def _each(line: StepLine, write: Callable[[str, float], None]) -> None:
    for name, value in scalars(line).items():
        write(name, value)


def scalars(line: StepLine) -> dict[str, float]:
    """The numbers of a step under dotted names, such as `played.reward` and `played.blame.agent`."""
    return dict(_numbers("", line.model_dump(mode="json")))


def _numbers(prefix: str, value: Any) -> Iterator[tuple[str, float]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _numbers(f"{prefix}.{name}" if prefix else name, inner)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield prefix, float(value)
