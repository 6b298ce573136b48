"""The model in training as an agent: it samples its own tokens, and an episode's tokens are those it sampled."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import AutoModelForCausalLM, AutoTokenizer

from synthagent.errors import InputError
from synthagent.llm.model import ChatReply, ChatRequest, ContextOverflow
from synthagent.schema.messages import AssistantTurn, Message, Usage
from synthagent.simulation.agent import ToolForm, View, tools_for
from synthagent.simulation.model_agent import as_told, turn_of
from synthagent.training.hf_model import HFModel, Sampled, Wish
from synthagent.training.tokens import Scroll, Tokens, Tools, rendered

LONGEST = 8192
"""Tokens of a conversation, unless it is said otherwise."""


class HFTokenizer:
    """A tokenizer of transformers, as `Scroll` wants one."""

    def __init__(self, tokenizer: Any, ends: frozenset[int]):
        self._tokenizer, self._ends = tokenizer, ends

    @property
    def ends(self) -> frozenset[int]:
        """Ids that end a turn of the assistant."""
        return self._ends

    @property
    def knows_tools(self) -> bool:
        """Whether the chat template has a place for tools; else they are told in the system prompt."""
        return "tools" in str(self._tokenizer.chat_template)

    def encode(self, text: str) -> list[int]:
        """The ids of a text."""
        return list(self._tokenizer.encode(text, add_special_tokens=False))

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids, special tokens included."""
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=False))

    def render(self, messages: Sequence[Message], tools: Tools | None, *, generation_prompt: bool) -> str:
        """The conversation as the chat template writes it."""
        text = self._tokenizer.apply_chat_template(
            list(messages), tools=list(tools) if tools else None, tokenize=False,
            add_generation_prompt=generation_prompt,
        )  # fmt: skip
        return str(text)


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model that can be sampled from, and its tokenizer."""

    model: HFModel
    tokenizer: HFTokenizer
    name: str

    def written(self, ids: Sequence[int]) -> str:
        """The text of a turn, without its end."""
        kept = ids[:-1] if ids and ids[-1] in self.tokenizer.ends else ids
        return self.tokenizer.decode(kept)


def load(path: Path, *, slots: int = 32, length: int | None = None, dtype: Any = "auto") -> Loaded:
    """A model from a folder as transformers saves them.

    `length`: tokens that a conversation may have, as far as the model can read. Raises `InputError` when there is no
    model, or no chat template.
    """
    try:
        tokenizer = AutoTokenizer.from_pretrained(path, local_files_only=True)
        model = AutoModelForCausalLM.from_pretrained(path, local_files_only=True, dtype=dtype).eval()
    except (OSError, ValueError) as error:
        raise InputError(f"no model that transformers can load: {error}", where=str(path)) from error
    if not tokenizer.chat_template:
        raise InputError("its tokenizer has no chat template", where=str(path), way_out="use an instruct model")
    configured = model.generation_config.eos_token_id if model.generation_config else None
    listed = configured if isinstance(configured, list) else [configured]
    ends = frozenset(i for i in (*listed, tokenizer.eos_token_id) if i is not None)
    window = min(length or LONGEST, getattr(model.config, "max_position_embeddings", LONGEST))
    return Loaded(HFModel(model, ends, slots=slots, length=window), HFTokenizer(tokenizer, ends), f"hf:{path.name}")


class HFChat:
    """A `ChatModel` over a model in this process: what it has read of a conversation is not read again."""

    def __init__(self, loaded: Loaded):
        self.name = loaded.name
        self._loaded = loaded

    async def complete(self, request: ChatRequest) -> ChatReply:
        """The model's answer. Raises `ContextOverflow` for a conversation beyond its window."""
        text = rendered(self._loaded.tokenizer, request.messages, request.tools, generation_prompt=True)
        ids = self._loaded.tokenizer.encode(text)
        room = self._loaded.model.length - len(ids)
        if room < 2:
            raise ContextOverflow(f"{len(ids)} tokens, and the window holds {self._loaded.model.length}")
        temperature = 1.0 if request.temperature is None else request.temperature
        seed = secrets.randbits(31) if request.seed is None else request.seed
        wish = Wish(min(request.max_tokens or room, room), temperature, seed)
        key = object()
        found = await self._loaded.model.sample(key, ids, wish)
        self._loaded.model.release(key)
        return ChatReply(
            content=self._loaded.written(found.ids),
            finish_reason="stop" if found.ended else "length",
            usage=Usage(prompt=len(ids), completion=len(found.ids)),
        )

    async def aclose(self) -> None:
        """Nothing to give up."""


class Policy:
    """The agent of one episode: `tokens` is what a trainer takes of it."""

    def __init__(self, loaded: Loaded, form: ToolForm, *, max_tokens: int, temperature: float, seed: int):
        self.name = loaded.name
        self._loaded, self._form = loaded, form
        self._max_tokens, self._temperature, self._seed = max_tokens, temperature, seed
        self._scroll: Scroll | None = None
        self._heard = 0
        self._key = object()

    @property
    def tokens(self) -> Tokens:
        """The episode so far. Raises `ValueError` before the first turn."""
        if self._scroll is None:
            raise ValueError("nothing was played yet")
        return self._scroll.tokens

    async def act(self, view: View) -> AssistantTurn:
        """The model's turn. Raises `ContextOverflow` when the conversation outgrows the window."""
        scroll = self._caught_up(view)
        room = self._loaded.model.length - len(scroll.ids)
        if room < 2:
            raise ContextOverflow(f"{len(scroll.ids)} tokens, and the window holds {self._loaded.model.length}")
        number = sum(message["role"] == "assistant" for message in view.messages)
        wish = Wish(min(self._max_tokens, room), self._temperature, (self._seed + number) % 2**31)
        read = len(scroll.ids)
        found: Sampled = await self._loaded.model.sample(self._key, scroll.ids, wish)
        scroll.wrote(found.ids, found.logprobs)
        reply = ChatReply(
            content=self._loaded.written(found.ids),
            finish_reason="stop" if found.ended else "length",
            usage=Usage(prompt=read, completion=len(found.ids)),
        )
        return turn_of(reply, self._form, number)

    def _caught_up(self, view: View) -> Scroll:
        """The tokens of everything that was said, with the head of the next turn."""
        if self._scroll is None:
            tools = tools_for(view.brief, view.protocol) if self._form == "native" else None
            self._scroll = Scroll(self._loaded.tokenizer, as_told(view.messages, self._form), tools)
        else:
            last = max(n for n, message in enumerate(view.messages) if message["role"] == "assistant")
            turn, *answers = as_told(view.messages[last:], self._form)
            self._scroll.heard(turn, answers)
        return self._scroll
