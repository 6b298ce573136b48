"""Episodes inside verl 0.9.1: its agent loop plays through the same code as every other trainer.

verl brings the generator; ids, masks, log-probabilities and rewards are made by `Playing`, as everywhere. A row of its
data set holds only a task's id and the file in which it lies: tool schemas of different tasks do not fit one Arrow
column. What has no reward raises, since verl would take None to its own reward function and 0 for a reward (invariant
4): the try is then missing in its group.

verl is imported in this module and nowhere else; `synthagent.training.verl_launch` writes what makes verl load it.
"""

import asyncio
import importlib
import itertools
from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from time import monotonic
from typing import Any
from uuid import uuid4

import orjson

from synthagent.errors import InputError, ModelFailed, SynthAgentError
from synthagent.schema.messages import Protocol
from synthagent.schema.scores import Scored, Unscored
from synthagent.schema.tasks import Task
from synthagent.simulation.agent import Agent, ToolForm
from synthagent.simulation.episode import Cast, Stage, facts_user, prepare
from synthagent.storage.task_file import read_tasks
from synthagent.training.collecting import Playing, Supporting, Try
from synthagent.training.hf_tokenizer import HFTokenizer, ends_of, form_for
from synthagent.training.metrics import CUT
from synthagent.training.policy import Policy
from synthagent.training.recipe import Rollouts
from synthagent.training.sampling import Sampled, Wish

try:
    from transformers import GenerationConfig
    from verl.experimental.agent_loop.agent_loop import AgentLoopBase, AgentLoopMetrics, AgentLoopOutput
except ImportError as error:
    raise ImportError(f"verl's agent loop cannot be imported ({error}): pip install 'synthagent[verl]'") from error

FILES = 8
"""Task files that a worker process keeps: those of training and of held-out sets."""
STAGES = 256
"""Compiled worlds that a worker process keeps: a group's tries come together."""

Opener = Callable[..., AbstractAsyncContextManager[Supporting]]
"""(protocol, form, seed, **options) -> whoever plays with the policy, open for as long as the worker lives."""


class NoReward(SynthAgentError):
    """An episode that must not be learnt from; verl marks its group."""


class ServerSampler:
    """verl's generator as a `Sampler`; `length` is what prompt and response may have together."""

    def __init__(self, server: Any, ends: frozenset[int], length: int, params: Mapping[str, Any], *, seeded: bool):
        """`params`: how verl wants to sample; `seeded`: each turn with a seed of its own."""
        self._server, self._ends, self._length = server, ends, length
        self._params, self._seeded = dict(params), seeded
        self._requests: dict[Hashable, str] = {}
        self.seconds = 0.0
        self.preempted: int | None = None
        self.steps: list[int] = []
        """Versions of the weights that wrote a turn, first and last of each."""

    @property
    def length(self) -> int:
        """Tokens that a conversation may have, prompt included."""
        return self._length

    async def sample(self, key: Hashable, ids: Sequence[int], wish: Wish) -> Sampled:
        """The next turn. Raises `ModelFailed` for whatever the server suffers, also when it gives nothing."""
        params = {
            **self._params,
            "temperature": wish.temperature,
            "max_tokens": wish.max_tokens,
            "stop_token_ids": sorted(self._ends),
        }
        if self._seeded:
            # Under full determinism all requests to a server share verl's seed, and a group's tries would be one.
            params["seed"] = wish.seed
        # One id a conversation: its turns go to the server that has read the turns before.
        request = self._requests.setdefault(key, uuid4().hex)
        begun = monotonic()
        try:
            found = await self._server.generate(request_id=request, prompt_ids=list(ids), sampling_params=params)
        except Exception as error:  # a server of another process raises what it likes
            raise ModelFailed(f"verl's server: {type(error).__name__}: {error}", reason="model:server") from error
        finally:
            self.seconds += monotonic() - begun
        self._note(found)
        return self._read(found, wish)

    def release(self, key: Hashable) -> None:
        """The server forgets by itself."""
        self._requests.pop(key, None)

    def _read(self, found: Any, wish: Wish) -> Sampled:
        if found.stop_reason == "aborted" or not found.token_ids:
            raise ModelFailed("verl's server gave up a turn", reason="model:aborted")
        ids = tuple(found.token_ids[: wish.max_tokens])
        if found.log_probs is None and self._params.get("logprobs"):
            raise ModelFailed("verl's server gave no log-probabilities", reason="model:logprobs")
        logprobs = (0.0,) * len(ids) if found.log_probs is None else tuple(found.log_probs[: len(ids)])
        return Sampled(ids, logprobs, ids[-1] in self._ends)

    def _note(self, found: Any) -> None:
        if found.num_preempted is not None:
            self.preempted = (self.preempted or 0) + found.num_preempted
        known = (found.extra_fields.get(name) for name in ("min_global_steps", "max_global_steps"))
        self.steps += [step for step in known if step is not None]


@lru_cache(maxsize=FILES)
def tasks_of(path: str) -> Mapping[str, Task]:
    """The tasks of a file by id, read once a process. Raises `InputError`."""
    return {task.id: task for task in read_tasks(Path(path))}


@lru_cache(maxsize=STAGES)
def stage_of(path: str, task_id: str) -> Stage:
    """A task of a file, ready to be played. Raises `InputError` when it is not there, `TaskFault`."""
    task = tasks_of(path).get(task_id)
    if task is None:
        raise InputError(f"there is no task {task_id}", where=path, way_out="write the data set anew")
    return prepare(task)


@lru_cache(maxsize=FILES)
def generation_config(path: str) -> Any:
    """What a model's folder says of generation; None if it says nothing."""
    try:
        return GenerationConfig.from_pretrained(path, local_files_only=True)
    except (OSError, ValueError):
        return None


@dataclass(slots=True)
class Opened:
    """Who plays with the policy in this process, by how they were opened: one connection for all episodes."""

    ready: dict[bytes, asyncio.Future[Supporting]] = field(default_factory=dict)
    holding: set[asyncio.Task[None]] = field(default_factory=set)

    async def get(self, opens: str, protocol: Protocol, form: ToolForm, seed: int, options: Mapping[str, Any]) \
            -> Supporting:  # fmt: skip
        """Opens them the first time. Raises what opening raises, to everybody who waits, and tries again later."""
        loop = asyncio.get_running_loop()
        key = orjson.dumps([id(loop), opens, protocol, form, seed, dict(options)])
        if key not in self.ready:
            self.ready[key] = loop.create_future()
            made = opener(opens)(protocol=protocol, form=form, seed=seed, **options)
            task = loop.create_task(self._hold(key, made))
            self.holding.add(task)
            task.add_done_callback(self.holding.discard)
        return await asyncio.shield(self.ready[key])

    async def _hold(self, key: bytes, made: AbstractAsyncContextManager[Supporting]) -> None:
        """Keeps them open in a task of their own: who opens must be who closes."""
        ready = self.ready[key]
        try:
            async with made as supporting:
                ready.set_result(supporting)
                await asyncio.Event().wait()
        except Exception as error:
            del self.ready[key]
            if not ready.done():
                ready.set_exception(error)


def opener(name: str) -> Opener:
    """What `package.module:function` names. Raises `InputError`."""
    module, _, function = name.partition(":")
    try:
        found: Opener = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise InputError(f"opens: '{name}' is not there ({error})", way_out="write package.module:function") from error
    return found


OPENED = Opened()
NUMBERS = itertools.count()


class SynthAgentLoop(AgentLoopBase):
    """One episode a call. Made anew for each of them by verl, from the agent-loop YAML."""

    def __init__(
        self, *args: Any, rollouts: Mapping[str, Any], seed: int = 0, mask_overlong: bool = False, opens: str = "",
        options: Mapping[str, Any] | None = None, **kwargs: Any,
    ):  # fmt: skip
        """`rollouts`: limits, protocol and tool form, as in a recipe; `opens`: who plays, if not the facts user."""
        super().__init__(*args, **kwargs)
        self.rollouts = Rollouts.model_validate(dict(rollouts))
        self.seed, self.mask_overlong = seed, mask_overlong
        self.opens, self.options = opens, dict(options or {})
        path = str(self.config.actor_rollout_ref.model.path)
        self.known = HFTokenizer(self.tokenizer, ends_of(self.tokenizer, generation_config(path)))
        self.form: ToolForm = self.rollouts.tool_form or form_for(self.known)
        self.name = f"hf:{Path(path).name}"

    async def run(self, sampling_params: dict[str, Any], **row: Any) -> AgentLoopOutput:
        """Plays the row's task. Raises `NoReward` for an episode without one, `InputError` for a row without a task."""
        place = row["extra_info"]
        stage = stage_of(str(place["tasks_file"]), str(place["task_id"]))
        sampler = self._sampler(sampling_params)
        policy = Policy(sampler, self.known, self.name)
        playing = Playing(policy, self.form, await self._supporting(), self.rollouts)
        begun = monotonic()
        step = int(row.get("global_steps", 0))
        played = await playing.play(
            stage, sample_of(row), self.seed * 1_000_003 + step, float(sampling_params["temperature"])
        )
        logprobs = bool(sampling_params.get("logprobs"))
        return self._output(played, sampler, monotonic() - begun, logprobs=logprobs)

    def _sampler(self, params: Mapping[str, Any]) -> ServerSampler:
        mine = self.rollout_config
        length = mine.get("max_model_len") or mine.prompt_length + mine.response_length
        return ServerSampler(
            self.server_manager, self.known.ends, int(length), params, seeded=bool(mine.get("full_determinism"))
        )

    async def _supporting(self) -> Supporting:
        protocol, form = self.rollouts.protocol, self.form
        if self.opens:
            return await OPENED.get(self.opens, protocol, form, self.seed, self.options)

        def facts(stage: Stage, _: int, agent: Agent) -> Cast:
            return Cast(agent, facts_user(stage), protocol, form)

        return facts

    def _output(self, played: Try, sampler: ServerSampler, seconds: float, *, logprobs: bool) -> AgentLoopOutput:
        """What verl learns from. Raises `NoReward`."""
        score, tokens = worth(played), played.tokens
        assert tokens is not None
        start, longest = tokens.prompt, int(self.rollout_config.prompt_length)
        if start > longest:
            # verl would cut it on the left, and train on an opening that nobody saw.
            raise NoReward(f"{score.task_id}: an opening of {start} tokens, and prompt_length is {longest}")
        end = start + int(self.rollout_config.response_length)
        mask = list(tokens.mask[start:end])
        episode = played.outcome.episode
        if self.mask_overlong and episode.stop in CUT:
            mask = [0] * len(mask)
        extra: dict[str, Any] = {
            "reward_extra_info": {"n": score.n, "i": score.i, "gate": score.gate, "stop": str(episode.stop)},
            # What a reward was given for, for whoever looks a batch over: Arrow and numpy take it as text.
            "episode_score": score.model_dump_json(),
            "turn_scores": [],
            "tool_rewards": [],
            "min_global_steps": min(sampler.steps, default=None),
            "max_global_steps": max(sampler.steps, default=None),
        }
        return AgentLoopOutput(
            prompt_ids=list(tokens.ids[:start]),
            response_ids=list(tokens.ids[start:end]),
            response_mask=mask,
            response_logprobs=list(tokens.logprobs[start:end]) if logprobs else None,
            reward_score=score.reward,
            num_turns=len(episode.events) + 1,
            metrics=AgentLoopMetrics(
                generate_sequences=sampler.seconds,
                tool_calls=max(seconds - sampler.seconds, 0.0),
                num_preempted=-1 if sampler.preempted is None else sampler.preempted,
            ),
            extra_fields=extra,
        )


def worth(played: Try) -> Scored:
    """The score of an episode that may be learnt from. Raises `NoReward`, which says whose fault it is."""
    score = played.outcome.score
    if isinstance(score, Unscored):
        raise NoReward(f"{score.task_id}: unscored ({score.blame}, {score.reason}) {score.detail}")
    if not score.counts:
        raise NoReward(f"{score.task_id}: a zero that the agent did not cause ({score.blame}, {score.reason})")
    if played.tokens is None:
        raise NoReward(f"{score.task_id}: the policy wrote nothing ({played.outcome.episode.stop})")
    return score


def sample_of(row: Mapping[str, Any]) -> int:
    """Which try of its group this is: verl 0.9.1 numbers them in one of its two trainers."""
    for name in ("session_id", "priority"):
        if row.get(name) is not None:
            return int(row[name])
    return next(NUMBERS)
