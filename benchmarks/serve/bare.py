"""The floor: an aiohttp server that reads what it is sent and answers bytes it has at hand. `python -m ... SCRIPTS`."""

import asyncio
import sys
from pathlib import Path

import orjson
from aiohttp import web

from benchmarks.serve.scripts import read_scripts


async def serve(scripts: Path) -> None:
    """Answers for ever what the first session of a script file was answered: its opening, its first turn, its score."""
    first = read_scripts(scripts)[0]
    opening = orjson.dumps({"session": "constant", **first.answers[0]})
    turn, score = orjson.dumps(first.answers[1]), orjson.dumps(first.answers[-1])

    async def answer(request: web.BaseRequest) -> web.Response:
        await request.read()
        path = request.path
        body = turn if path.endswith("/step") else score if path.endswith("/close") else opening
        return web.Response(body=body, content_type="application/json")

    runner = web.ServerRunner(web.Server(answer, access_log=None))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, backlog=4096).start()
    print(f"http://127.0.0.1:{runner.addresses[0][1]}", flush=True)
    await asyncio.get_running_loop().create_future()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1])))
