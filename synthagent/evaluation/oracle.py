"""Public doubles of models for the official harnesses, over real HTTP: one knows every answer, one does nothing.

With the first a harness must come to its full score, with the second to its null baseline; so a run of them shows that
the way from an endpoint to a score is whole. `python -m synthagent.evaluation.oracle SUITE` serves one until it is
killed.
"""

import argparse
import asyncio
import contextlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from synthagent.errors import InputError
from synthagent.evaluation import bfcl, tau2
from synthagent.evaluation.harness_setup import harness_dir, installed
from synthagent.evaluation.items import Endpoint
from synthagent.llm.model import ChatReply
from synthagent.llm.stub import StubServer

Kind = Literal["oracle", "idle"]
"""`oracle` knows every answer. `idle` says one sentence and calls nothing."""


@dataclass(frozen=True, slots=True)
class Endpoints:
    """What a `HarnessOrder` needs of models."""

    agent: Endpoint
    user: Endpoint | None = None


@contextmanager
def oracle(suite: str, kind: Kind = "oracle", where: Path | None = None) -> Iterator[Endpoints]:
    """Serves a double for this suite while the block runs; `where` is the folder of the harnesses.

    TAU-2's user is a double too: an oracle agent talks to nobody else. Raises `InputError` for a suite that no harness
    drives, and for a harness that is not installed.
    """
    from anyio.from_thread import start_blocking_portal

    handler, has_user = answering(suite, kind, where or harness_dir())
    with start_blocking_portal() as portal:
        server = StubServer(handler, remember=False)
        with portal.wrap_async_context_manager(server) as url:
            user = Endpoint(f"{kind}-user", url) if has_user else None
            yield Endpoints(Endpoint(f"{kind}-agent", url), user)


def answering(suite: str, kind: Kind, where: Path) -> tuple[Callable[[dict[str, Any]], ChatReply], bool]:
    """What answers this suite's requests, and whether it plays the user as well. Raises `InputError`."""
    if suite in bfcl.SUITES:
        from synthagent.evaluation.bfcl_oracle import BfclOracle

        data = installed("bfcl", where).module / "data"
        return BfclOracle(data, bfcl.SUITES[suite]) if kind == "oracle" else _idle, False
    if suite in tau2.SUITES:
        from synthagent.evaluation.tau2_oracle import Tau2Oracle

        domains = tau2.domains_folder(installed("tau2", where))
        return Tau2Oracle(domains, tau2.SUITES[suite], idle=kind == "idle"), True
    known = ", ".join((*bfcl.SUITES, *tau2.SUITES))
    raise InputError(f"there is no double for '{suite}'", way_out=f"known: {known}")


def _idle(_: dict[str, Any]) -> ChatReply:
    return ChatReply(content="I have nothing to do.")


async def _serve(server: StubServer) -> None:
    async with server as url:
        print(url, flush=True)
        await asyncio.get_running_loop().create_future()


def main(arguments: list[str] | None = None) -> None:
    """Serves until it is killed; prints its base URL first. Its models are called `agent` and `user`."""
    parser = argparse.ArgumentParser(prog="python -m synthagent.evaluation.oracle", description=__doc__)
    parser.add_argument("suite", choices=[*bfcl.SUITES, *tau2.SUITES])
    parser.add_argument("--kind", choices=get_args(Kind), default="oracle")
    parser.add_argument("--port", type=int, default=0, help="0: any free one")
    parser.add_argument("--harnesses", type=Path, help="the folder of the harnesses")
    parser.add_argument("--latency", type=float, default=0.0, help="seconds before every answer")
    chosen = parser.parse_args(arguments)
    handler, _ = answering(chosen.suite, chosen.kind, chosen.harnesses or harness_dir())
    server = StubServer(handler, port=chosen.port, latency=chosen.latency, remember=False)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(server))


if __name__ == "__main__":
    main()
