"""A model that makes things up: random JSON for whatever schema it is asked for, other words for anything else.

The worst simulator there can be: what is stable with it is stable by construction. For tests, audits and dry runs.
"""

import random
from collections.abc import Mapping
from typing import Any

import orjson

from synthagent.llm.model import ChatReply, ChatRequest
from synthagent.schema.messages import Usage

_WORDS = (
    "amber basin cedar delta ember fjord grove harbor island jasper kettle lagoon meadow north olive prairie quartz "
    "river summit tundra umber valley willow yonder zephyr"
).split()


class Babble:
    """A `ChatModel`: other bytes every time. `calls` counts what it was asked, probes of its abilities left out."""

    def __init__(self, name: str = "scripted:random", seed: int | None = None):
        """`seed`: None draws from the system, so that two processes never say the same."""
        self.name = name
        self.calls = 0
        self._random = random.Random(seed)

    async def complete(self, request: ChatRequest) -> ChatReply:
        if request.stage == "probe":
            return ChatReply("I would rather talk about the weather.", usage=Usage(prompt=1, completion=8))
        self.calls += 1
        schema = _schema_in(request)
        text = self._words(9) if schema is None else orjson.dumps(self._made(schema, ())).decode()
        read = sum(len(str(message.get("content"))) for message in request.messages) // 4
        return ChatReply(text, usage=Usage(prompt=read, completion=len(text) // 4))

    async def aclose(self) -> None:
        """Nothing to close."""

    def _words(self, count: int) -> str:
        return " ".join(self._random.choice(_WORDS) for _ in range(count)) + f" {self._random.randrange(10**9)}"

    def _made(self, schema: Mapping[str, Any], path: tuple[str, ...]) -> Any:
        if path == ("entry",) or path == ("error",):  # it never admits that it has been asked before
            return None
        if "enum" in schema:
            return self._random.choice(schema["enum"])
        if "anyOf" in schema:
            return self._made(next(part for part in schema["anyOf"] if part.get("type") != "null"), path)
        kind = schema.get("type")
        if isinstance(kind, list):
            kind = next((name for name in kind if name != "null"), "null")
        match kind:
            case "object":
                parts = schema.get("properties", {})
                return {name: self._made(part, (*path, name)) for name, part in parts.items()}
            case "array":
                item = schema.get("items", {"type": "string"})
                return [self._made(item, (*path, "0")) for _ in range(max(2, schema.get("minItems", 0)))]
            case "integer":
                return self._random.randrange(10**9)
            case "number":
                return self._random.randrange(10**9) / 100
            case "boolean":
                return self._random.random() < 0.5
            case "null":
                return None
        return self._words(2)


def _schema_in(request: ChatRequest) -> Mapping[str, Any] | None:
    """The schema that a request tells, if it tells one in its first message, as `structured` does."""
    first = request.messages[0] if request.messages else {}
    _, mark, text = str(first.get("content", "")).partition("JSON Schema:\n")
    if not mark or first.get("role") != "system":
        return None
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    return found if isinstance(found, dict) else None
