"""Invariant 7: what was sampled is trained on as it was sampled, and nothing else carries loss, with any template."""

import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jinja2.sandbox import ImmutableSandboxedEnvironment

from synthagent.simulation.agent import to_hermes
from synthagent.training.tokens import Scroll, TemplateError, Tokens

TEMPLATES = Path(__file__).parent.parent / "data" / "templates"
SHAPES = ("chatml", "llama3", "mistral", "smollm2", "thinking")
END = {
    "chatml": "<|im_end|>",
    "llama3": "<|eot_id|>",
    "mistral": "</s>",
    "smollm2": "<|im_end|>",
    "thinking": "<|im_end|>",
}
SPECIAL = re.compile(r"<\|[a-z_]+\|>|</?s>|\[/?[A-Z_]+\]|</?think>")
TOOLS = [{"type": "function", "function": {"name": "look", "description": "Looks.", "parameters": {"type": "object"}}}]


class Bytes:
    """A tokenizer of bytes, special tokens apart, with a chat template of this shape."""

    def __init__(self, shape: str):
        self.shape = shape
        self._ids: dict[str, int] = {}
        environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
        environment.globals["raise_exception"] = _refuse
        self._template = environment.from_string((TEMPLATES / f"{shape}.jinja").read_text())
        self.ends = frozenset(self.encode(END[shape]))

    def encode(self, text: str) -> list[int]:
        ids: list[int] = []
        last = 0
        for match in SPECIAL.finditer(text):
            ids += text[last : match.start()].encode()
            ids.append(self._ids.setdefault(match[0], 256 + len(self._ids)))
            last = match.end()
        return [*ids, *text[last:].encode()]

    def decode(self, ids: Sequence[int]) -> str:
        names = {number: name for name, number in self._ids.items()}
        return b"".join(names[i].encode() if i > 255 else bytes([i]) for i in ids).decode()

    def render(self, messages, tools, *, generation_prompt):
        return self._template.render(messages=messages, tools=tools, add_generation_prompt=generation_prompt)


def _refuse(text: str) -> None:
    raise ValueError(text)


@cache
def tokenizer(shape: str) -> Bytes:
    return Bytes(shape)


WORDS = st.text(st.characters(codec="utf-8", exclude_characters="<>[]|{}"), min_size=1, max_size=12).map(
    lambda text: text.strip() or "well"
)
TURNS = st.lists(st.tuples(WORDS, WORDS, st.booleans()), min_size=1, max_size=4)
shapes = pytest.mark.parametrize("shape", SHAPES)


def opening(task: str):
    return [{"role": "system", "content": "You help."}, {"role": "user", "content": task}]


def talked(shape: str, task: str, turns, *, cut: bool = False):
    """A conversation as tokens, and the pieces that were sampled. The policy writes what the template would."""
    speaks = tokenizer(shape)
    tools = TOOLS if shape != "smollm2" else None
    scroll = Scroll(speaks, opening(task), tools)
    pieces = []
    for said, answer, calls in turns:
        ids = speaks.encode(said) + ([] if cut else sorted(speaks.ends))
        scroll.wrote(ids, [-0.5] * len(ids))
        pieces.append(ids)
        turn = {"role": "assistant", "content": said}
        reply = {"role": "tool" if calls else "user", "content": answer}
        if calls:
            call = {"id": "call00001", "type": "function", "function": {"name": "look", "arguments": "{}"}}
            turn, reply = {**turn, "tool_calls": [call]}, {**reply, "tool_call_id": "call00001"}
        if shape == "smollm2":
            scroll.heard(*(lambda one, two: (one, [two]))(*to_hermes([turn, reply])))
        else:
            scroll.heard(turn, [reply])
    return scroll, pieces


@shapes
@settings(deadline=None, max_examples=60)
@given(task=WORDS, turns=TURNS)
def test_what_was_sampled_is_there_as_it_was_sampled_and_alone_carries_loss(shape, task, turns):
    scroll, pieces = talked(shape, task, turns)
    tokens = scroll.tokens
    assert len(tokens.ids) == len(tokens.mask) == len(tokens.logprobs)
    written = [i for i, mask in zip(tokens.ids, tokens.mask, strict=True) if mask]
    assert written == [i for piece in pieces for i in piece]
    assert {logprob for logprob, mask in zip(tokens.logprobs, tokens.mask, strict=True) if mask} == {-0.5}
    assert {logprob for logprob, mask in zip(tokens.logprobs, tokens.mask, strict=True) if not mask} == {0.0}


@shapes
@settings(deadline=None, max_examples=60)
@given(task=WORDS, turns=TURNS)
def test_a_policy_that_writes_what_the_template_would_sees_what_the_template_writes(shape, task, turns):
    """Turn by turn, what the model is asked to continue is the conversation as the template renders it."""
    plain = [(said, answer, False) for said, answer, _ in turns]
    scroll, _ = talked(shape, task, plain)
    messages = opening(task)
    for said, answer, _ in plain:
        messages += [{"role": "assistant", "content": said}, {"role": "user", "content": answer}]
    tools = TOOLS if shape != "smollm2" else None
    speaks = tokenizer(shape)
    assert speaks.decode(scroll.ids) == speaks.render(messages, tools, generation_prompt=True)


@shapes
@settings(deadline=None, max_examples=30)
@given(task=WORDS, turns=TURNS)
def test_a_turn_that_was_cut_off_is_ended_by_context(shape, task, turns):
    whole, _ = talked(shape, task, turns)
    cut, pieces = talked(shape, task, turns, cut=True)
    speaks = tokenizer(shape)
    assert speaks.decode(cut.ids) == speaks.decode(whole.ids)
    ends = [n for n, i in enumerate(cut.ids) if i in speaks.ends]
    assert all(cut._mask[n] == 0 for n in ends), "the policy never wrote an end"
    assert sum(cut._mask) == sum(map(len, pieces))


@shapes
def test_nothing_is_learnt_from_what_comes_after_the_last_word(shape):
    scroll, _ = talked(shape, "Hello", [("Which one?", "The blue one.", False)])
    tokens = scroll.tokens
    assert tokens.mask[-1] == 1
    assert len(tokens.ids) < len(scroll.ids)
    assert tokens.prompt == len(tokenizer(shape).encode(
        tokenizer(shape).render(opening("Hello"), TOOLS if shape != "smollm2" else None, generation_prompt=True)
    ))  # fmt: skip


def test_thoughts_that_a_template_hides_later_stay_in_what_was_sampled():
    speaks = tokenizer("thinking")
    scroll = Scroll(speaks, opening("Hello"), None)
    thought = "<think>hm</think>Which one?"
    scroll.wrote(speaks.encode(thought + "<|im_end|>"))
    scroll.heard({"role": "assistant", "content": thought}, [{"role": "user", "content": "The blue one."}])
    assert thought in speaks.decode(scroll.ids)
    assert speaks.decode(scroll.ids).endswith("The blue one.<|im_end|>\n<|im_start|>assistant\n")


def test_a_template_that_refuses_says_why():
    speaks = tokenizer("mistral")
    with pytest.raises(TemplateError, match="user, user: roles must take turns"):
        Scroll(speaks, [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}])


def test_lengths_that_differ_are_refused():
    with pytest.raises(ValueError, match="2 ids, 1 mask"):
        Tokens((1, 2), (1,), (0.0, 0.0))
    with pytest.raises(ValueError, match="did not write"):
        Tokens((1,), (0,), (-0.1,))
    scroll = Scroll(tokenizer("chatml"), opening("Hello"))
    with pytest.raises(ValueError, match="2 ids with 1"):
        scroll.wrote([1, 2], [0.1])
