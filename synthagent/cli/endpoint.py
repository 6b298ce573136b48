"""What an OpenAI-compatible endpoint can do, found out by asking it."""

import os
import time
from collections.abc import Awaitable, Callable, Mapping

import anyio

from synthagent.cli.agents import remote
from synthagent.config import Settings, settings
from synthagent.errors import InputError, SynthAgentError
from synthagent.llm.model import ChatModel, ChatRequest
from synthagent.llm.structured import Ladder, Structured
from synthagent.synthesis.drafts import ToolDraft

Row = dict[str, object]
_TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather in a town.",
        "parameters": {
            "type": "object",
            "properties": {"town": {"type": "string"}},
            "required": ["town"],
            "additionalProperties": False,
        },
    },
}


def examined(endpoint: str, key_env: str | None, environ: Mapping[str, str] = os.environ) -> list[Row]:
    """A row for each thing that may or may not work. `endpoint`: `openai:MODEL@URL`, or a URL and nothing else.

    A bare URL is asked for its models, of which the first is taken. Raises `InputError` for what is neither.
    """
    chosen = settings(None, {"key_env": key_env, "request_timeout": 60.0})
    return anyio.run(_examined, endpoint, chosen, environ)


async def _examined(endpoint: str, chosen: Settings, environ: Mapping[str, str]) -> list[Row]:
    rows: list[Row] = []
    name, at, url = endpoint.removeprefix("openai:").partition("@")
    if not at:
        url = endpoint.removeprefix("openai:")
        if not url.startswith(("http://", "https://")):
            way_out = "write openai:MODEL@http://host:port/v1, or the URL alone"
            raise InputError(f"'{endpoint}' lacks the address", way_out=way_out)
        try:
            models = await _models(url, environ.get(chosen.key_env))
        except SynthAgentError as error:
            return [_row(f"endpoint {url}", False, str(error), necessary=True)]
        name = models[0]
        more = f" (of {len(models)}: {', '.join(models[:8])})" if len(models) > 1 else ""
        rows.append(_row("models", True, f"takes {name}{more}"))
    model = remote(name, url, chosen, environ)
    try:
        answers = await _tried(f"endpoint {endpoint}", lambda: _answers(model), necessary=True)
        rows.append(answers)
        if answers["works"]:
            rows += await _structured(model)
            rows.append(await _tried("tool calls", lambda: _tool_calls(model)))
    finally:
        await model.aclose()
    return rows


def _row(what: str, works: bool, detail: str, *, necessary: bool = False) -> Row:
    return {"what": what, "works": works, "necessary": necessary, "detail": detail}


async def _tried(what: str, try_it: Callable[[], Awaitable[str]], *, necessary: bool = False) -> Row:
    try:
        return _row(what, True, await try_it(), necessary=necessary)
    except SynthAgentError as error:
        return _row(what, False, str(error), necessary=necessary)


async def _models(url: str, key: str | None) -> list[str]:
    """The names at `URL/models`. Raises `InputError` when there are none to be had."""
    import aiohttp

    headers = {"Authorization": f"Bearer {key}"} if key else {}
    try:
        timeout = aiohttp.ClientTimeout(total=15)
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(f"{url.rstrip('/')}/models", headers=headers, allow_redirects=False) as response,
        ):
            if response.status != 200:
                raise InputError(
                    f"HTTP {response.status} from {url}/models", way_out="name the model: openai:MODEL@URL"
                )
            data = await response.json(content_type=None)
    except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
        raise InputError(f"no answer from {url}/models: {str(error) or type(error).__name__}") from error
    entries = data.get("data") if isinstance(data, dict) else None
    names = [e["id"] for e in entries or () if isinstance(e, dict) and isinstance(e.get("id"), str)]
    if not names:
        raise InputError(f"{url}/models names no model", way_out="name it: openai:MODEL@URL")
    return names


async def _answers(model: ChatModel) -> str:
    begun = time.monotonic()
    reply = await model.complete(ChatRequest([{"role": "user", "content": "Say hello."}], max_tokens=8))
    counted = f"{reply.usage.prompt} tokens read, {reply.usage.completion} written"
    if not reply.usage.prompt:
        counted = "it does not count tokens: budgets cannot be kept"
    return f"answers in {time.monotonic() - begun:.2f} s ({counted})"


async def _structured(model: ChatModel) -> list[Row]:
    """How schemas are made known to it, what was tried before that, and how it does with a real one."""
    ladder = Ladder()
    try:
        rung = await ladder.settled(model)
    except SynthAgentError as error:
        return [_row("structured output", False, str(error))]
    tried = ", ".join(f"{name}: {outcome}" for name, outcome in ladder.tried)
    rows = [_row("structured output", rung not in ("json_object", "prompt"), f"by {rung} ({tried})")]
    wish = "Describe one tool of a library's desk that looks up a member by name. Answer with one JSON object."
    try:
        asked = await Structured(model, ladder, max_tokens=600).ask(
            [{"role": "user", "content": wish}], ToolDraft, stage="doctor"
        )
        detail = f"{asked.value.name}, in {asked.turns} turn{'s' if asked.turns > 1 else ''}, by {asked.rung}"
        rows.append(_row("a record asked for", True, detail))
    except SynthAgentError as error:
        rows.append(_row("a record asked for", False, str(error)))
    rows += [_row("downgrade", False, downgrade) for downgrade in ladder.downgrades]
    return rows


async def _tool_calls(model: ChatModel) -> str:
    question = [{"role": "user", "content": "What is the weather in Oslo? Use the tool."}]
    reply = await model.complete(ChatRequest(question, tools=[_TOOL], max_tokens=128, temperature=0.0))
    if not reply.tool_calls:
        raise InputError("it wrote no tool call", way_out="a model without them plays by the text form")
    return f"calls {reply.tool_calls[0].name} {reply.tool_calls[0].arguments[:60]}"
