"""verifiers' measuring stick: a taskset of nothing, and a harness that says back what the model says, six turns long.

A plugin of verifiers, which imports it by the name of this file, from its own folder.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import aiohttp
import orjson
import verifiers.v1 as vf
from verifiers.v1.runtimes import ProgramResult

STEPS = 6
"""As in `benchmarks.serve.scripts`, which brings more than this needs."""
HEADERS = {"Content-Type": "application/json"}

__all__ = ["EchoHarness", "EchoTaskset"]


class EchoData(vf.TaskData):
    """Nothing beyond what every task has."""


class EchoTask(vf.Task[EchoData]):
    """Rewarded for having all its turns."""

    @vf.reward(weight=1.0)
    async def reward(self, trace: vf.Trace) -> float:
        return float(trace.info.get("turns") == STEPS)


class EchoTaskset(vf.Taskset[EchoTask, vf.TasksetConfig]):
    """One task."""

    def load(self) -> Iterator[EchoTask]:
        yield EchoTask(EchoData(id="echo", prompt="Say something."), self.config.task)


class EchoHarness(vf.Harness[vf.HarnessConfig]):
    """Plays in verifiers' process, as our own harness does, against its endpoint."""

    NEEDS_CONTAINER = False
    EXECUTES_CODE = False

    async def launch(
        self, ctx: vf.ModelContext, trace: vf.Trace, runtime: Any, endpoint: str, secret: str,
        mcp_urls: Mapping[str, str], data: EchoData,
    ) -> ProgramResult:  # fmt: skip
        """Six turns, each with all that was said before it."""
        history: list[dict[str, Any]] = [{"role": "user", "content": data.prompt}]
        url = f"{endpoint.rstrip('/')}/chat/completions"
        async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {secret}", **HEADERS}) as client:
            for _ in range(STEPS):
                body = orjson.dumps({"model": ctx.model, "messages": history})
                async with client.post(url, data=body) as response:
                    answer = orjson.loads(await response.read())
                    if response.status != 200:
                        raise RuntimeError(f"the endpoint answered {response.status}: {str(answer)[:300]}")
                message = answer["choices"][0]["message"]
                history += [
                    {"role": "assistant", "content": message["content"]},
                    {"role": "user", "content": message["content"]},
                ]
        trace.info["turns"] = STEPS
        return ProgramResult(exit_code=0, stdout="", stderr="")
