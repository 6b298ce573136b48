"""A tokenizer of transformers with its chat template, as `Scroll` wants one."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from synthagent.errors import InputError
from synthagent.schema.messages import Message
from synthagent.simulation.agent import ToolForm
from synthagent.training.tokens import Tools


class HFTokenizer:
    """Wraps what transformers loads; `ends`: ids that end a turn of the assistant."""

    def __init__(self, tokenizer: Any, ends: frozenset[int]):
        self.inner, self._ends = tokenizer, ends

    @property
    def ends(self) -> frozenset[int]:
        """Ids that end a turn of the assistant."""
        return self._ends

    @property
    def knows_tools(self) -> bool:
        """Whether the chat template has a place for tools; else they are told in the system prompt."""
        return "tools" in str(self.inner.chat_template)

    def encode(self, text: str) -> list[int]:
        """The ids of a text."""
        return list(self.inner.encode(text, add_special_tokens=False))

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids, special tokens included."""
        return str(self.inner.decode(list(ids), skip_special_tokens=False))

    def render(self, messages: Sequence[Message], tools: Tools | None, *, generation_prompt: bool) -> str:
        """The conversation as the chat template writes it."""
        text = self.inner.apply_chat_template(
            list(messages), tools=list(tools) if tools else None, tokenize=False,
            add_generation_prompt=generation_prompt,
        )  # fmt: skip
        return str(text)


def ends_of(tokenizer: Any, model_config: Any = None) -> frozenset[int]:
    """Ids that end a turn: the tokenizer's end of sequence, and those of a model's generation config."""
    configured = getattr(model_config, "eos_token_id", None)
    listed = configured if isinstance(configured, list) else [configured]
    return frozenset(i for i in (*listed, tokenizer.eos_token_id) if i is not None)


def form_for(tokenizer: HFTokenizer) -> ToolForm:
    """How a model is told of tools: by its chat template if that has a place for them."""
    return "native" if tokenizer.knows_tools else "hermes"


def tokenizer_of(path: Path) -> HFTokenizer:
    """The tokenizer of a model's folder, without the model. Raises `InputError` when there is none."""
    from transformers import AutoTokenizer  # heavy, and not needed to wrap what is loaded already

    try:
        found = AutoTokenizer.from_pretrained(path, local_files_only=True)
    except (OSError, ValueError) as error:
        raise InputError(f"no tokenizer that transformers can load: {error}", where=str(path)) from error
    return HFTokenizer(found, ends_of(found))
