"""Suites that a benchmark's own code runs: who drives it, and where it reaches the models."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio

from synthagent.cli.agents import at_its_own_address
from synthagent.cli.console import say
from synthagent.errors import InputError
from synthagent.evaluation.items import Endpoint, Harness, HarnessOrder, Item
from synthagent.evaluation.suites import Benchmark

if TYPE_CHECKING:
    from synthagent.cli.evaluating import Company


@dataclass(frozen=True, slots=True)
class Reached:
    """Where the models of a suite answer."""

    agent: Endpoint
    user: Endpoint | None = None
    judge: Endpoint | None = None


def harness_of(one: Benchmark) -> Harness:
    """Who drives a suite. Raises `InputError` for a plugin that brings nobody."""
    name = one.suite.name
    if one.harness is not None:
        return one.harness
    from synthagent.evaluation.harness_run import Watch

    if one.suite.harness == "bfcl":
        from synthagent.evaluation.bfcl import SUITES, Bfcl

        return Bfcl(SUITES[name], watch=Watch(say))
    if one.suite.harness == "tau2":
        from synthagent.evaluation.tau2 import SUITES as DOMAINS
        from synthagent.evaluation.tau2 import Tau2

        return Tau2(DOMAINS[name], watch=Watch(say))
    raise InputError(f"{name}: its plugin brings no harness")


def versions_of(one: Benchmark, company: "Company") -> dict[str, str]:
    """What decides a harness's scores besides the models: its versions, and options that are not their defaults.

    Raises `InputError` for a harness that is not there and for options that are none.
    """
    options = {name: value for name, value in _options(company.words.harness_option).items() if name != "unsafe_local"}
    if one.suite.harness and options.get("mode") == "fc":
        del options["mode"]
    return {**harness_of(one).versions(), **options}


def sampled(company: "Company") -> dict[str, Any]:
    """How the agent's model is sampled in a harness, as far as we decide it.

    The harness says the temperature. It asks for no length: the endpoint's own holds, and that is ours where we serve.
    """
    if not company.agent.is_model:
        return {}
    found = {**company.sampling, "temperature": temperature_of(company)}
    return {**found, "max_tokens": None} if at_its_own_address(company.agent, company.settings) else found


def driven(
    one: Benchmark, company: "Company", out: Path, trials: int, reached: Callable[[str], object]
) -> Sequence[Item]:
    """Runs what is missing of a suite in `out`, and gives every try. `reached` is told the agent's address.

    Raises `SuiteFailed`, and `InputError` for models that cannot be reached.
    """
    return anyio.run(_driven, one, company, out, trials, reached)


async def _driven(
    one: Benchmark, company: "Company", out: Path, trials: int, reached: Callable[[str], object]
) -> Sequence[Item]:
    words, chosen = company.words, company.settings
    async with _reach(one, company) as where:
        if company.agent.scheme == "openai":  # any other address is gone with this process
            reached(where.agent.url)
        order = HarnessOrder(
            out=out, agent=where.agent, user=where.user, judge=where.judge, trials=trials, limit=words.limit,
            seed=words.seed, temperature=temperature_of(company), in_flight=chosen.in_flight,
            options={**_options(words.harness_option), **({"unsafe_local": "yes"} if words.unsafe_local else {})},
        )  # fmt: skip
        # In a thread: the endpoints that it talks to are served by this loop.
        return await anyio.to_thread.run_sync(harness_of(one).run, order)


def temperature_of(company: "Company") -> float:
    """Greedy unless it was said otherwise: harnesses ask for that themselves."""
    chosen = company.settings
    return chosen.temperature if "temperature" in chosen.model_fields_set else 0.0


@asynccontextmanager
async def _reach(one: Benchmark, company: "Company") -> AsyncIterator[Reached]:
    from synthagent.cli.serving import endpoint_for

    async with AsyncExitStack() as stack:
        if not company.agent.is_model:
            from synthagent.evaluation.oracle import oracle

            kind = "oracle" if company.agent.argument == "oracle" else "idle"
            double = stack.enter_context(oracle(one.suite.name, kind))  # type: ignore[arg-type]
            yield Reached(double.agent, double.user)
            return
        agent = await stack.enter_async_context(endpoint_for(company.agent, company.settings))
        user = judge = None
        if one.suite.harness == "tau2" or one.harness is not None:
            if company.user is not None:
                same = company.user == company.agent
                user = agent if same else await stack.enter_async_context(endpoint_for(company.user, company.settings))
            if company.bench.judge is not None and one.harness is not None:
                judge = await stack.enter_async_context(endpoint_for(company.bench.judge, company.settings))
        yield Reached(agent, user, judge)


def _options(words: Sequence[str]) -> Mapping[str, str]:
    found: dict[str, str] = {}
    for word in words:
        name, mark, value = word.partition("=")
        if not mark or not name or not value:
            raise InputError(f"--harness-option: '{word}' is not NAME=VALUE")
        found[name] = value
    return found


def setup(name: str) -> None:
    """Builds a harness's own environment. Raises `InputError`, `SuiteFailed`."""
    from synthagent.evaluation import harness_setup

    harness_setup.setup(name, harness_setup.harness_dir(), say)
