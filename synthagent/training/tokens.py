"""An episode as tokens: ids, which of them the policy wrote, and how likely it thought them.

Tokens in, tokens out (invariant 7): what was sampled is trained on as it was sampled, and never tokenised again from
text. Everything else, what users and tools say and what a chat template puts around it, is context and carries no loss.
Context is found as the difference of two renderings of the chat template, so that any template will do that renders a
longer conversation as a continuation of the shorter one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from synthagent.errors import SynthAgentError
from synthagent.schema.messages import Message

Tools = Sequence[Mapping[str, Any]]


class TemplateError(SynthAgentError):
    """A chat template does not continue a conversation as it began it, or refuses to render one."""


class Tokenizer(Protocol):
    """A model's tokenizer with its chat template."""

    @property
    def ends(self) -> frozenset[int]:
        """Ids that end a turn of the assistant."""
        ...

    def encode(self, text: str) -> list[int]:
        """The ids of a text; special tokens that stand in it are recognised, none is added."""
        ...

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids, special tokens included."""
        ...

    def render(self, messages: Sequence[Message], tools: Tools | None, *, generation_prompt: bool) -> str:
        """The conversation as the chat template writes it. `generation_prompt`: with the head of the next turn."""
        ...


@dataclass(frozen=True, slots=True)
class Tokens:
    """A conversation as a trainer takes it; all three have one length (invariant 7)."""

    ids: tuple[int, ...]
    mask: tuple[int, ...]
    """1 for what the policy wrote."""
    logprobs: tuple[float, ...]
    """Of what the policy wrote, under the policy that wrote it; 0.0 elsewhere."""

    def __post_init__(self) -> None:
        if not len(self.ids) == len(self.mask) == len(self.logprobs):
            raise ValueError(f"{len(self.ids)} ids, {len(self.mask)} mask, {len(self.logprobs)} logprobs")
        if any(mask == 0 and logprob != 0.0 for mask, logprob in zip(self.mask, self.logprobs, strict=True)):
            raise ValueError("a log-probability for a token that the policy did not write")

    @property
    def prompt(self) -> int:
        """How many tokens come before the first that the policy wrote."""
        return self.mask.index(1) if 1 in self.mask else len(self.mask)


class Scroll:
    """The tokens of one conversation while it goes on: `ids` is what the model is to continue."""

    def __init__(self, tokenizer: Tokenizer, messages: Sequence[Message], tools: Tools | None = None):
        """Begins with the messages of an opening. Raises `TemplateError`."""
        self._tokenizer, self._tools = tokenizer, tools
        self._messages: list[Message] = list(messages)
        self.ids = tokenizer.encode(rendered(tokenizer, messages, tools, generation_prompt=True))
        self._mask = [0] * len(self.ids)
        self._logprobs = [0.0] * len(self.ids)

    def wrote(self, ids: Sequence[int], logprobs: Sequence[float] | None = None) -> None:
        """Takes what was sampled, its end of turn included if it came to one. Raises `ValueError`."""
        if logprobs is not None and len(logprobs) != len(ids):
            raise ValueError(f"{len(ids)} ids with {len(logprobs)} log-probabilities")
        self.ids += ids
        self._mask += [1] * len(ids)
        self._logprobs += [0.0] * len(ids) if logprobs is None else logprobs

    def heard(self, turn: Message, answers: Sequence[Message]) -> None:
        """Takes what came of the turn that was just written, and the head of the next one, as context.

        `turn` is the assistant's message as the history has it: it tells the template what was answered, its text is
        not used. Raises `TemplateError` for a template that rewrites what came before.
        """
        before = [*self._messages, turn]
        tail = turn_end(self._tokenizer, before, self._tools)
        text = continuation(self._tokenizer, before, answers, self._tools)
        self._messages = [*before, *answers]
        self._context(self._unwritten(tail) + text)

    def _unwritten(self, tail: str) -> str:
        """What of the end of a turn the policy did not write itself: all of it if it was cut off."""
        if self.ids and self._mask[-1] and self.ids[-1] in self._tokenizer.ends:
            end = self._tokenizer.decode([self.ids[-1]])
            return tail[tail.index(end) + len(end) :] if end in tail else ""
        return tail

    def _context(self, text: str) -> None:
        ids = self._tokenizer.encode(text)
        self.ids += ids
        self._mask += [0] * len(ids)
        self._logprobs += [0.0] * len(ids)

    @property
    def written(self) -> int:
        """Tokens that the policy wrote."""
        return sum(self._mask)

    @property
    def tokens(self) -> Tokens:
        """What there is so far, without context after the policy's last word: nothing is learnt from that."""
        end = len(self._mask) - self._mask[::-1].index(1) if 1 in self._mask else len(self._mask)
        return Tokens(tuple(self.ids[:end]), tuple(self._mask[:end]), tuple(self._logprobs[:end]))


def rendered(tokenizer: Tokenizer, messages: Sequence[Message], tools: Tools | None, *, generation_prompt: bool) -> str:
    """The template's text. Raises `TemplateError` with what the template says."""
    try:
        return tokenizer.render(messages, tools, generation_prompt=generation_prompt)
    except Exception as error:  # templates raise what they like
        roles = ", ".join(str(message["role"]) for message in messages)
        raise TemplateError(f"the chat template does not render {roles}: {error}") from error


def continuation(
    tokenizer: Tokenizer, before: Sequence[Message], answers: Sequence[Message], tools: Tools | None
) -> str:
    """What the template writes after a conversation when it goes on, up to the head of the assistant's next turn."""
    short = rendered(tokenizer, before, tools, generation_prompt=False)
    long = rendered(tokenizer, [*before, *answers], tools, generation_prompt=True)
    if long.startswith(short):
        return long[len(short) :]
    # A template that hides what an earlier turn thought writes that turn anew; what comes after it is the same.
    tail = _common_tail(tokenizer, before, answers, tools)
    if tail is None:
        raise TemplateError("the chat template rewrites earlier turns: a longer conversation does not continue it")
    return tail


_MARK = "\u2042mark\u2042"


def _common_tail(
    tokenizer: Tokenizer, before: Sequence[Message], answers: Sequence[Message], tools: Tools | None
) -> str | None:
    """The same with the last turn replaced by a mark that no template has anything against."""
    marked = [*before[:-1], {"role": "assistant", "content": _MARK}]
    short = rendered(tokenizer, marked, tools, generation_prompt=False)
    long = rendered(tokenizer, [*marked, *answers], tools, generation_prompt=True)
    ends = short.rpartition(_MARK)[2], long.rpartition(_MARK)[2]
    return ends[1][len(ends[0]) :] if _MARK in short and _MARK in long and ends[1].startswith(ends[0]) else None


def turn_end(tokenizer: Tokenizer, before: Sequence[Message], tools: Tools | None) -> str:
    """What the template writes after the content of an assistant's turn, such as `<|im_end|>` and a line break."""
    marked = [*before[:-1], {"role": "assistant", "content": _MARK}]
    text = rendered(tokenizer, marked, tools, generation_prompt=False)
    if _MARK not in text:
        raise TemplateError("the chat template leaves out what an assistant says")
    return text.rpartition(_MARK)[2]
