"""serve agent: an agent's model over a wire; and the same for a command that runs a benchmark's harness."""

import os
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio

from synthagent.cli.agents import SERVED, Role, at_its_own_address, open_model, role
from synthagent.cli.console import say
from synthagent.config import Settings, settings
from synthagent.errors import InputError
from synthagent.evaluation.items import Endpoint
from synthagent.serve.access import TOKEN_ENV, checked_host

if TYPE_CHECKING:
    from synthagent.serve.agent_endpoint import AgentEndpoint


def run_serve_agent(
    text: str, host: str, port: int, name: str | None, config: Path | None, options: Mapping[str, Any]
) -> None:
    """Serves a role's model until it is stopped. Raises `InputError`."""
    token = os.environ.get(TOKEN_ENV)
    checked_host(host, token)
    chosen, who = settings(config, options), role(text, SERVED)
    anyio.run(_served, who, chosen, name or served_name(who), host, port, token)


async def _served(who: Role, chosen: Settings, name: str, host: str, port: int, token: str | None) -> None:
    async with endpoint_of(who, chosen, name, host, port, token) as endpoint:
        say(f"{who.name} is served: openai:{name}@{endpoint.url}")
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            async for _ in signals:
                break
    say(f"stopped; {endpoint.answers} requests were answered")


def served_name(who: Role) -> str:
    """What a role's model is called on the wire, unless it is said otherwise."""
    return who.argument.partition("@")[0] if who.scheme == "openai" else who.name


@asynccontextmanager
async def endpoint_of(
    who: Role, chosen: Settings, name: str, host: str = "127.0.0.1", port: int = 0, token: str | None = None,
    environ: Mapping[str, str] = os.environ,
) -> "AsyncIterator[AgentEndpoint]":  # fmt: skip
    """A role's model behind our own endpoint, which listens while the block runs. Raises `InputError`."""
    from synthagent.llm.threaded import threaded
    from synthagent.serve.agent_endpoint import AgentEndpoint

    async with AsyncExitStack() as stack:
        model, form = await stack.enter_async_context(open_model(who, chosen, environ))
        if who.scheme == "hf":  # it computes here, for seconds at a time
            model = await stack.enter_async_context(threaded(model))
        endpoint = AgentEndpoint(
            model, chosen.tool_form or form, name, host, port, token, in_flight=chosen.in_flight,
            max_tokens=chosen.max_tokens, tell=say,
        )  # fmt: skip
        try:
            await stack.enter_async_context(endpoint)
        except OSError as error:
            raise InputError(f"cannot listen on {host}:{port}: {error.strerror}") from error
        yield endpoint


@asynccontextmanager
async def endpoint_for(
    who: Role, chosen: Settings, environ: Mapping[str, str] = os.environ
) -> AsyncIterator[Endpoint]:  # fmt: skip
    """Where a harness reaches a role's model while the block runs. Raises `InputError`.

    A model behind an endpoint is reached there; any other, and one that is told of tools in a text form, behind a
    server of ours on a free port of loopback. That server answers from this loop: a harness must run in a thread.
    """
    if at_its_own_address(who, chosen):
        name, _, url = who.argument.partition("@")
        yield Endpoint(name, url.rstrip("/"), chosen.key_env if environ.get(chosen.key_env) else "")
        return
    name = served_name(who)
    async with endpoint_of(who, chosen, name, environ=environ) as endpoint:
        yield Endpoint(name, endpoint.url)
