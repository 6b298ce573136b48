"""A model that is asked for types: `await structured.ask(messages, Scenario, stage="scenario")`.

How the wanted schema is made known is found out once an endpoint, by trying: `json_schema`, then the server's own way,
then `json_object`, then the prompt alone. Whatever a server says, every reply is validated here, since servers fail
open; one more turn with the exact errors, then `NotUnderstood` with the text kept. Never together with tools.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar, get_args

import anyio
import orjson
from pydantic import ValidationError

from synthagent.errors import ModelFailed, SynthAgentError
from synthagent.llm.model import ChatModel, ChatReply, ChatRequest
from synthagent.llm.portable import complaints, schema_of
from synthagent.llm.reading import NoJson, json_in
from synthagent.schema.messages import Message
from synthagent.schema.record import Record

R = TypeVar("R", bound=Record)
V = TypeVar("V")

Rung = Literal["json_schema", "structured_outputs", "guided_json", "grammar", "format", "json_object", "prompt"]
"""`structured_outputs` and `guided_json` are vLLM's newer and older way, `grammar` llama.cpp's, `format` Ollama's."""
RUNGS: tuple[Rung, ...] = get_args(Rung)
_WITHOUT = frozenset({"json_object", "prompt"})
"""Rungs on which the server is not told the schema: it goes into the conversation."""
_UNSUPPORTED = frozenset(f"http_{status}" for status in (400, 404, 405, 415, 422, 500, 501))
"""What servers answer to a parameter they do not know. A server that is merely busy answers otherwise."""
_WARM = 0.8
"""Least temperature of a repair turn."""
MOST_ERRORS = 12
"""Errors that a repair turn tells."""


class NotUnderstood(SynthAgentError):
    """The model did not come up with what it was asked for, not even when told what was wrong."""

    def __init__(self, stage: str, errors: Sequence[str], raw: str):
        self.stage, self.errors, self.raw = stage, list(errors), raw
        super().__init__(f"{stage}: {'; '.join(self.errors[:3])}")


@dataclass(frozen=True, slots=True)
class Asked(Generic[V]):
    """An answer of the wanted type, and how it was come by."""

    value: V
    raw: str
    """The text that was accepted."""
    mended: bool
    """It was no valid JSON and had to be mended."""
    turns: int
    """1, or 2 when it took a second turn."""
    rung: Rung


@dataclass
class Ladder:
    """What one endpoint can do; shared by everything that asks it."""

    rung: Rung | None = None
    """How schemas are made known; None until it has been tried."""
    tried: list[tuple[Rung, str]] = field(default_factory=list)
    """(rung, what happened), in the order tried."""
    downgrades: list[str] = field(default_factory=list)
    """What went wrong later, with the rung that was given up."""
    _lock: anyio.Lock = field(default_factory=anyio.Lock)

    async def settled(self, model: ChatModel) -> Rung:
        """The first rung that works, tried once. Raises `ModelFailed` when the endpoint does not answer at all."""
        async with self._lock:
            for rung in RUNGS if self.rung is None else ():
                outcome = await _tried(model, rung)
                self.tried.append((rung, outcome or "works"))
                if outcome is None:
                    self.rung = rung
                    break
        assert self.rung is not None  # the last rung needs no support
        return self.rung

    def give_up(self, rung: Rung, why: str) -> None:
        """One rung down, unless somebody has gone already."""
        if rung == self.rung and rung != RUNGS[-1]:
            self.rung = "json_object" if rung not in _WITHOUT else "prompt"
            self.downgrades.append(f"{rung}: {why[:200]}")


_PROBE = {
    "type": "object",
    "properties": {
        "answer": {"type": "array", "items": {"type": "string", "enum": ["zebra-47"]}, "minItems": 2, "maxItems": 2}
    },
    "required": ["answer"],
    "additionalProperties": False,
}


async def _tried(model: ChatModel, rung: Rung) -> str | None:
    """None if a rung works, found out by what no model would write by itself; else what happened."""
    if rung == "prompt":
        return None
    wish = "Say good morning in one short sentence." + (" Answer in JSON." if rung == "json_object" else "")
    request = ChatRequest(
        [{"role": "user", "content": wish}], temperature=0.0, max_tokens=64, extra=_extra(rung, "probe", _PROBE),
        stage="probe",
    )  # fmt: skip
    try:
        reply = await model.complete(request)
    except ModelFailed as error:
        if error.reason not in _UNSUPPORTED:
            raise
        return f"refused ({error.reason})"
    try:
        value = orjson.loads(reply.content)
    except orjson.JSONDecodeError:
        return "ignored: the reply is no JSON"
    if rung == "json_object":
        return None if isinstance(value, dict) else "ignored: the reply is no object"
    return None if value == {"answer": ["zebra-47"] * 2} else "ignored: the reply does not fit the schema"


def _extra(rung: Rung, name: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    """What the request's body needs for a rung."""
    match rung:
        case "json_schema":
            wanted = {"name": name, "strict": True, "schema": schema}
            return {"response_format": {"type": "json_schema", "json_schema": wanted}}
        case "structured_outputs":
            return {"structured_outputs": {"json": schema}}
        case "guided_json":
            return {"guided_json": schema}
        case "grammar":
            return {"json_schema": schema}
        case "format":
            return {"format": schema}
        case "json_object":
            return {"response_format": {"type": "json_object"}}
        case "prompt":
            return {}


class Structured:
    """A model, asked for types. Cheap: make one for whatever has its own meter, and share the ladder."""

    def __init__(
        self, model: ChatModel, ladder: Ladder | None = None, *, temperature: float | None = None,
        max_tokens: int | None = None, about: str = "",
    ):  # fmt: skip
        self.model, self.ladder = model, ladder or Ladder()
        self._temperature, self._max_tokens, self._about = temperature, max_tokens, about

    async def ask(
        self, messages: Sequence[Message], returns: type[R], *, stage: str, sample: int = 0,
        check: Callable[[R], Sequence[str]] | None = None,
    ) -> Asked[R]:  # fmt: skip
        """An answer of the type `returns` that `check` finds nothing wrong with.

        `check` gives what is wrong with a value that fits the schema, in words for the model. Raises `NotUnderstood`
        after one repair turn, and `ModelFailed`.
        """

        def read(data: Any) -> tuple[R | None, Sequence[str]]:
            try:
                value = _validated(data, returns)
            except ValidationError as error:
                return None, [_in_words(item) for item in error.errors(include_url=False, include_input=False)]
            return value, check(value) if check else ()

        return await self._asked(messages, returns.__name__, schema_of(returns), read, stage, sample)

    async def ask_json(
        self, messages: Sequence[Message], name: str, schema: Mapping[str, Any],
        read: Callable[[Any], tuple[V | None, Sequence[str]]], *, stage: str, sample: int = 0,
    ) -> Asked[V]:  # fmt: skip
        """As `ask`, for a schema that is known only now. `read`: JSON data -> (value, what is wrong with it).

        A schema that servers do not take alike (`portable.complaints`) is told in the conversation instead.
        """
        return await self._asked(messages, name, schema, read, stage, sample, portable=not complaints(schema))

    async def _asked(
        self, messages: Sequence[Message], name: str, schema: Mapping[str, Any],
        read: Callable[[Any], tuple[V | None, Sequence[str]]], stage: str, sample: int, *, portable: bool = True,
    ) -> Asked[V]:  # fmt: skip
        told: list[Message] = list(messages)
        errors: Sequence[str] = []
        for turn in (1, 2):
            rung, reply = await self._reply(told, name, schema, stage, sample, again=turn > 1, portable=portable)
            data, mended, errors = _data_in(reply)
            if not errors:
                value, errors = read(data)
                if value is not None and not errors:
                    return Asked(value, reply.content, mended, turn, rung)
            told += [{"role": "assistant", "content": reply.content}, {"role": "user", "content": _complaint(errors)}]
        raise NotUnderstood(stage, errors, reply.content)

    async def _reply(
        self, messages: Sequence[Message], name: str, schema: Mapping[str, Any], stage: str, sample: int, *,
        again: bool, portable: bool,
    ) -> tuple[Rung, ChatReply]:  # fmt: skip
        while True:
            rung = await self.ladder.settled(self.model)
            if not portable and rung not in _WITHOUT:
                rung = "prompt"
            request = ChatRequest(
                [_schema_told(schema), *messages] if rung in _WITHOUT else messages,
                temperature=_warmer(self._temperature) if again else self._temperature,
                max_tokens=self._max_tokens,
                seed=sample,
                extra=_extra(rung, name, schema),
                sample=sample,
                stage=stage,
                about=self._about,
            )
            try:
                return rung, await self.model.complete(request)
            except ModelFailed as error:
                if rung == "prompt" or error.reason not in ("http_400", "http_422"):
                    raise
                self.ladder.give_up(rung, str(error))


def _warmer(temperature: float | None) -> float | None:
    """A small model that is cold gives the same answer again, whatever it is told about it."""
    return None if temperature is None else max(temperature, _WARM)


def _schema_told(schema: Mapping[str, Any]) -> Message:
    text = orjson.dumps(schema).decode()
    return {"role": "system", "content": f"Answer with one JSON object that fits this JSON Schema:\n{text}"}


def _complaint(errors: Sequence[str]) -> str:
    shown = "\n".join(f"- {error[:400]}" for error in errors[:MOST_ERRORS])
    more = f"\n(and {len(errors) - MOST_ERRORS} more)" if len(errors) > MOST_ERRORS else ""
    return (
        f"That answer cannot be used:\n{shown}{more}\n\nWrite the whole JSON object again, corrected, and nothing else."
    )


def _data_in(reply: ChatReply) -> tuple[Any, bool, list[str]]:
    """(data, mended, errors): either data or errors."""
    if reply.finish_reason == "length":
        return None, False, [f"it was cut off after {reply.usage.completion or 'too many'} tokens: write it shorter"]
    try:
        data, mended = json_in(reply.content)
    except NoJson as error:
        return None, False, [str(error)]
    return data, mended, []


def _validated(data: Any, returns: type[R]) -> R:
    """The record, without what nobody asked for, out of a wrapping that some models add. Raises `ValidationError`."""
    fields = list(returns.model_fields)
    if isinstance(data, list) and len(fields) == 1:
        data = {fields[0]: data}
    if isinstance(data, dict) and len(data) == 1 and not data.keys() & set(fields):
        inner = next(iter(data.values()))
        data = inner if isinstance(inner, dict) else data
    try:
        return returns.model_validate(data)
    except ValidationError as error:
        extra = [item["loc"] for item in error.errors(include_url=False) if item["type"] == "extra_forbidden"]
        if not extra:
            raise
    for place in extra:
        _remove(data, place)
    return returns.model_validate(data)


def _remove(data: Any, place: Sequence[int | str]) -> None:
    for part in place[:-1]:
        try:
            data = data[part]
        except (KeyError, IndexError, TypeError):
            return  # a part of the path that names a branch of a union
    if isinstance(data, dict):
        data.pop(place[-1], None)


def _in_words(item: Mapping[str, Any]) -> str:
    path = ".".join(str(part) for part in item["loc"]) or "the object"
    return f"{path}: {item['msg']}"
