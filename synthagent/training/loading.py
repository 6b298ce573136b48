"""Models in the form of transformers: loaded to be sampled from, in this process."""

import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import AutoModelForCausalLM, AutoTokenizer

from synthagent.errors import InputError
from synthagent.llm.model import ChatReply, ChatRequest, ContextOverflow
from synthagent.schema.messages import Message, Usage
from synthagent.training.attention import ATTENTION
from synthagent.training.hf_model import HFModel
from synthagent.training.hf_tokenizer import HFTokenizer, ends_of
from synthagent.training.policy import Policy
from synthagent.training.sampling import Wish
from synthagent.training.tokens import rendered

LONGEST = 8192
"""Tokens of a conversation, unless it is said otherwise."""


@dataclass(frozen=True, slots=True)
class Weights:
    """A model as transformers loads it, and its tokenizer."""

    model: Any
    tokenizer: HFTokenizer
    window: int
    """Tokens that the model can read."""
    adapters: Any = None
    """What peft knows of them, where a recipe wants adapters: see `lora`."""

    def sampler(self, *, slots: int = 32, length: int | None = None) -> HFModel:
        """The model, to be sampled from. `length`: tokens that a conversation may have, as far as it can read."""
        return HFModel(self.model, self.tokenizer.ends, slots=slots, length=min(length or LONGEST, self.window))


def weights(path: Path, dtype: Any = "auto") -> Weights:
    """A model from a folder. Raises `InputError` when there is no model, or no chat template."""
    try:
        tokenizer = AutoTokenizer.from_pretrained(path, local_files_only=True)
        model = AutoModelForCausalLM.from_pretrained(
            path, local_files_only=True, dtype=dtype, attn_implementation=ATTENTION
        ).eval()
    except (OSError, ValueError) as error:
        raise InputError(f"no model that transformers can load: {error}", where=str(path)) from error
    if not tokenizer.chat_template:
        raise InputError("its tokenizer has no chat template", where=str(path), way_out="use an instruct model")
    known = HFTokenizer(tokenizer, ends_of(tokenizer, model.generation_config))
    return Weights(model, known, getattr(model.config, "max_position_embeddings", LONGEST))


def load(path: Path, *, slots: int = 32, length: int | None = None, dtype: Any = "auto") -> Policy:
    """A policy that samples from the model in a folder. Raises `InputError`."""
    found = weights(path, dtype)
    return Policy(found.sampler(slots=slots, length=length), found.tokenizer, f"hf:{path.name}")


class HFChat:
    """A `ChatModel` over a model in this process: what it has read of a conversation is not read again."""

    def __init__(self, policy: Policy):
        self.name = policy.name
        self._policy = policy

    async def complete(self, request: ChatRequest) -> ChatReply:
        """The model's answer. Raises `ContextOverflow` for a conversation beyond its window.

        Of the request's further fields, `top_p` is kept.
        """
        sampler, tokenizer = self._policy.sampler, self._policy.tokenizer
        messages = [_as_template_wants(message) for message in request.messages]
        ids = tokenizer.encode(rendered(tokenizer, messages, request.tools, generation_prompt=True))
        room = sampler.length - len(ids)
        if room < 2:
            raise ContextOverflow(f"{len(ids)} tokens, and the window holds {sampler.length}")
        temperature = 1.0 if request.temperature is None else request.temperature
        seed = secrets.randbits(31) if request.seed is None else request.seed
        wish = Wish(min(request.max_tokens or room, room), temperature, seed, request.extra.get("top_p", 1.0))
        key = object()
        try:
            found = await sampler.sample(key, ids, wish)
        finally:
            sampler.release(key)
        content, stopped = _cut(self._policy.written(found.ids), request.stop)
        return ChatReply(
            content=content,
            finish_reason="stop" if found.ended or stopped else "length",
            usage=Usage(prompt=len(ids), completion=len(found.ids)),
        )

    async def aclose(self) -> None:
        """Nothing to give up."""


def _as_template_wants(message: Message) -> Message:
    """A message whose calls have their arguments as objects: templates write them out as JSON, text once too often.

    What is no JSON object stays as the model wrote it.
    """
    if not message.get("tool_calls"):
        return message
    calls = [
        {**call, "function": {**call["function"], "arguments": _object(call["function"]["arguments"])}}
        for call in message["tool_calls"]
    ]
    return {**message, "tool_calls": calls}


def _object(arguments: str) -> Any:
    try:
        found = json.loads(arguments)
    except (ValueError, RecursionError):
        return arguments
    return found if isinstance(found, dict) else arguments


def _cut(text: str, stops: Sequence[str]) -> tuple[str, bool]:
    """A text up to the first of the stop sequences, and whether there was one. What came after was written in vain."""
    ends = [place for stop in stops if (place := text.find(stop)) >= 0]
    return (text[: min(ends)], True) if ends else (text, False)
