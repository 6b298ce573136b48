"""A teacher that is written out (`tests/teachers.py`): what a kept task takes, and what asking costs beside the calls.

Tokens are counted at four bytes each, as the stub endpoint counts them. For CPU, 500 personas ask at once, the endpoint
being 200 ms late, against an aiohttp client that sends the same bodies; tables are not compiled there and nothing is
played, for that is work and not orchestration.
"""

import asyncio
import json
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import aclosing, closing, contextmanager
from pathlib import Path
from time import process_time
from typing import Any

import orjson

from benchmarks.figures import Figure, Target, against
from benchmarks.floors import exchanges
from synthagent.llm.caching import CallCache, cached
from synthagent.llm.ledger import Budget, Ledger, limited, metered
from synthagent.llm.openai import OpenAIChat
from synthagent.llm.pacing import Limiter, Rate, paced
from synthagent.llm.recording import Exchange, recorded
from synthagent.llm.retrying import retried
from synthagent.llm.structured import Ladder, Structured
from synthagent.llm.stub import StubServer
from synthagent.schema.messages import Message
from synthagent.schema.record import Record
from synthagent.synthesis.course import Course, figures, teach
from synthagent.synthesis.fuzzing import FuzzDraft
from synthagent.synthesis.rubric import ViolationsDraft
from synthagent.synthesis.scenario import Scenario
from synthagent.synthesis.solving import Plan as ReferencePlan
from synthagent.synthesis.tables import TablesDraft
from synthagent.synthesis.teaching import Desk, Outcome, Plan, outcome_of
from synthagent.synthesis.toolset import Review, Toolset
from synthagent.synthesis.world import ProgramsDraft
from tests import teachers

REPEATS = 3
LATENCY = 0.2
PERSONAS = 500
KINDS: tuple[type[Record], ...] = (
    Scenario, Toolset, Review, TablesDraft, ProgramsDraft, FuzzDraft, ReferencePlan, ViolationsDraft,
)  # fmt: skip
CALLS = PERSONAS * len(KINDS)
_PROBED = '{"answer": ["zebra-47", "zebra-47"]}'


def teaching() -> Iterator[Figure]:
    """Tokens a kept task, tools compiled, CPU of a whole task, and CPU of a call at 500 in flight."""
    outcomes, kept, spent = asyncio.run(_one_of_each())
    found = figures(outcomes)
    yield Figure("teacher_tokens", float(found["tokens_per_kept_task"]), "tokens a kept task", None, None,
                 Target("value", "<=", 12_000))  # fmt: skip
    yield Figure("teacher_compiled", float(found["compiled_share"]), "share of tools", None, None,
                 Target("value", ">=", 0.9))  # fmt: skip
    yield Figure("teacher_task", spent / len(outcomes) * 1e3, "ms", None, None, Target("value", "<=", 500))
    with tempfile.TemporaryDirectory() as folder, _endpoint() as url:
        bodies = Path(folder, "bodies.json")
        bodies.write_bytes(orjson.dumps([_body(exchange) for exchange in kept if exchange.stage != "probe"]))
        runs = [
            (_child("ours", url, bodies, Path(folder, f"calls{n}.sqlite")), _child("bare", url, bodies))
            for n in range(REPEATS)
        ]
    pairs = [(ours / CALLS * 1e3, bare / CALLS * 1e3) for ours, bare in runs]
    yield against("teacher_call", "ms", pairs, Target("ratio", "<=", 4))


async def _one_of_each() -> tuple[list[Outcome], list[Exchange], float]:
    """Twenty personas of the teacher: how they ended, what was asked for the first, and the CPU it took."""
    outcomes: list[Outcome] = []
    kept: list[Exchange] = []
    async with StubServer(_answer, remember=False) as url, aclosing(OpenAIChat("stub", url)) as chat:
        ladder = Ladder()

        async def take(job: tuple[int, str], own: Ledger) -> Outcome:
            asked = recorded(metered(chat, own, "teacher"), kept.append if job[0] == 0 else lambda _: None)
            desk = Desk(Structured(asked, ladder), Plan(), lambda *_: None)
            return await outcome_of(desk, *job, spent=lambda: own.usage)

        await ladder.settled(chat)
        begun = process_time()
        people = [(n, f"Keeper number {n} of a seed library") for n in range(20)]
        await teach(people, Course(take, in_flight=4), outcomes.append)
        spent = process_time() - begun
    assert all(outcome.tasks for outcome in outcomes), outcomes[0].details
    return outcomes, kept, spent


def _answer(body: dict[str, Any]) -> str:
    if body["messages"][-1]["content"].startswith("Say good"):
        return _PROBED
    return teachers.answer(teachers.wanted(body["messages"]))


def _body(exchange: Exchange) -> dict[str, Any]:
    """What was sent, as the bare client sends it."""
    return {"model": exchange.model, "messages": list(exchange.messages), **exchange.parameters}


# ---- the other processes


def _child(what: str, *arguments: object) -> float:
    """CPU seconds of a part of this module, run as a program."""
    command = [sys.executable, "-m", "benchmarks.teaching", what, *map(str, arguments)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    return float(json.loads(done.stdout))


@contextmanager
def _endpoint() -> Iterator[str]:
    server = subprocess.Popen([sys.executable, "-m", "benchmarks.teaching", "serve"], stdout=subprocess.PIPE)
    assert server.stdout is not None
    try:
        yield server.stdout.readline().decode().strip()
    finally:
        server.terminate()
        server.wait()
        server.stdout.close()


async def _serve() -> None:
    async with StubServer(_answer, latency=LATENCY, remember=False) as url:
        print(url, flush=True)
        await asyncio.get_running_loop().create_future()


async def _ours(url: str, prompts: list[list[Message]], calls: Path) -> None:
    """Every persona asks for one record after another, no call twice: cached, metered, paced, retried, validated."""
    ledger, ladder = Ledger(), Ladder()
    chat = OpenAIChat("stub", url)
    slow = retried(paced(chat, Limiter(PERSONAS, PERSONAS), Rate()))
    with closing(CallCache.open(calls)) as cache:
        model = metered(cached(limited(slow, ledger, Budget()), cache, address=url), ledger, "teacher")
        await ladder.settled(model)

        async def persona(number: int) -> None:
            teacher = Structured(metered(model, Ledger(), "teacher"), ladder)
            for kind, messages in zip(KINDS, prompts, strict=True):
                await teacher.ask(messages, kind, stage=kind.__name__, sample=number)

        async with asyncio.TaskGroup() as group:
            for number in range(PERSONAS):
                group.create_task(persona(number))
        await model.aclose()
    assert ledger.entry("teacher", "Scenario").calls == PERSONAS


def main(what: str, *arguments: str) -> None:
    """One of the other processes."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    if what == "serve":
        asyncio.run(_serve())
    url, bodies = arguments[0], orjson.loads(Path(arguments[1]).read_bytes())
    begun = process_time()
    if what == "ours":
        asyncio.run(_ours(url, [body["messages"] for body in bodies], Path(arguments[2])))
    else:
        sent = [[orjson.dumps({**body, "seed": number}) for body in bodies] for number in range(PERSONAS)]
        begun = process_time()
        asyncio.run(exchanges(f"{url}/chat/completions", sent))
    print(json.dumps(process_time() - begun))


if __name__ == "__main__":
    main(*sys.argv[1:])
