"""The client, a process of its own: `python -m benchmarks.serve.client KIND URL PID SCRIPTS SESSIONS`, prints JSON.

All sessions at once and in three phases, so that each can be told apart in the server's processor time: everybody
opens, then everybody takes turn after turn without waiting for anybody else, then everybody closes. Nobody thinks in
between: a session has a request under way all the time, so latencies are those of a server that has all it can do.
"""

import asyncio
import sys
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import aiohttp
import orjson

from benchmarks.serve.measures import Meter, Wrong, innermost
from benchmarks.serve.scripts import STEPS, Script, read_scripts

HEADERS = {"Content-Type": "application/json"}


class Player(Protocol):
    """One session on the client's side."""

    reward: float | None
    """Once it is known, if there is one."""

    async def open(self) -> None: ...

    async def step(self, number: int) -> None: ...

    async def close(self) -> None: ...


class Http:
    """Over plain HTTP. With `checked`, turns and rewards must be the script's; the bare server knows neither."""

    def __init__(self, web: aiohttp.ClientSession, url: str, script: Script, *, checked: bool):
        self._web, self._url, self._script, self._checked = web, url, script, checked
        self.reward: float | None = None
        self._bodies = [orjson.dumps({"message": turn}) for turn in script.turns]

    async def open(self) -> None:
        opened = await self._sent(f"{self._url}/sessions", orjson.dumps({"task_id": self._script.task_id}))
        self._at = f"{self._url}/sessions/{opened['session']}"

    async def step(self, number: int) -> None:
        step = await self._sent(f"{self._at}/step", self._bodies[number])
        if self._checked:
            _same(step, self._script.answers[1 + number], self._script)

    async def close(self) -> None:
        score = await self._sent(f"{self._at}/close", b"{}")
        if self._checked:
            self.reward = score["reward"]
            _same(self.reward, self._script.reward, self._script)

    async def _sent(self, url: str, body: bytes) -> Any:
        async with self._web.post(url, data=body, headers=HEADERS) as response:
            answer = await response.read()
            if response.status not in (200, 201):
                raise Wrong(f"{url} answered {response.status}: {answer[:300]!r}")
        return orjson.loads(answer)


class OpenEnv:
    """Over OpenEnv's websocket. With `checked` it is our environment, else one that echoes a turn as text."""

    def __init__(self, web: aiohttp.ClientSession, url: str, script: Script, *, checked: bool):
        self._web, self._url, self._script, self._checked = web, url, script, checked
        self.reward: float | None = None
        said = script.turns if checked else [orjson.dumps(turn).decode() for turn in script.turns]
        self._bodies = [_told("step", {"message": message}) for message in said]

    async def open(self) -> None:
        self._socket = await self._web.ws_connect(f"{self._url}/ws", max_msg_size=0)
        await self._asked(_told("reset", {"task_id": self._script.task_id} if self._checked else {}))

    async def step(self, number: int) -> None:
        found = await self._asked(self._bodies[number])
        if self._checked:
            expected = self._script.answers[1 + number]
            _same(found["observation"]["messages"], expected["messages"], self._script)
            _same(found["done"], expected["done"], self._script)
            self.reward = found["reward"]
            _same(self.reward, self._script.reward if expected["done"] else None, self._script)

    async def close(self) -> None:
        await self._socket.close()

    async def _asked(self, body: str) -> Any:
        await self._socket.send_str(body)
        answer = orjson.loads(await self._socket.receive_str())
        if answer["type"] == "error":
            raise Wrong(f"{self._url} answered {str(answer)[:300]}")
        return answer["data"]


def _told(kind: str, data: Mapping[str, Any]) -> str:
    return orjson.dumps({"type": kind, "data": data}).decode()


def _same(found: Any, expected: Any, script: Script) -> None:
    if found != expected:
        raise Wrong(f"task {script.task_id}: {str(found)[:200]} where {str(expected)[:200]} was expected")


KINDS: dict[str, Callable[[aiohttp.ClientSession, str, Script], Player]] = {
    "http": lambda web, url, script: Http(web, url, script, checked=True),
    "bare": lambda web, url, script: Http(web, url, script, checked=False),
    "openenv": lambda web, url, script: OpenEnv(web, url, script, checked=True),
    "echo": lambda web, url, script: OpenEnv(web, url, script, checked=False),
}


async def load(kind: str, url: str, pid: int, scripts: Sequence[Script], sessions: int) -> dict[str, float | None]:
    """Measures a server under so many sessions. Raises `Wrong`, or what aiohttp raises."""
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0), cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None),
    ) as web:  # fmt: skip
        for alone in (Meter(pid), Meter(pid)):  # the first time, every task is compiled: the second counts
            for script in scripts:
                await _alone(KINDS[kind](web, url, script), alone)
        meter = Meter(pid)
        players = [KINDS[kind](web, url, scripts[number % len(scripts)]) for number in range(sessions)]
        with meter.during(meter.opening):
            await _all([_opened(player, meter) for player in players])
        meter.all_open()
        with meter.during(meter.stepping):
            await _all([_stepped(player, meter) for player in players])
        with meter.during(meter.closing):
            await _all([player.close() for player in players])
        meter.rewards += [player.reward for player in players if player.reward is not None]
        return meter.found(sessions, alone)


async def _alone(player: Player, meter: Meter) -> None:
    await _opened(player, meter)
    await _stepped(player, meter)
    await player.close()


async def _opened(player: Player, meter: Meter) -> None:
    begun = time.perf_counter()
    await player.open()
    meter.resets.append(time.perf_counter() - begun)


async def _stepped(player: Player, meter: Meter) -> None:
    for number in range(STEPS):
        begun = time.perf_counter()
        await player.step(number)
        meter.steps.append(time.perf_counter() - begun)


async def _all(acts: Sequence[Coroutine[Any, Any, None]]) -> None:
    """Everybody at once; the first that fails ends it for all."""
    async with asyncio.TaskGroup() as group:
        for act in acts:
            group.create_task(act)


def main(kind: str, url: str, pid: str, scripts: str, sessions: str) -> int:
    """Prints what was measured as one line of JSON; 1, and the reason on stderr, if a session went wrong."""
    try:
        found = asyncio.run(load(kind, url, int(pid), read_scripts(Path(scripts)), int(sessions)))
    except Exception as error:
        print(innermost(error), file=sys.stderr)
        return 1
    print(orjson.dumps(found).decode())
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
