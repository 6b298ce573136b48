"""Who plays in an episode: the agent, the user, whoever stands in for tools; opened for as long as a run takes."""

import os
import secrets
import socket
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, astuple, dataclass
from pathlib import Path
from typing import get_args

import orjson

from synthagent import prompts
from synthagent.cli.agents import Models, Role, role
from synthagent.cli.bench import NOBODY, Bench, scoring_of
from synthagent.cli.console import say
from synthagent.cli.services import NOTHING, Serving, served
from synthagent.config import Settings
from synthagent.errors import EpisodeFailure, InputError
from synthagent.llm.ledger import Ledger
from synthagent.llm.recording import Exchange, recorded
from synthagent.rollouts.group import Casting
from synthagent.schema.messages import Protocol
from synthagent.scoring.scorer import Scoring
from synthagent.serve.access import TOKEN_ENV
from synthagent.simulation.agent import REASONING, Agent, ToolForm
from synthagent.simulation.episode import Cast, Stage, facts_user
from synthagent.simulation.faults import Faults
from synthagent.simulation.map_store import MapStore
from synthagent.simulation.model_agent import ModelAgent, Sampling, episode_name, sampling_seed
from synthagent.simulation.model_user import ModelUser, user_fingerprints
from synthagent.simulation.response_map import MapFigures, MapMode, ResponseMap, Tools
from synthagent.simulation.scripted_agents import scripted
from synthagent.simulation.tool_model import CALL, SYSTEM, ToolModel
from synthagent.simulation.users import User
from synthagent.storage.maps import open_store

FACTS = "facts"
Tape = Callable[[Exchange], None]
"""Takes exchanges with a model."""
MODES: tuple[MapMode, ...] = get_args(MapMode)


@dataclass(frozen=True, slots=True)
class Others:
    """Who plays besides the agent."""

    user: Role | None = None
    """None: `facts`."""
    tools: Role | None = None
    """None: nobody stands in for tools."""
    mode: MapMode = "state"
    store: str = "memory"
    """Where the response map is kept: see `open_store`."""
    faults: float = 0.0
    """Share of tool calls that fail on purpose."""
    lint: bool = True
    bench: Bench = NOBODY
    strict: bool = True
    """Whether a user's error is asked for again and then fails the episode, or only noted."""
    serving: Serving = NOTHING
    """What answers tools that are real services."""

    @property
    def models(self) -> list[Role]:
        """Those that are models."""
        return [who for who in (self.user, self.tools, self.bench.judge) if who is not None]

    @property
    def simulating(self) -> bool:
        """Whether tools without a program get answers."""
        return self.tools is not None or self.mode == "frozen"

    @property
    def prompts(self) -> dict[str, str]:
        """Prompt -> fingerprint, of those that are used."""
        tools = {name: prompts.fingerprint(name) for name in (SYSTEM, CALL)} if self.tools else {}
        opening = {REASONING: prompts.fingerprint(REASONING)} if self.serving.reasoning else {}
        return {**tools, **opening, **(user_fingerprints() if self.user else {}), **self.bench.prompts}


def others(
    user: str, tools: str | None, mode: str, store: str | None, tasks: Path, faults: float, *, lint: bool = True,
    strict: bool = True, bench: Bench = NOBODY, serving: Serving = NOTHING,
) -> Others:  # fmt: skip
    """What the options say. Without a store, the map lies beside the tasks. Raises `InputError`."""
    if mode not in MODES:
        raise InputError(f"--map: '{mode}' is not one of {', '.join(MODES)}")
    if not 0 <= faults <= 1:
        raise InputError(f"--faults: {faults:g} is no share: give a number from 0 to 1")
    return Others(
        user=None if user == FACTS else role(user, "--user"),
        tools=None if tools is None else role(tools, "--tools"),
        mode=mode,
        store=store or str(map_beside(tasks)),
        faults=faults,
        lint=lint,
        bench=bench,
        strict=strict,
        serving=serving,
    )


def map_beside(tasks: Path) -> Path:
    """Where the response map of a task file lies unless it is said otherwise: all runs on it share one."""
    return tasks.with_name(tasks.name + ".d") / "map.sqlite"


@dataclass(frozen=True, slots=True)
class Troupe:
    """Everybody but the agent, ready to play."""

    user: Callable[[Stage, int], User]
    tools: ResponseMap | None
    """Who simulates tools."""
    answering: Tools | None
    """Who answers tools without a program, simulated or real."""
    faults: Callable[[Stage, int], Faults | None]


@dataclass(frozen=True, slots=True)
class Company:
    """Everybody, and what they were asked."""

    cast: Casting
    scoring: Scoring
    tools: ResponseMap | None
    ledger: Ledger

    @property
    def figures(self) -> "Figures":
        """What simulators and judges were asked so far."""
        return Figures(self.tools.figures if self.tools else None, self.ledger)


@dataclass(frozen=True, slots=True)
class Figures:
    """What simulators and judges were asked."""

    map: MapFigures | None
    """None: nobody simulates tools."""
    ledger: Ledger

    def lines(self) -> list[str]:
        """In lines for a person."""
        found = []
        if self.map is not None:
            found.append(
                f"response map: {self.map.hits} hits, {self.map.misses} misses ({self.map.aliases} answered already), "
                f"{self.map.calls} model calls"
            )
        return [*found, *self.ledger.told("user", "tools", "judge")]

    def as_bytes(self) -> bytes:
        """As JSON, to be sent from a worker."""
        return orjson.dumps({"map": None if self.map is None else asdict(self.map), "ledger": self.ledger.rows()})


def summed(parts: Iterable[bytes]) -> Figures:
    """The figures of several workers, as `as_bytes` gave them."""
    maps, ledger = [], Ledger()
    for part in map(orjson.loads, parts):
        ledger.add(part["ledger"])
        if part["map"] is not None:
            maps.append(MapFigures(**part["map"]))
    total = MapFigures(*(sum(column) for column in zip(*map(astuple, maps), strict=True))) if maps else None
    return Figures(total, ledger)


@asynccontextmanager
async def troupe(with_: Others, settings: Settings, seed: int, models: Models) -> AsyncIterator[Troupe]:
    """Opens user and tools; what the map was asked is in its store when this ends."""
    speaks = None
    if with_.user is not None:
        speaks = await models.structured(with_.user, "user", settings.user_temperature, settings.user_tokens)

    def user(stage: Stage, sample: int) -> User:
        if speaks is None or with_.user is None:
            return facts_user(stage)
        brief = stage.task.brief
        return ModelUser(
            speaks, with_.user.name, stage.task.hidden, stage.listener, brief.instruction,
            [tool.name for tool in brief.tools], sampling_seed(seed, f"user/{stage.task.id}", sample),
            strict=with_.strict, linted=with_.lint,
        )  # fmt: skip

    def faults(stage: Stage, sample: int) -> Faults | None:
        return Faults(with_.faults, seed, stage.task.id, sample) if with_.faults else None

    async with (
        mapped(with_, settings, models) as tools,
        served(with_.serving, tools, with_.mode, with_.store) as answering,
    ):
        yield Troupe(user, tools, answering, faults)


@asynccontextmanager
async def mapped(with_: Others, settings: Settings, models: Models) -> AsyncIterator[ResponseMap | None]:
    """The response map and whoever stands in for tools; None where nobody does.

    Raises `InputError` at once when the map's store is not there or refuses.
    """
    if not with_.simulating:
        yield None
        return
    simulator = None
    if with_.tools is not None:
        asked = await models.structured(with_.tools, "tools", settings.tools_temperature, settings.tools_tokens)
        simulator = ToolModel(asked, with_.tools.name)
    store = open_store("memory" if with_.mode == "none" else with_.store, os.environ.get(TOKEN_ENV))
    found = ResponseMap(
        store, simulator, with_.mode, who=f"{socket.gethostname()}/{os.getpid()}/{secrets.token_hex(4)}"
    )
    try:
        await _reach(store, with_.store)
        yield found
        try:
            await found.flush()
        except EpisodeFailure as error:  # figures only; what was played is kept
            say(f"the hits of this run are not counted: {error}")
    finally:
        await store.aclose()


async def _reach(store: MapStore, where: str) -> None:
    try:
        await store.ping()
    except EpisodeFailure as error:
        raise InputError(str(error), way_out=f"is there a response map at {where}?") from error


@asynccontextmanager
async def casting(
    who: Role, protocol: Protocol, settings: Settings, seed: int, with_: Others | None = None,
    environ: Mapping[str, str] = os.environ, record: Tape | None = None,
) -> AsyncIterator[Company]:  # fmt: skip
    """Opens what the roles need for as long as the casting is used. `record`: takes the agent's every exchange."""
    async with AsyncExitStack() as stack:
        models = Models(stack, settings, environ)
        all_ = await stack.enter_async_context(troupe(with_ or Others(), settings, seed, models))
        agent, form = await _agents(who, settings, seed, models, record)
        scoring = await scoring_of((with_ or Others()).bench, settings, models)

        def cast_(stage: Stage, sample: int) -> Cast:
            user, faults = all_.user(stage, sample), all_.faults(stage, sample)
            return Cast(agent(stage, sample), user, protocol, form, all_.answering, faults)

        yield Company(cast_, scoring, all_.tools, models.ledger)


async def _agents(
    who: Role, settings: Settings, seed: int, models: Models, record: Tape | None
) -> tuple[Callable[[Stage, int], Agent], ToolForm]:
    """A maker of agents, one an episode, and how their model is told of tools."""
    if who.scheme == "scripted":
        return lambda stage, _: scripted(who.argument, stage), "native"
    if who.scheme == "hf":
        return _policies(who, settings, seed)
    model, form = await models.get(who)
    if record is not None:
        model = recorded(model, record)
    told = settings.tool_form or form
    sampling = Sampling(settings.temperature, settings.max_tokens)

    def agent(stage: Stage, sample: int) -> Agent:
        task_id = stage.task.id
        episode = episode_name(who.name, task_id, sample)
        return ModelAgent(model, who.name, told, sampling, sampling_seed(seed, task_id, sample), episode)

    return agent, told


def _policies(who: Role, settings: Settings, seed: int) -> tuple[Callable[[Stage, int], Agent], ToolForm]:
    """Agents of a model in this process, each of which keeps its own tokens: nothing is read twice."""
    from synthagent.cli.agents import in_process
    from synthagent.training.policy import PolicyAgent

    policy, form = in_process(Path(who.argument), settings)
    told = settings.tool_form or form

    def agent(stage: Stage, sample: int) -> Agent:
        number = sampling_seed(seed, stage.task.id, sample)
        return PolicyAgent(
            policy, told, max_tokens=settings.max_tokens, temperature=settings.temperature, seed=number, name=who.name
        )

    return agent, told
