"""Harnesses and endpoints for tests: small programs driven as the benchmarks' own are, and endpoints that die."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from anyio.from_thread import start_blocking_portal

from synthagent.evaluation import bfcl, tau2
from synthagent.evaluation.harness_run import Drive, Watch
from synthagent.evaluation.harness_setup import BFCL, Installed
from synthagent.evaluation.items import Harness, HarnessOrder, Item
from synthagent.evaluation.oracle import Endpoints
from synthagent.llm.stub import Handler, Misbehave, StubServer

HERE = Installed(replace(BFCL, name="small"), Path(sys.prefix), Path(sys.executable), Path(sys.prefix))
"""This very environment, as if it were a harness's."""
Small = Callable[..., Drive]
Play = Callable[..., list[Item]]

PREFACE = """
import json, os, sys, urllib.error, urllib.request
order = json.load(open(sys.argv[1]))

def post(role, **body):
    url = order["base"] + "/" + role + "/v1/chat/completions"
    body = {"model": "x", "messages": [{"role": "user", "content": "hi"}], **body}
    request = urllib.request.Request(url, json.dumps(body).encode(), {"content-type": "application/json"})
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)

def leave(value):
    with open("left.json", "w") as out:
        json.dump(value, out)

"""


@contextmanager
def endpoint(handler: Handler | None = None) -> Iterator[StubServer]:
    """A stub endpoint in a thread, for what is not async."""
    server = StubServer(handler)
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(server):
        yield server


def harness(suite: str) -> Harness:
    """The suite's driver, on the harnesses in the cache."""
    watch = Watch(stall=300)
    if suite in bfcl.SUITES:
        return bfcl.Bfcl(bfcl.SUITES[suite], watch=watch)
    return tau2.Tau2(tau2.SUITES[suite], watch=watch)


def order(out: Path, ends: Endpoints, **more: Any) -> HarnessOrder:
    """An order with these endpoints."""
    return replace(HarnessOrder(out, ends.agent, ends.user, in_flight=2), **more)


@contextmanager
def dying(ends: Endpoints, after: int) -> Iterator[Endpoints]:
    """The same endpoints behind a server that stops answering after so many requests."""
    import aiohttp

    left = iter(range(after))

    async def forward(body: dict[str, Any]) -> Misbehave:
        if next(left, None) is None:
            return Misbehave(drop="before")
        url = f"{ends.agent.url}/chat/completions"
        async with aiohttp.ClientSession() as session, session.post(url, json=body) as answer:
            return Misbehave(answer.status, {"content-type": "application/json"}, await answer.read())

    with endpoint(forward) as server:
        user = replace(ends.user, url=server.url) if ends.user else None
        yield Endpoints(replace(ends.agent, url=server.url), user)
