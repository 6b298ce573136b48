"""An episode as an MCP server: any MCP agent can be dropped into a task's world.

Each tool call is a turn of its own, since MCP calls one tool at a time. `ask_user` is a tool; what the protocol `tools`
has as a message without a tool call, the final answer, is the tool `finish`: it ends the episode and gives the reward.
"""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from synthagent import __version__
from synthagent.errors import InputError
from synthagent.rollouts.group import Outcome
from synthagent.schema.messages import AssistantTurn, ToolCall
from synthagent.serve.http_api import told
from synthagent.serve.pool import Open, Pool
from synthagent.serve.sessions import PROTOCOL
from synthagent.simulation.agent import opening

if TYPE_CHECKING:
    from mcp.server.lowlevel import Server

RESOURCE = "synthagent://opening"
PROMPT = "opening"
OVER = "The episode has ended. Call {finish} to read its reward."
_HOW_IT_ENDS = "Here the final answer is given by calling {finish}, which ends the conversation."


class Said(NamedTuple):
    """What a tool call gives."""

    text: str
    note: str = ""
    """What the wire adds, apart from the text that every agent gets."""
    data: dict[str, Any] | None = None
    failed: bool = False


class McpEpisode:
    """One session of a pool, call by call; calls that come at once are taken one after another."""

    def __init__(self, pool: Pool, opened: Open, *, detail: bool = True):
        """`detail`: whether a score is told criterion by criterion."""
        self._pool, self._opened, self._detail = pool, opened, detail
        self.outcome: Outcome | None = None
        """Once it was closed."""
        names = {tool["function"]["name"] for tool in opened.session.tools}
        self.finish = "finish" if "finish" not in names else "finish_episode"
        task = opened.session.task
        self.opening = opening(task.brief, PROTOCOL, task.world.now)
        """As a rollout has it: the system prompt and the instruction."""

    @property
    def instructions(self) -> str:
        """The opening as one text, and how the episode ends here."""
        system, user = (message["content"] for message in self.opening)
        return f"{system.rstrip()}\n\n{_HOW_IT_ENDS.format(finish=self.finish)}\n\nThe user says:\n{user}"

    @property
    def tools(self) -> list[dict[str, Any]]:
        """Name, description and schema of every tool."""
        return [*(tool["function"] for tool in self._opened.session.tools), self._finish_tool()]

    def _finish_tool(self) -> dict[str, Any]:
        answer = {"type": "string", "description": "What the user hears as your last word."}
        return {
            "name": self.finish,
            "description": "Give your final answer to the user. This ends the episode; the result is its reward.",
            "parameters": {"type": "object", "properties": {"answer": answer}, "additionalProperties": False},
        }

    async def call(self, name: str, arguments: Mapping[str, Any] | None) -> Said:
        """One call. What its arguments are is the world's to judge."""
        if name == self.finish:
            return await self._finished((arguments or {}).get("answer", ""))
        opened, session = self._opened, self._opened.session
        if self._pool.has(opened.id):
            self._pool.find(opened.id)  # over stdio nobody else says that it is in use
        over = OVER.format(finish=self.finish)
        async with opened.lock:
            if self.outcome is not None or session.done:
                return Said(over, failed=True)
            if not session.begun:  # whoever opened it may have begun it already
                await session.start()
            call = ToolCall(id=f"call_{session.turns}_0", name=name, arguments=json.dumps(arguments or {}))
            step = await session.step(AssistantTurn(tool_calls=(call,)))
        text = "\n".join(message["content"] for message in step.messages if message["role"] == "tool")
        return Said(text, over if step.done else "", failed=_is_error(text))

    async def _finished(self, answer: Any) -> Said:
        if not isinstance(answer, str):
            return Said("error: answer: a string is required", failed=True)
        if self.outcome is None:
            self.outcome = await self._pool.close(self._opened, answer)
        found = told(self.outcome, detail=self._detail)
        return Said(orjson.dumps(found, option=orjson.OPT_INDENT_2).decode(), data=found)

    async def leave(self) -> None:
        """The client is gone: what was played is scored as it stands; of what was never begun there is nothing."""
        if self.outcome is None and self._opened.session.turns:
            self.outcome = await self._pool.close(self._opened)
        elif self.outcome is None:
            await self._pool.drop(self._opened)


def _is_error(text: str) -> bool:
    if text.startswith("error: "):
        return True
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return False
    return isinstance(value, dict) and set(value) in ({"error"}, {"error", "partial"})


def server_of(episode: McpEpisode) -> "Server[Any]":
    """The server that speaks for an episode. Raises `InputError` without the extra `mcp`."""
    try:
        import mcp_types as types
        from mcp.server.lowlevel import Server
    except ImportError as error:
        raise InputError(f"MCP cannot be served: {error}", way_out="pip install 'synthagent[mcp]'") from error

    async def list_tools(_: Any, __: Any) -> Any:
        return types.ListToolsResult(
            tools=[
                types.Tool(name=tool["name"], description=tool["description"], input_schema=tool["parameters"])
                for tool in episode.tools
            ]
        )

    async def call_tool(_: Any, params: Any) -> Any:
        said = await episode.call(params.name, params.arguments)
        texts = [said.text, said.note] if said.note else [said.text]
        return types.CallToolResult(
            content=[types.TextContent(type="text", text=text) for text in texts],
            structured_content=said.data,
            is_error=said.failed,
        )

    async def list_prompts(_: Any, __: Any) -> Any:
        return types.ListPromptsResult(prompts=[types.Prompt(name=PROMPT, description="How the episode begins.")])

    async def get_prompt(_: Any, params: Any) -> Any:
        if params.name != PROMPT:
            raise ValueError(f"there is no prompt {params.name[:80]!r} here, only {PROMPT!r}")
        content = types.TextContent(type="text", text=episode.instructions)
        return types.GetPromptResult(messages=[types.PromptMessage(role="user", content=content)])

    async def list_resources(_: Any, __: Any) -> Any:
        about = "The first messages of the episode, in OpenAI's form."
        return types.ListResourcesResult(
            resources=[types.Resource(name=PROMPT, uri=RESOURCE, mime_type="application/json", description=about)]
        )

    async def read_resource(_: Any, params: Any) -> Any:
        if str(params.uri) != RESOURCE:
            raise ValueError(f"there is no resource of this name here, only {RESOURCE}")
        text = orjson.dumps(episode.opening).decode()
        found = types.TextResourceContents(uri=RESOURCE, mime_type="application/json", text=text)
        return types.ReadResourceResult(contents=[found])

    return Server(
        "synthagent", version=__version__, instructions=episode.instructions, on_list_tools=list_tools,
        on_call_tool=call_tool, on_list_prompts=list_prompts, on_get_prompt=get_prompt,
        on_list_resources=list_resources, on_read_resource=read_resource,
    )  # fmt: skip
