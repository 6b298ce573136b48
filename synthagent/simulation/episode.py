"""The episode loop: one agent, one user, one world, until somebody ends it or a limit does.

`play` records everything a score needs and decides nothing about it. What goes wrong is classified here, once: an
episode that failed carries a `Failure` with its blame, and is never a reward (invariant 4).
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import anyio
import orjson

from synthagent.errors import Blame, EpisodeFailure
from synthagent.llm.model import ContextOverflow
from synthagent.schema.episodes import (
    AgentEvent,
    Episode,
    Event,
    Failure,
    FormEvent,
    Limits,
    Stop,
    ToolEvent,
    UserEvent,
)
from synthagent.schema.messages import AssistantTurn, Message, Protocol, ToolCall, Usage
from synthagent.schema.tasks import Task
from synthagent.simulation.agent import (
    Agent,
    Answers,
    Calls,
    Malformed,
    Says,
    ToolForm,
    View,
    asks_user,
    assistant_message,
    opening,
    read_turn,
    spoken,
)
from synthagent.simulation.arguments import BadArguments, parse
from synthagent.simulation.calling import called
from synthagent.simulation.compiling import compile_world
from synthagent.simulation.faults import FAULTS, Fault, Faults, cut_short, failed, is_cut_short
from synthagent.simulation.hearing import Listener
from synthagent.simulation.likeness import same_json
from synthagent.simulation.map_store import id_of
from synthagent.simulation.response_map import Tools, key_of
from synthagent.simulation.simulated import Answer, SimulatedCall
from synthagent.simulation.users import FactsUser, User, UserReply
from synthagent.simulation.world import Blueprint, Final, LiveWorld, ToolResult

Clock = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Stage:
    """What all episodes of one task share: the task, its compiled world, its user's ears."""

    task: Task
    blueprint: Blueprint
    listener: Listener


def prepare(task: Task, blueprint: Blueprint | None = None) -> Stage:
    """Compiles a task once; `blueprint` is its world if that is compiled already. Raises `TaskFault`."""
    compiled = blueprint or compile_world(task.brief.tools, task.world, task.world_id)
    return Stage(task, compiled, Listener(task.hidden))


@dataclass(frozen=True, slots=True)
class Cast:
    """Who plays. Agent and user are made anew for each episode."""

    agent: Agent
    user: User
    protocol: Protocol = "text"
    """What is asked for: see `spoken`."""
    form: ToolForm = "native"
    """How the agent's model is told of tools."""
    tools: Tools | None = None
    """Who answers the calls of tools that have no program."""
    faults: Faults | None = None
    """Failures of tools that are injected on purpose; None: there are none."""


class ReplayMismatch(EpisodeFailure):
    """A stored episode does not come out as stored: another engine, or a changed file. Nobody's lack of skill."""


@dataclass(frozen=True, slots=True)
class Played:
    """An episode and the state it ended in."""

    episode: Episode
    final: Final


def facts_user(stage: Stage) -> FactsUser:
    """The user that needs no model."""
    return FactsUser(stage.task.hidden, stage.listener, stage.task.brief.instruction)


async def play(
    stage: Stage, cast: Cast, limits: Limits, *, sample: int = 0, seed: int = 0, clock: Clock = time.monotonic
) -> Played:
    """Plays one episode to its end. Never raises for what an episode can suffer: see `Episode.failure`."""
    begun, started = clock(), time.time()
    run = _Run(stage, cast, limits, clock)
    stop, failure = Stop.FAILED, None
    with stage.blueprint.open() as world:
        run.world = world
        try:
            with anyio.move_on_after(limits.seconds) as scope:
                stop = await run.to_the_end()
            if scope.cancelled_caught:
                stop = Stop.TIME_LIMIT
                failure = Failure(blame=Blame.INFRASTRUCTURE, reason="time_limit", detail=f"{limits.seconds} s")
        except EpisodeFailure as error:
            failure = _failure(error)
        try:
            final = world.final()
        except EpisodeFailure as error:
            stop, failure, final = Stop.FAILED, _failure(error), Final(stage.blueprint.digest, None)
    episode = Episode(
        task_id=stage.task.id,
        sample=sample,
        agent=cast.agent.name,
        user=cast.user.name,
        protocol=run.protocol,
        seed=seed,
        events=tuple(run.events),
        stop=stop,
        failure=failure,
        malformed=run.malformed,
        turns=run.turns,
        usage=run.usage,
        digest=final.digest,
        seconds=round(clock() - begun, 6),
        started=round(started, 3),
    )
    return Played(episode, final)


def _failure(error: EpisodeFailure) -> Failure:
    return Failure(blame=error.blame, reason=error.reason, detail=str(error)[:2000])


@dataclass(slots=True)
class _Run:
    """The state of one episode while it runs."""

    stage: Stage
    cast: Cast
    limits: Limits
    clock: Clock
    world: LiveWorld = field(init=False)
    protocol: Protocol = field(init=False)
    events: list[Event] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)
    malformed: int = 0
    errors: int = 0
    turns: int = 0
    calls: int = 0
    usage: Usage = field(default_factory=Usage)

    def __post_init__(self) -> None:
        self.protocol = spoken(self.stage.task.brief, self.cast.protocol)

    async def to_the_end(self) -> Stop:
        task, cast = self.stage.task, self.cast
        self.messages = opening(task.brief, self.protocol, task.world.now, cast.form)
        view = View(task.brief, self.protocol, self.messages)
        while True:
            before = self.clock()
            try:
                turn = await cast.agent.act(view)
            except ContextOverflow:
                return Stop.TOKEN_LIMIT  # a prompt beyond its own window is the agent's failure, and is scored
            self.turns += 1
            self.usage = self.usage + turn.usage
            stop = await self._take(turn, round(self.clock() - before, 6))
            if stop is not None:
                return stop
            if self.malformed >= self.limits.malformed:
                return Stop.MALFORMED_LIMIT
            if self.limits.errors is not None and self.errors >= self.limits.errors:
                return Stop.ERROR_LIMIT
            if self.usage.completion >= self.limits.tokens:
                return Stop.TOKEN_LIMIT
            if self.turns >= self.limits.turns:
                return Stop.TURN_LIMIT

    async def _take(self, turn: AssistantTurn, seconds: float) -> Stop | None:
        """Records a turn and lets it happen."""
        act = read_turn(turn, self.protocol)
        answer = act.text if isinstance(act, Answers) else None
        self.events.append(
            AgentEvent(
                text=turn.content,
                calls=turn.tool_calls,
                answer=answer,
                truncated=turn.truncated,
                usage=turn.usage,
                seconds=seconds,
            )
        )
        self.messages.append(assistant_message(turn.content, turn.tool_calls))
        match act:
            case Answers():
                return Stop.AGENT_FINAL
            case Calls(calls):
                for number, call in enumerate(calls):
                    stop = await self._call(call)
                    if stop is not None:
                        return self._drop(calls[number + 1 :], stop)
                return None
            case Says(text):
                reply = await self._tell(text)
                self.messages.append({"role": "user", "content": reply.text})
                return Stop.USER_DONE if reply.done else None
            case Malformed(error):
                self._reject(turn, error)
                return None

    def _reject(self, turn: AssistantTurn, error: str) -> None:
        """A malformed turn is answered with its error and counted; calls in it do not run."""
        self.malformed += 1
        self.events.append(FormEvent(error=error))
        for call in turn.tool_calls:
            self.messages.append({"role": "tool", "tool_call_id": call.id, "content": f"error: {error}"})
        if not turn.tool_calls:
            self.messages.append({"role": "user", "content": f"error: {error}"})

    def _drop(self, calls: tuple[ToolCall, ...], stop: Stop) -> Stop:
        """Calls after the one that ended the episode were never run."""
        if calls:
            self.events.append(FormEvent(error=f"{len(calls)} further calls came after the end and did not run"))
        return stop

    async def _call(self, call: ToolCall) -> Stop | None:
        if asks_user(call, self.stage.task.brief, self.protocol):
            return await self._ask(call)
        before = self.clock()
        result, answer = await self._result(call)
        self.events.append(
            ToolEvent(
                call_id=call.id,
                tool=call.name,
                arguments=result.arguments,
                ok=result.ok,
                error=result.error,
                response=result.response,
                changed=result.changed,
                entry_id=answer.entry_id if answer else None,
                alias_of=answer.alias_of if answer else None,
                fault=_fault_in(result),
                seconds=round(self.clock() - before, 6),
            )
        )
        self.errors += not result.ok
        if result.error in ("malformed", "unknown_tool", "bad_arguments"):
            self.malformed += 1
        self.messages.append({"role": "tool", "tool_call_id": call.id, "content": result.response})
        return Stop.TRANSFERRED if result.ok and call.name in self.stage.blueprint.ends else None

    async def _result(self, call: ToolCall) -> tuple[ToolResult, Answer | None]:
        """What comes of a call, and the map's answer if the tool is simulated and no fault came between."""
        self.calls += 1
        fault = self._strike(call.name)
        if fault in ("timeout", "rate_limit"):
            return failed(fault, _read(call.arguments)), None
        result, answer = await called(self.world, self.cast.tools, call.name, call.arguments)
        if fault is not None:
            result = cut_short(result)
        return result, answer

    def _strike(self, tool: str) -> Fault | None:
        blueprint = self.stage.blueprint
        known = blueprint.programs.get(tool) or blueprint.simulated.get(tool)
        if self.cast.faults is None or known is None or tool in blueprint.ends:
            return None
        return self.cast.faults.strike(self.calls, writes=known.writes)

    async def _ask(self, call: ToolCall) -> Stop | None:
        try:
            question = parse(call.arguments).get("question")
            if not isinstance(question, str) or not question.strip():
                raise BadArguments("question: a non-empty string is required")
        except BadArguments as bad:
            self.malformed += 1
            self.events.append(FormEvent(error=f"ask_user: {bad}"))
            self.messages.append({"role": "tool", "tool_call_id": call.id, "content": f"error: {bad}"})
            return None
        reply = await self._tell(question)
        self.messages.append({"role": "tool", "tool_call_id": call.id, "content": reply.text})
        return Stop.USER_DONE if reply.done else None

    async def _tell(self, message: str) -> UserReply:
        before = self.clock()
        reply = await self.cast.user.reply(message)
        self.events.append(
            UserEvent(
                message=message,
                text=reply.text,
                heard=reply.heard,
                disclosed=reply.disclosed,
                asked=reply.asked,
                agreed=reply.agreed,
                done=reply.done,
                findings=reply.findings,
                seconds=round(self.clock() - before, 6),
            )
        )
        return reply


def _read(raw: str) -> dict[str, Any] | None:
    try:
        return parse(raw)
    except BadArguments:
        return None


def _fault_in(result: ToolResult) -> Fault | None:
    return next((fault for fault in FAULTS if fault == result.error), None)


def replay(stage: Stage, episode: Episode, see: Callable[[int, LiveWorld], None] | None = None) -> Final:
    """Runs a stored episode's calls again and gives the state they end in; `see` gets each write and the state then.

    A simulated tool answers what is stored, if the entry's id says that this answer belongs to this call in this state;
    so does a service.
    Raises `ReplayMismatch` when a response or the final digest differs from what was stored.
    """
    with stage.blueprint.open() as world:
        pending: list[ToolCall] = []
        for number, event in enumerate(episode.events):
            if isinstance(event, AgentEvent):
                pending = list(event.calls)
            elif isinstance(event, ToolEvent):
                call = next((c for c in pending if c.id == event.call_id and c.name == event.tool), None)
                if call is None:
                    raise ReplayMismatch(f"event {number}: no turn made this call")
                pending.remove(call)
                if not _as_stored(_again(world, call, event), event):
                    raise ReplayMismatch(f"event {number}: {call.name} answers differently now")
                if see is not None and event.changed:
                    see(number, world)
        final = world.final()
    if final.digest != episode.digest:
        raise ReplayMismatch("the final state differs from the stored digest")
    return final


def _is_json(text: str) -> bool:
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        return False
    return True


def _as_stored(result: ToolResult | None, event: ToolEvent) -> bool:
    """Whether a call comes out as it is stored, in every part that a score may look at."""
    return (
        result is not None
        and result.response == event.response
        and (result.ok, result.error, result.changed) == (event.ok, event.error, event.changed)
        and same_json(result.arguments, event.arguments)
    )


def _again(world: LiveWorld, call: ToolCall, event: ToolEvent) -> ToolResult | None:
    """What comes of a call on replay; None for an answer of a simulated tool that is not this call's."""
    if event.fault in ("timeout", "rate_limit"):
        return failed(event.fault, _read(call.arguments))
    result = world.begin(call.name, call.arguments)
    if isinstance(result, SimulatedCall):
        if event.fault is not None:
            # Half of a simulated answer is stored, and not the whole; it changed nothing.
            cut = not result.tool.writes and is_cut_short(event.response)
            return ToolResult(False, event.response, None, event.fault, result.arguments) if cut else None
        ids = {id_of(key_of(result, mode), event.ok, event.response) for mode in ("state", "paper")}
        if event.entry_id is None or event.entry_id not in ids:
            return None
        if not result.tool.service and not _is_json(event.response):
            return None
        result = world.take(result, Answer(event.ok, event.response, event.entry_id, event.alias_of))
    elif event.fault is not None:
        result = cut_short(result)
    return result
