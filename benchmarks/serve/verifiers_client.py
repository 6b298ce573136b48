"""verifiers' client and its model, a process of their own: `python -m ... URL PID SCRIPTS SESSIONS`, prints JSON.

verifiers is asked for whole episodes, and asks for the model's turns itself: a session is open when it asks for its
first, and a step lasts from the model's answer to the next question. The first answer is held back until everybody has
asked, so the phases are those of `benchmarks.serve.client`. The last step ends with the episode's record, which this
side takes apart first, one after another: it is in the rates, and in no latency.

Run by the Python of an environment that has verifiers.
"""

import asyncio
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson
import verifiers.v1 as vf
from aiohttp import web
from verifiers.v1.serve.client import EnvClient

from benchmarks.serve.measures import Meter, Wrong, innermost
from benchmarks.serve.scripts import Script, read_scripts


class Model:
    """An endpoint that knows its sessions by the model's name, and gives each the turns of a script."""

    def __init__(self, scripts: Sequence[Script], sessions: int, meter: Meter):
        self._answers = [[_completion(turn) for turn in script.turns] for script in scripts]
        self._meter, self._waited_for = meter, sessions
        self._moments = [0.0] * sessions
        self._taken = [0] * sessions
        self.everybody, self.go = asyncio.Event(), asyncio.Event()

    def begins(self, number: int) -> None:
        """A session is asked for."""
        self._moments[number] = time.perf_counter()

    async def answer(self, request: web.BaseRequest) -> web.Response:
        """The next turn of the session that asks."""
        number = int(orjson.loads(await request.read())["model"])
        turn, now = self._taken[number], time.perf_counter()
        (self._meter.steps if turn else self._meter.resets).append(now - self._moments[number])
        if turn == 0:
            self._waited_for -= 1
            if self._waited_for == 0:
                self.everybody.set()
            await self.go.wait()
        self._taken[number] += 1
        self._moments[number] = time.perf_counter()
        return web.Response(body=self._answers[number % len(self._answers)][turn], content_type="application/json")


def _completion(turn: dict[str, Any]) -> bytes:
    """A turn as the text of a completion: the harness has no tools, and what it echoes is as long."""
    message = {"role": "assistant", "content": orjson.dumps(turn).decode()}
    usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return orjson.dumps(
        {"id": "x", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice], "usage": usage}
    )


async def load(url: str, pid: int, scripts: Sequence[Script], sessions: int) -> dict[str, float | None]:
    """Measures verifiers under so many episodes. Raises `Wrong` for one that has no reward of 1."""
    client = EnvClient(url)
    try:
        await client.wait_for_server_startup()
        for alone in (Meter(pid), Meter(pid)):  # the first time, the server warms up: the second counts
            for script in scripts:
                await _episodes(client, [script], 1, alone)
        meter = Meter(pid)
        await _episodes(client, scripts, sessions, meter)
        return meter.found(sessions, alone)
    finally:
        await client.close()


async def _episodes(client: EnvClient, scripts: Sequence[Script], sessions: int, meter: Meter) -> None:
    """So many at once."""
    model = Model(scripts, sessions, meter)
    runner = web.ServerRunner(web.Server(model.answer, access_log=None))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, backlog=4096).start()
    endpoint = vf.EvalClientConfig(base_url=f"http://127.0.0.1:{runner.addresses[0][1]}/v1", api_key_var="NOT_SET")

    async def one(number: int) -> None:
        model.begins(number)
        episode = await client.run(
            endpoint, str(number), vf.SamplingConfig(), {"id": "echo", "prompt": "Say something."}
        )
        [trace] = episode.traces or [None]
        if trace is None or not episode.ok or trace.reward != 1.0:
            raise Wrong(f"episode {number}: {str(episode.errors or trace)[:300]}")
        meter.rewards.append(trace.reward)

    try:
        async with asyncio.TaskGroup() as group:
            with meter.during(meter.opening):
                episodes = [group.create_task(one(number)) for number in range(sessions)]
                await model.everybody.wait()
            meter.all_open()
            with meter.during(meter.stepping):
                model.go.set()
                await asyncio.wait(episodes)
    finally:
        await runner.cleanup()


def main(url: str, pid: str, scripts: str, sessions: str) -> int:
    """Prints what was measured as one line of JSON; 1, and the reason on stderr, if an episode went wrong."""
    try:
        found = asyncio.run(load(url, int(pid), read_scripts(Path(scripts)), int(sessions)))
    except Exception as error:
        print(innermost(error), file=sys.stderr)
        return 1
    print(orjson.dumps(found).decode())
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
