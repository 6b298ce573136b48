"""Who plays with a policy in training: opened once for a run, in this process or in each of verl's workers."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from synthagent.cli.agents import Models, role
from synthagent.cli.casting import FACTS, Others, troupe
from synthagent.cli.services import NOTHING, Serving
from synthagent.config import Settings
from synthagent.config import settings as read_settings
from synthagent.schema.messages import Protocol
from synthagent.simulation.agent import Agent, ToolForm
from synthagent.simulation.episode import Cast, Stage
from synthagent.training.collecting import Supporting

OPENS = f"{__name__}:opened"
"""How verl's workers find `opened`."""


@asynccontextmanager
async def company(
    protocol: Protocol, form: ToolForm, seed: int, user: str, settings: Settings, serving: Serving = NOTHING,
    store: str = "memory",
) -> AsyncIterator[Supporting]:  # fmt: skip
    """Everybody but the policy, for as long as this is open; `store`: of what searches found. Raises `InputError`."""
    others = Others(user=None if user == FACTS else role(user, "--user"), serving=serving, store=store)
    async with AsyncExitStack() as stack:
        all_ = await stack.enter_async_context(troupe(others, settings, seed, Models(stack, settings)))

        def cast(stage: Stage, sample: int, agent: Agent) -> Cast:
            return Cast(agent, all_.user(stage, sample), protocol, form, all_.answering, all_.faults(stage, sample))

        yield cast


@asynccontextmanager
async def opened(
    *, protocol: Protocol, form: ToolForm, seed: int, user: str = FACTS, settings_file: str | None = None
) -> AsyncIterator[Supporting]:
    """The same in a worker process of verl, which reads the settings itself: see `verl_agent.Opener`."""
    settings = read_settings(Path(settings_file) if settings_file else None, {})
    async with company(protocol, form, seed, user, settings) as supporting:
        yield supporting
