"""Roles on the command line: `scripted:NAME`, `openai:MODEL@URL`, `gguf:PATH`, `local:NAME`, `recorded:PATH`."""

import os
import random
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import anyio

from synthagent import plugins
from synthagent.cli.console import say
from synthagent.config import Settings
from synthagent.cores import usable_cores
from synthagent.errors import InputError
from synthagent.llm.ledger import Ledger, metered
from synthagent.llm.model import ChatModel
from synthagent.llm.prices import price_of
from synthagent.llm.structured import Ladder, Structured
from synthagent.scoring.answers import MathAnswers
from synthagent.simulation.agent import ToolForm
from synthagent.simulation.scripted_agents import AGENTS

if TYPE_CHECKING:
    from synthagent.training.policy import Policy

Guard = Callable[[ChatModel], ChatModel]
"""Wraps a model."""
SIMULATORS = ("random",)
"""Scripted models for the user and the tools: `random` makes everything up."""
WEIGHTS = ("gguf", "hf")
"""Schemes that name weights by their path."""
SERVED = "ROLE"
"""The argument of `serve agent`. Scripted agents know the task they play, and cannot be asked over a wire."""
SCHEMES = ("scripted", "openai", "gguf", "hf", "local", "recorded")


@dataclass(frozen=True, slots=True)
class Role:
    """A role as it was written."""

    scheme: str
    argument: str

    @property
    def name(self) -> str:
        """How it is called in records: a file by its name, an endpoint without anything secret."""
        on_disk = self.scheme in (*WEIGHTS, "recorded")
        return f"{self.scheme}:{Path(self.argument).name if on_disk else self.argument}"

    @property
    def is_model(self) -> bool:
        """Whether it is sampled from."""
        return self.scheme != "scripted"

    @property
    def weights(self) -> Path | None:
        """Where its weights are, if they are files of one's own."""
        return Path(self.argument) if self.scheme in WEIGHTS else None


def at_its_own_address(who: Role, settings: Settings) -> bool:
    """Whether a harness reaches a role's model where it is: behind an endpoint, and told of tools by its template."""
    return who.scheme == "openai" and settings.tool_form in (None, "native")


def role(text: str, option: str = "--agent") -> Role:
    """Reads a role, given for an option.

    Raises `InputError` with the forms there are, or when what it names is not there.

    Here and not when it is opened: by then there is a run folder in its name.
    """
    scheme, colon, argument = text.partition(":")
    if not colon or not argument:
        first = {"--teacher": "procedural", "--user": "facts"}.get(option, "scripted:NAME")
        forms = f"{first}, openai:MODEL@URL, gguf:PATH, hf:PATH, local:NAME, recorded:PATH"
        raise InputError(f"{option}: '{text}' is not a role", way_out=f"forms: {forms}")
    known_ = SIMULATORS if option in ("--user", "--tools", "--teacher", "--judge", SERVED) else tuple(AGENTS)
    if scheme == "scripted" and argument not in known_:
        what = "model" if option == SERVED else option[2:]
        raise InputError(f"{option}: no scripted {what} '{argument}'", way_out=f"known: {', '.join(known_)}")
    if scheme not in SCHEMES and scheme not in plugins.names("synthagent.models"):
        known = ", ".join((*SCHEMES, *plugins.names("synthagent.models")))
        raise InputError(f"{option}: unknown scheme '{scheme}'", way_out=f"known: {known}")
    if scheme == "openai":
        name, at, url = argument.partition("@")
        if not at:
            raise InputError(f"{option}: '{text}' lacks the endpoint", way_out="write openai:MODEL@http://host:port/v1")
        remote(name, url, Settings(), {})  # refuses what is no URL
    if scheme in ("gguf", "recorded") and not Path(argument).is_file():
        raise InputError(f"{option}: there is no file '{argument}'")
    if scheme == "hf" and not Path(argument).is_dir():
        raise InputError(
            f"{option}: there is no folder '{argument}'", way_out="hf: takes a folder in transformers' form"
        )
    if scheme == "local":
        _fetched(argument, os.environ)
    return Role(scheme, argument)


def _fetched(name: str, environ: Mapping[str, str]) -> Path:
    from synthagent.llm.local_models import cache_dir, find

    found = find(name, cache_dir(environ))
    if found is None:
        raise InputError(f"{name} is not here yet", way_out=f"synthagent models fetch {name}")
    return found


@asynccontextmanager
async def open_model(
    who: Role, settings: Settings, environ: Mapping[str, str] = os.environ, guard: Guard = lambda model: model
) -> AsyncIterator[tuple[ChatModel, ToolForm]]:
    """The model of a role, and how it is told of tools, for as long as it is used.

    `guard` is put next to the model, inside of every queue and every retry: what it forbids is not begun.
    """
    if who.scheme == "scripted":
        from synthagent.llm.babble import Babble

        yield guard(Babble(who.name)), "native"
        return
    if who.scheme == "openai":
        name, _, url = who.argument.partition("@")
        model = remote(name, url, settings, environ, guard)
        try:
            yield model, "native"
        finally:
            await model.aclose()
        return
    if who.scheme in ("gguf", "local"):
        from synthagent.llm.embedded import embedded
        from synthagent.llm.local_models import named

        form: ToolForm = "native"
        context = 8192
        path = Path(who.argument)
        if who.scheme == "local":
            known = named(who.argument)
            form, context = known.tools, known.context
            path = _fetched(who.argument, environ)
        # A place for each conversation that goes on at once, and for user and tools beside it: a model that plays
        # them all would else forget one prompt over the next.
        parallel = min(settings.in_flight + 2, 4)
        async with embedded(path, threads=settings.threads, parallel=parallel, context=context) as url:
            model = remote("local", url, settings, {}, guard)
            try:
                yield model, form
            finally:
                await model.aclose()
        return
    if who.scheme == "hf":
        policy, form = in_process(Path(who.argument), settings)
        from synthagent.training.loading import HFChat

        yield guard(HFChat(policy)), form
        return
    if who.scheme == "recorded":
        from synthagent.llm.recording import Replayed, exchanges
        from synthagent.storage.journal import read

        kept = list(exchanges(read(Path(who.argument)), who.argument))
        yield guard(Replayed(kept, kept[0].model if kept else "recorded")), "native"
        return
    made: ChatModel = plugins.load("synthagent.models", who.scheme)(who.argument, settings)
    try:
        yield guard(made), "native"
    finally:
        await made.aclose()


def in_process(path: Path, settings: Settings) -> "tuple[Policy, ToolForm]":
    """A model in the form of transformers, and how it is told of tools. Raises `InputError` without torch."""
    try:
        import torch

        from synthagent.training.hf_tokenizer import form_for
        from synthagent.training.loading import weights
        from synthagent.training.policy import Policy
    except ImportError as error:
        way_out = "PyTorch, then pip install 'synthagent[train]': see README, PyTorch"
        raise InputError(f"hf: needs torch and transformers ({error})", way_out=way_out) from error
    torch.set_num_threads(settings.threads or usable_cores())
    found = weights(path)
    sampler = found.sampler(slots=settings.in_flight)
    return Policy(sampler, found.tokenizer, f"hf:{path.name}"), form_for(found.tokenizer)


def remote(
    name: str, url: str, settings: Settings, environ: Mapping[str, str], guard: Guard = lambda model: model
) -> ChatModel:
    """An OpenAI-compatible endpoint, paced and retried: the limiter sees every 429, a waiting retry holds no place."""
    from synthagent.llm.openai import OpenAIChat
    from synthagent.llm.pacing import Limiter, Rate, paced
    from synthagent.llm.retrying import Backoff, retried

    chat = OpenAIChat(name, url, environ.get(settings.key_env), timeout=settings.request_timeout)
    limiter = Limiter(start=min(settings.in_flight, 1024), most=max(settings.in_flight, 1))
    return retried(
        paced(guard(chat), limiter, Rate(settings.rpm, settings.tpm)),
        Backoff(attempts=settings.attempts),
        rng=random.Random(),
        sleep=anyio.sleep,
        tell=say,
    )


class Models:
    """Models by role, each opened once and closed with the stack."""

    def __init__(self, stack: AsyncExitStack, settings: Settings, environ: Mapping[str, str] = os.environ):
        self.ledger = Ledger()
        """What users, tools and judges were asked; the agents' tokens are in their episodes."""
        self.answers = MathAnswers()
        """Who compares final answers as mathematics; no process is begun before there is one to compare."""
        stack.push_async_callback(self.answers.aclose)
        self._stack, self._settings, self._environ = stack, settings, environ
        self._open: dict[Role, tuple[ChatModel, ToolForm]] = {}
        self._ladders: dict[Role, Ladder] = {}

    async def get(self, who: Role) -> tuple[ChatModel, ToolForm]:
        """The model of a role, and how it is told of tools."""
        if who not in self._open:
            self._open[who] = await self._stack.enter_async_context(open_model(who, self._settings, self._environ))
        return self._open[who]

    async def structured(self, who: Role, part: str, temperature: float, max_tokens: int) -> Structured:
        """The model of a role, to be asked for types in one part; what it can do is found out once."""
        model, _ = await self.get(who)
        ladder = self._ladders.setdefault(who, Ladder())
        price = price_of(who.argument.partition("@")[0], self._settings.prices)
        asked = metered(model, self.ledger, part, price=price)
        return Structured(asked, ladder, temperature=temperature, max_tokens=max_tokens)
