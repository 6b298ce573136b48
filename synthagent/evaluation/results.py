"""`report.json` of an evaluation folder: suite -> what it came to, or why it came to nothing.

An evaluation folder holds:

eval.json             what was asked: who played, and how
report.json           suite -> `SuiteResult`, written anew after each suite
items/SUITE.jsonl     every try at every entry, of suites that are ok
tasks/SUITE.jsonl     mathematics, search and tasks of our own: what was played
SUITE/                a run folder, or what a harness wrote
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

import orjson
from pydantic import Field, ValidationError

from synthagent.errors import InputError, RunFolderError
from synthagent.evaluation.items import Item
from synthagent.evaluation.metrics import Figures
from synthagent.schema.record import Record, dump, line
from synthagent.storage.atomic import make_folder, replacing
from synthagent.storage.complaints import complaints
from synthagent.storage.journal import records

EVAL, REPORT, ITEMS, TASKS = "eval.json", "report.json", "items", "tasks"
SCHEMA = "synthagent.eval/1"
_Read = TypeVar("_Read", bound=Record)


class SuiteResult(Record):
    """One suite in one evaluation."""

    n: int | None
    """Entries; None, like every figure, when the suite failed."""
    trials: int
    """Tries at each."""
    mean: float | None
    """Avg@k, from 0 to 1."""
    low: float | None
    """95 % interval, clustered by family; None with fewer than two families."""
    high: float | None
    null_baseline: float | None
    """What an agent that does nothing earns; None where nobody has measured it."""
    status: Literal["ok", "failed"]
    versions: dict[str, str]
    """Of harness and data, hashes included: scores under other versions are not comparable."""
    reason: str = ""
    """Why it failed."""
    metric: str = ""
    """As the paper has it: `Avg@4`."""
    pass_at: tuple[float, ...] = ()
    """pass@1, ..., pass@k."""
    pass_hat: tuple[float, ...] = ()
    """pass^1, ..., pass^k."""
    overflow: int = 0
    """Tries beyond the model's window: failures of the agent, in the mean and counted here."""
    limit: int | None = None
    """Only the first so many entries; None: all."""
    agent: str = ""
    user: str = ""
    judge: str = ""
    search: str = ""
    """Who searched."""
    endpoint: str = ""
    """Where the agent's model answered, for a harness; empty: in this process."""
    sampling: dict[str, Any] = {}
    """How the models were sampled."""
    seconds: float = 0.0
    """In this command; a resumed suite counts anew."""
    finished: str = ""
    """When, as UTC in ISO 8601."""


class Asked(Record):
    """`eval.json`: what may not change before an evaluation is resumed."""

    schema_: Literal["synthagent.eval/1"] = Field(default="synthagent.eval/1", alias="schema")
    agent: str
    weights: str = ""
    """SHA-256 of the agent's weights, if they are files."""
    user: str = ""
    judge: str = ""
    search: str = ""
    python: str = ""
    trials: int | None = None
    """None: each suite's own."""
    limit: int | None = None
    seed: int = 0
    sampling: dict[str, Any] = {}
    version: str = ""
    command: str = ""


MAY_CHANGE = ("version", "command")
"""What a resumed evaluation may have otherwise."""


class Evaluation:
    """An evaluation folder."""

    def __init__(self, path: Path):
        self.path = path

    def begin(self, asked: Asked, *, resume: bool) -> None:
        """Makes the folder, or goes on with it.

        Raises `RunFolderError` when there is an evaluation in it already and `resume` is not set, or when it was asked
        for otherwise.
        """
        file = self.path / EVAL
        if not file.exists():
            make_folder(self.path)
            if foreign := next((entry.name for entry in self.path.iterdir()), None):
                raise RunFolderError(f"{self.path}: holds other files already ({foreign}); use another --out")
            _write(file, asked.model_dump(mode="json"))
            return
        if not resume:
            raise RunFolderError(
                f"{self.path}: holds an evaluation already; continue it with --resume, or use another --out"
            )
        old = self.asked()
        changes = [
            f"{name} was {getattr(old, name)!r}, now {getattr(asked, name)!r}"
            for name in Asked.model_fields
            if name not in MAY_CHANGE and getattr(old, name) != getattr(asked, name)
        ]
        if changes:
            raise RunFolderError(
                f"{self.path}: cannot be resumed with other settings: {'; '.join(changes)}. "
                "Resume with the settings it was started with, or use another --out"
            )

    def asked(self) -> Asked:
        """What was asked. Raises `RunFolderError` for a folder that is none, `InputError` for a broken file."""
        if not (self.path / EVAL).is_file():
            raise RunFolderError(f"{self.path}: not an evaluation (it has no {EVAL})")
        return _record(self.path / EVAL, _loaded(self.path / EVAL), Asked)

    def results(self) -> dict[str, SuiteResult]:
        """Suite -> result, in the order in which they were run. Raises `InputError` for a broken file."""
        file = self.path / REPORT
        data = _loaded(file) if file.exists() else {}
        if not isinstance(data, dict):
            raise InputError("not an object", where=str(file))
        return {name: _record(file, found, SuiteResult) for name, found in data.items()}

    def keep(self, suite: str, result: SuiteResult, items: Iterable[Item] = ()) -> None:
        """Writes what a suite came to; the items first, so that a result that is there has its items."""
        if result.status == "ok":
            make_folder(self.path / ITEMS)
            with replacing(self.items_file(suite)) as write:
                for item in items:
                    write(line(dump(item)))
        merged = {**self.results(), suite: result}
        _write(self.path / REPORT, {name: found.model_dump(mode="json") for name, found in merged.items()})

    def items(self, suite: str) -> list[Item]:
        """Every try of a suite that is ok. Raises `InputError`."""
        return list(records(self.items_file(suite), Item))

    def items_file(self, suite: str) -> Path:
        return self.path / ITEMS / f"{folder_of(suite)}.jsonl"

    def tasks_file(self, suite: str) -> Path:
        return self.path / TASKS / f"{folder_of(suite)}.jsonl"

    def folder(self, suite: str) -> Path:
        """The suite's own."""
        return self.path / folder_of(suite)


def folder_of(suite: str) -> str:
    """A suite's name as a file has it."""
    return suite.replace(":", "-")


def comparable(one: Mapping[str, str], two: Mapping[str, str]) -> bool:
    """Whether scores under these versions are of one thing. Where the same data was taken from does not matter."""
    return {**one, "data": ""} == {**two, "data": ""}


def result_of(found: Figures, versions: Mapping[str, str], null: float | None, **more: Any) -> SuiteResult:
    """The result of a suite that came to its end."""
    return SuiteResult(
        n=found.n, trials=found.trials, mean=found.mean, low=found.low, high=found.high, null_baseline=null,
        status="ok", versions=dict(versions), pass_at=found.pass_at, pass_hat=found.pass_hat, overflow=found.overflow,
        **more,
    )  # fmt: skip


def failure_of(reason: str, trials: int, versions: Mapping[str, str], null: float | None, **more: Any) -> SuiteResult:
    """The result of a suite that says nothing of the agent."""
    return SuiteResult(
        n=None, trials=trials, mean=None, low=None, high=None, null_baseline=null, status="failed",
        versions=dict(versions), reason=reason, **more,
    )  # fmt: skip


def _write(path: Path, value: Any) -> None:
    with replacing(path) as write:
        write(orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))


def _loaded(path: Path) -> Any:
    try:
        return orjson.loads(path.read_bytes())
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=str(path)) from error
    except orjson.JSONDecodeError as error:
        raise InputError(f"not JSON: {error}", where=str(path)) from error


def _record(path: Path, data: Any, kind: type[_Read]) -> _Read:
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        raise InputError(complaints(error, data), where=str(path)) from error
