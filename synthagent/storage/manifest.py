"""What a run was asked to do, so that it can be resumed, repeated and read by a stranger."""

from pathlib import Path
from typing import Any, Literal

import orjson
from pydantic import Field, ValidationError

from synthagent.errors import InputError, RunFolderError
from synthagent.schema.episodes import Limits
from synthagent.schema.messages import Protocol
from synthagent.schema.record import Record
from synthagent.schema.scores import FormulaName, JudgeMode
from synthagent.storage.atomic import replacing
from synthagent.storage.complaints import complaints

SCHEMA = "synthagent.run/1"

MUST_AGREE = (
    "tasks_sha256", "n", "seed", "protocol", "limits", "user", "tools", "map", "map_store", "faults", "search",
    "python", "lint", "judge", "judge_mode", "reward", "prompts",
)  # fmt: skip
"""What may not change between the start of a run and its resumption: else its episodes are not of one kind."""


class Manifest(Record):
    """`manifest.json` of a run folder."""

    schema_: Literal["synthagent.run/1"] = Field(default="synthagent.run/1", alias="schema")
    command: str
    """What was typed, such as `synthagent eval --tasks T.jsonl`."""
    agents: tuple[str, ...]
    user: str = "facts"
    tools: str | None = None
    """Who stood in for tools that have no program."""
    map: Literal["state", "paper", "none", "frozen"] = "state"
    """How the answers of simulated tools are kept."""
    map_store: str = ""
    """Where they are kept."""
    faults: float = 0.0
    """Share of tool calls that were made to fail."""
    search: str | None = None
    """What answered searches, if any task searches."""
    python: str | None = None
    """The tier that ran Python, if any task runs some."""
    lint: bool = True
    """Whether the replies of a user that is a model were looked over."""
    judge: str | None = None
    """Who decided what code cannot see."""
    judge_mode: JudgeMode = "checks"
    reward: FormulaName = "mean"
    """How verdicts become a reward."""
    scored_from: str = ""
    """The run whose episodes these are, if they were scored again and not played."""
    protocol: Protocol = "text"
    limits: Limits = Limits()
    seed: int = 0
    n: int = Field(default=1, ge=1)
    """Episodes a task and agent."""
    tasks_file: str
    """Where the tasks came from; a copy is in the run folder."""
    tasks_sha256: str
    """Of that file's bytes."""
    version: str
    """Of SynthAgent."""
    sampling: dict[str, Any] = {}
    """How the models that play are sampled: setting -> value, of the roles that are models."""
    weights: dict[str, str] = {}
    """Role of a model on this machine -> SHA-256 of its weights."""
    settings: dict[str, Any] = {}
    """Every other setting as resolved: roles, endpoints, concurrency. No credentials."""
    prompts: dict[str, str] = {}
    """Prompt file -> fingerprint."""


def write_manifest(path: Path, manifest: Manifest) -> None:
    """Write it whole or not at all, defaults spelt out. Raises `RunFolderError` when it cannot be written."""
    try:
        text = orjson.dumps(manifest.model_dump(mode="json"), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
    except (TypeError, ValueError) as error:
        raise InputError(f"cannot be written as JSON: {error}", where=str(path)) from error
    with replacing(path) as write:
        write(text)


def read_manifest(path: Path) -> Manifest:
    """Read it back. Raises `RunFolderError` when there is none, `InputError` naming the field when it is broken."""
    try:
        data = orjson.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise RunFolderError(f"{path.parent}: not a run folder (it has no {path.name})") from error
    except NotADirectoryError as error:
        raise RunFolderError(f"{path.parent}: not a run folder, but a file") from error
    except OSError as error:
        raise RunFolderError(f"{path}: cannot be read ({error.strerror})") from error
    except orjson.JSONDecodeError as error:
        raise InputError(f"not JSON: {error}", where=str(path)) from error
    found = data.get("schema") if isinstance(data, dict) else None
    if isinstance(found, str) and found != SCHEMA:
        way_out = f"this version reads {SCHEMA}: use the version that wrote the folder, or upgrade"
        raise InputError(f"schema: unknown version {found!r}", where=str(path), way_out=way_out)
    try:
        return Manifest.model_validate(data)
    except ValidationError as error:
        raise InputError(complaints(error, data), where=str(path)) from error


def resumed(folder: Path, old: Manifest, new: Manifest) -> Manifest:
    """The manifest of a resumed run: the old one, with the agents that came in addition.

    Raises `RunFolderError` naming every field in which the two disagree.
    """
    changes = [
        f"{name} was {_shown(getattr(old, name))}, now {_shown(getattr(new, name))}"
        for name in MUST_AGREE
        if getattr(old, name) != getattr(new, name)
    ]
    if missing := [agent for agent in old.agents if agent not in new.agents]:
        changes.append(f"agents lacks {', '.join(missing)}")
    # A run that gets another agent may get its first model, of which the old manifest says nothing.
    changes += [
        f"{name} was {_shown(old.sampling[name])}, now {_shown(value)}"
        for name, value in new.sampling.items()
        if old.sampling.get(name, value) != value
    ]
    changes += [
        f"the weights of {name} have changed"
        for name, digest in new.weights.items()
        if old.weights.get(name, digest) != digest
    ]
    if changes:
        raise RunFolderError(
            f"{folder}: cannot be resumed with other settings: {'; '.join(changes)}. "
            "Resume with the settings it was started with, or use another --out"
        )
    added = tuple(agent for agent in new.agents if agent not in old.agents)
    merged = {"weights": {**old.weights, **new.weights}, "sampling": {**old.sampling, **new.sampling}}
    return old.model_copy(update={"agents": (*old.agents, *added), **merged})


def _shown(value: Any) -> str:
    text = str(value.model_dump()) if isinstance(value, Record) else repr(value)
    return text if len(text) <= 200 else f"{text[:200]}…"
