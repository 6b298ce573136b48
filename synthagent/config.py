"""Settings: read once, at the top, from `synthagent.toml` and the command line; the resolved copy goes into the run."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from synthagent.errors import InputError
from synthagent.schema.episodes import Limits
from synthagent.schema.messages import Usage
from synthagent.schema.record import Record
from synthagent.schema.scores import FormulaName, Weights

FILE = "synthagent.toml"


class Price(Record):
    """What a model's tokens cost, in US dollars for a million."""

    input: float = Field(ge=0)
    """Tokens read."""
    output: float = Field(ge=0)
    """Tokens written."""

    def of(self, usage: Usage) -> float:
        """US dollars for so many tokens."""
        return (usage.prompt * self.input + usage.completion * self.output) / 1e6


class Settings(Record):
    """Everything that may be set in `synthagent.toml`; options on the command line win."""

    key_env: str = "OPENAI_API_KEY"
    """Name of the environment variable that holds the endpoint's key."""
    in_flight: int = Field(default=8, ge=1, le=10_000)
    """Episodes under way at once."""
    temperature: float = Field(default=0.7, ge=0)
    """Sampling temperature of a model that plays the agent."""
    max_tokens: int = Field(default=1024, ge=1)
    """Longest turn of the agent, in tokens."""
    tool_form: Literal["native", "hermes", "json", "compact"] | None = None
    """How an agent's model is told of tools: by its chat template, or in the system prompt; unset: what suits it."""
    request_timeout: float = Field(default=300.0, gt=0)
    """Seconds that one model call may take."""
    attempts: int = Field(default=8, ge=1)
    """How often a model call that may succeed later is tried."""
    teacher_tokens: int = Field(default=6000, ge=1)
    """Longest reply of a teacher, in tokens."""
    user_temperature: float = Field(default=0.7, ge=0)
    """Sampling temperature of a model that plays the user."""
    user_tokens: int = Field(default=400, ge=1)
    """Longest reply of a model that plays the user, in tokens."""
    tools_temperature: float = Field(default=0.0, ge=0)
    """Sampling temperature of a model that stands in for tools."""
    tools_tokens: int = Field(default=1500, ge=1)
    """Longest answer of a model that stands in for tools, in tokens."""
    judge_temperature: float = Field(default=0.0, ge=0)
    """Sampling temperature of a judge's first vote; further votes are taken at 0.7 or above."""
    judge_tokens: int = Field(default=2000, ge=1)
    """Longest reply of a judge, in tokens."""
    judge_votes: int = Field(default=3, ge=1, le=9)
    """Most votes on a criterion of which the judge is not sure."""
    undone: float = Field(default=0.4, ge=0, le=1)
    """Share of a workflow that demonstrations may leave undone: a task beyond it gets no rubric."""
    reward: FormulaName = "mean"
    """How verdicts become a reward: mean, strict, subgoals or weighted."""
    reward_weights: Weights = Weights()
    """What `subgoals` and `interactions` count for under the formula weighted."""
    rpm: float | None = Field(default=None, gt=0)
    """Most calls a minute to one endpoint; unset: no limit."""
    tpm: float | None = Field(default=None, gt=0)
    """Most tokens a minute, read and written, to one endpoint; unset: no limit."""
    prices: dict[str, Price] = {}
    """Model -> `{input, output}`, US dollars for a million tokens; before any price list."""
    threads: int | None = Field(default=None, ge=1)
    """Threads of an embedded model; unset: one a core."""
    worker_cpus: float = Field(default=1.0, ge=0)
    """Processors of a Ray cluster that one worker takes."""
    worker_gpus: float = Field(default=0.0, ge=0)
    """GPUs of a Ray cluster that one worker takes: a model in each worker's own process wants one."""
    limits: Limits = Limits()
    """When an episode is cut: `turns`, `tokens`, `malformed`, `seconds`."""


def settings(path: Path | None, options: Mapping[str, Any]) -> Settings:
    """The settings of `path` (default: `synthagent.toml` here, if any), overridden by options that are not None.

    Raises `InputError` naming file and field.
    """
    file = path or Path(FILE)
    data: dict[str, Any] = {}
    if path is not None or file.exists():
        try:
            data = tomllib.loads(file.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise InputError(f"cannot be read: {error}", where=str(file)) from error
    limits = {name: value for name in Limits.model_fields if (value := options.get(name)) is not None}
    merged = {**data, **{name: v for name in Settings.model_fields if (v := options.get(name)) is not None}}
    if limits:
        own = data.get("limits", {})
        merged["limits"] = {**own, **limits} if isinstance(own, dict) else own
    try:
        return Settings.model_validate(merged)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        if options.get(name := field.removeprefix("limits.")) is not None:
            raise InputError(f"--{name.replace('_', '-')}: {first['msg']}") from error
        where = str(file) if field.split(".")[0] in data else None
        raise InputError(f"{field}: {first['msg']}", where=where) from error
