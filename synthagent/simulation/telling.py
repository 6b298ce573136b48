"""Tools for a model that has no place for them, under a system prompt that is not ours: a benchmark's, or none.

In an episode the opening tells of the tools. Its words are used here too, so that a model reads what it was trained on.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from synthagent.prompts import fingerprint, render
from synthagent.schema.messages import Message
from synthagent.simulation.agent import ToolForm, compact, signature
from synthagent.simulation.model_agent import as_told

TOOLS = "simulation/tools"


def telling_fingerprint() -> str:
    """Fingerprint of the words that tell of tools."""
    return fingerprint(TOOLS)


def telling(messages: Sequence[Message], tools: Sequence[Mapping[str, Any]], form: ToolForm) -> list[Message]:
    """What the model is to read: the history in its form, with the tools at the end of the system prompt.

    `tools` are OpenAI's tool objects. A native form is told of them by the chat template: see `ChatRequest.tools`.
    """
    told = as_told(messages, form)
    if form == "native" or not tools:
        return told
    lines = [_line(tool, form) for tool in tools]
    section = render(TOOLS, tools=lines, form=form)
    if not told or told[0]["role"] != "system":
        return [{"role": "system", "content": section}, *told]
    # As the opening has it: the compact form spares the empty line.
    between = "\n" if form == "compact" else "\n\n"
    return [{"role": "system", "content": f"{told[0]['content']}{between}{section}"}, *told[1:]]


def _line(tool: Mapping[str, Any], form: ToolForm) -> str:
    """A tool in one line. Parts that OpenAI's form lets one leave out may be missing."""
    given = tool["function"]
    parameters = given.get("parameters") or {}
    properties = parameters.get("properties") or {}
    function = {
        "name": given["name"],
        "description": " ".join((given.get("description") or "").split()),
        "parameters": {
            "properties": {name: part if isinstance(part, dict) else {} for name, part in properties.items()},
            "required": parameters.get("required") or (),
        },
    }
    bare = form == "compact" or not function["description"]
    return signature(function) if bare else compact({"function": function})
