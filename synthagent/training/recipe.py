"""A recipe: everything about a training run that is not a file. TOML in, frozen record out. No torch here."""

import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, model_validator

from synthagent.errors import InputError
from synthagent.reasoning.python_tool import Tier
from synthagent.schema.messages import Protocol
from synthagent.schema.record import Record
from synthagent.simulation.agent import ToolForm

Averaging = Literal["token", "sequence"]
"""`token`: over all tokens of an update (Yu et al., *DAPO*, arXiv 2503.14476, section 3.3). `sequence`: first within an
episode, then over episodes (Shao et al., *DeepSeekMath*, arXiv 2402.03300)."""


class Data(Record):
    """What is learnt from."""

    tasks: int | None = Field(default=None, ge=1)
    """Only the first so many tasks of the file, reasoning tasks not counted (paper: 15,096; its ablation 5,000)."""
    information_gap: bool = True
    """False: the facts are put into the instruction, and nothing has to be asked (the paper's ablation)."""
    reasoning: float = Field(default=0.0, ge=0, le=1)
    """Share of reasoning tasks in a step; 1: nothing else (the paper's ablation)."""
    user: str = "facts"
    """Who plays the user: facts, or a model such as openai:MODEL@URL."""
    search: str | None = None
    """What answers searches, where tasks search: corpus:FILE, serper, tavily or searxng:URL."""
    python: Tier = "auto"
    """What runs Python, where tasks do."""
    demonstrations: int | None = Field(default=None, ge=1)
    """How many demonstrations a task the rubrics were derived from; noted only."""


class Rollouts(Record):
    """How episodes are played."""

    group: int = Field(default=16, ge=2)
    """Episodes a task: a group (paper: 16)."""
    tasks: int = Field(default=8, ge=1)
    """Groups a step."""
    temperature: float = Field(default=1.0, gt=0)
    turn_tokens: int = Field(default=1024, ge=1)
    """Longest turn."""
    response_tokens: int = Field(default=13_000, ge=1)
    """Longest conversation after the opening, what users and tools say included (paper: 13,000)."""
    prompt_tokens: int = Field(default=4096, ge=1)
    """Longest opening. A longer one is refused before the first step."""
    turns: int = Field(default=16, ge=1)
    """Most turns of the agent (paper: 16)."""
    malformed: int = Field(default=5, ge=1)
    """Most malformed turns and calls."""
    errors: int | None = Field(default=None, ge=1)
    """Most tool calls that fail; unset: no limit."""
    seconds: float = Field(default=600.0, gt=0)
    """Most seconds an episode; one that takes longer has no reward."""
    protocol: Protocol = "text"
    tool_form: ToolForm | None = None
    """How the model is told of tools; unset: by its chat template, or `hermes` if that has no place for them."""
    slots: int = Field(default=64, ge=1)
    """Conversations that are sampled from at once."""


class Selection(Record):
    """Which tasks are played."""

    low: float = Field(default=0.0, ge=0, le=1)
    high: float = Field(default=1.0, ge=0, le=1)
    """Tasks whose mean reward under the current policy lies between, ends included, come first."""
    pool: int = Field(default=4, ge=1)
    """From so many times as many tasks as are needed are the best placed taken."""
    redraws: int = Field(default=0, ge=0)
    """How often in a step groups that teach nothing, all rewards being equal, are drawn again (DAPO, section 3.2)."""

    @model_validator(mode="after")
    def _ordered(self) -> "Selection":
        if self.low > self.high:
            raise ValueError(f"low {self.low:g} is above high {self.high:g}")
        return self


class Loss(Record):
    """What is minimised."""

    clip_low: float = Field(default=0.2, gt=0, lt=1)
    clip_high: float = Field(default=0.28, gt=0)
    """Above `clip_low`: unlikely tokens may become likelier faster (DAPO, section 3.1; the paper: 0.2 and 0.28)."""
    averaging: Averaging = "token"
    normalised: bool = True
    """Advantages divided by the group's standard deviation (DeepSeekMath); off: Liu et al., arXiv 2503.20783."""
    mask_overlong: bool = False
    """Episodes cut at a limit of turns or tokens carry no loss, yet count in their group's mean (DAPO, section 3.4)."""
    kl: float = Field(default=0.0, ge=0)
    """Weight of the divergence from the starting policy (DeepSeekMath; DAPO and the paper leave it out)."""


class Optimiser(Record):
    """How the weights move: AdamW."""

    lr: float = Field(default=1e-6, gt=0)
    """Highest learning rate (paper: 1e-6)."""
    warmup: int = Field(default=0, ge=0)
    """Updates until it is reached."""
    decay: Literal["constant", "linear"] = "constant"
    beta1: float = Field(default=0.9, ge=0, lt=1)
    beta2: float = Field(default=0.999, ge=0, lt=1)
    weight_decay: float = Field(default=0.0, ge=0)
    max_norm: float = Field(default=1.0, gt=0)
    """Gradients are scaled down to this norm."""
    minibatch: int | None = Field(default=None, ge=1)
    """Groups an update; unset: all of a step."""

    def rate(self, done: int, total: int) -> float:
        """The learning rate of the update after `done` of `total`: warm-up, then constant, or in a line to a tenth."""
        if done < self.warmup:
            return self.lr * (done + 1) / self.warmup
        if self.decay == "constant":
            return self.lr
        return self.lr * max(0.1, (total - done) / max(total - self.warmup, 1))


class Lora(Record):
    """Low-rank adapters instead of all weights (Hu et al., arXiv 2106.09685)."""

    rank: int = Field(default=16, ge=1)
    alpha: float = Field(default=32.0, gt=0)
    targets: tuple[str, ...] = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


class Checking(Record):
    """Held-out evaluation while it trains."""

    every: int = Field(default=0, ge=0)
    """Steps between evaluations; 0: only where `--eval` is given, before the first and after the last."""
    n: int = Field(default=1, ge=1)
    """Episodes a task."""
    temperature: float = Field(default=0.7, ge=0)
    tasks: int | None = Field(default=None, ge=1)
    """Only the first so many."""


class Sft(Record):
    """The cold start: what is imitated."""

    threshold: float = Field(default=1.0, gt=0, le=1)
    """Least reward of a demonstration."""
    batch: int | None = Field(default=None, ge=1)
    """Demonstrations an update; unset: one of each domain, and at least 8."""


class Recipe(Record):
    """A training run without its files."""

    method: Literal["grpo", "sft"] = "grpo"
    steps: int | None = Field(default=None, ge=1)
    """Unset: as many as `epochs` take."""
    epochs: float = Field(default=1.0, gt=0)
    seed: int = 0
    save_every: int = Field(default=10, ge=1)
    """Steps between checkpoints."""
    keep: int = Field(default=2, ge=1)
    """Checkpoints kept, the latest."""
    packed: bool = True
    """A group's prompt is computed once when learning; off: each episode on its own, as trl does."""
    dtype: Literal["bfloat16", "float32"] = "bfloat16"
    """Of the computation; the weights that are trained are float32."""
    data: Data = Data()
    rollouts: Rollouts = Rollouts()
    selection: Selection = Selection()
    loss: Loss = Loss()
    optimiser: Optimiser = Optimiser()
    lora: Lora | None = None
    sft: Sft = Sft()
    checking: Checking = Checking()

    def steps_for(self, tasks: int) -> int:
        """Steps of the run on so many tasks."""
        return self.steps or max(1, round(self.epochs * tasks / self.rollouts.tasks))


Place = tuple[str | int, ...]
"""Where a value stands: the names of its tables, its own, and what is within it."""


def read_recipe(path: Path) -> Recipe:
    """A recipe from a TOML file.

    With `extends = "other.toml"`, beside its tables, a file states only what differs from another: the path is relative
    to its own folder, tables are merged key by key, everything else is replaced. Raises `InputError` naming the field
    and the file that states it.
    """
    stated, origins = _stated(path, ())
    try:
        return Recipe.model_validate(stated)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        said = f"{field}: {first['msg']}" if field else first["msg"]
        raise InputError(said, where=str(_origin(first["loc"], origins, path))) from error


def _stated(path: Path, above: tuple[Path, ...]) -> tuple[dict[str, Any], dict[Place, Path]]:
    """What a file and those it extends state, and which file states it; `above`: the files that extend it."""
    if any(path.resolve() == one.resolve() for one in above):
        way = " -> ".join(one.name for one in (*above, path))
        raise InputError(f"extends: goes round in a circle: {way}", where=str(above[-1]))
    try:
        own = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"cannot be read: {error}", where=str(path)) from error
    base = own.pop("extends", None)
    if base is None:
        return own, dict.fromkeys(_places(own), path)
    if not isinstance(base, str):
        raise InputError("extends: must be the path of one file", where=str(path))
    if not (path.parent / base).is_file():
        raise InputError(f"extends: there is no file {base}", where=str(path))
    stated, origins = _stated(path.parent / base, (*above, path))
    return _merged(stated, own), origins | dict.fromkeys(_places(own), path)


def _places(table: Mapping[str, Any], above: Place = ()) -> Iterator[Place]:
    for key, value in table.items():
        yield (*above, key)
        if isinstance(value, dict):
            yield from _places(value, (*above, key))


def _merged(base: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    found = dict(base)
    for key, value in own.items():
        old = base.get(key)
        found[key] = _merged(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return found


def _origin(place: Place, origins: Mapping[Place, Path], otherwise: Path) -> Path:
    """The file that states what a complaint is about, or the innermost table around it."""
    parts = [place[:end] for end in range(len(place), 0, -1)]
    return next((origins[part] for part in parts if part in origins), otherwise)
