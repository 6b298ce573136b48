"""A group's opening is computed once, and every number is what it would be if each conversation were computed alone."""

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM

from synthagent.training.attention import ATTENTION
from synthagent.training.packed import written

SHAPE = {
    "vocab_size": 64, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 256, "attn_implementation": ATTENTION,
}  # fmt: skip
PREFIX = [5, 9, 11, 20, 7, 33, 2]
ENDS = [[4, 8, 15, 16, 23, 42, 3], [60], [10, 11, 12], [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]]
MASKS = [[1, 1, 1, 0, 0, 1, 1], [1], [0, 1, 1], [1, 0, 0, 0, 1, 1, 1, 1, 0, 0, 0, 1]]


@pytest.fixture(params=[(LlamaConfig, LlamaForCausalLM), (Qwen2Config, Qwen2ForCausalLM)], ids=["llama", "qwen2"])
def model(request):
    config, kind = request.param
    torch.manual_seed(0)
    return kind(config(**SHAPE)).eval()


def alone(model, end, mask, temperature=1.0):
    """The log-probabilities of one conversation, computed as any trainer would."""
    ids = torch.tensor([[*PREFIX, *end]])
    spread = torch.log_softmax(model(input_ids=ids).logits[0, :-1].float() / temperature, -1)
    each = spread.gather(-1, ids[0, 1:, None])[:, 0][len(PREFIX) - 1 :]
    return each[torch.tensor(mask, dtype=torch.bool)]


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_together_each_conversation_has_the_numbers_it_has_alone(model, temperature):
    found = written(model, PREFIX, ENDS, MASKS, temperature)
    apart = torch.cat([alone(model, end, mask, temperature) for end, mask in zip(ENDS, MASKS, strict=True)])
    assert torch.allclose(found.logprobs, apart, atol=1e-5)
    assert found.rows.tolist() == [row for row, mask in enumerate(MASKS) for bit in mask if bit]


def test_gradients_are_the_same_too(model):
    worth = torch.linspace(-1, 1, sum(map(sum, MASKS)))
    (written(model, PREFIX, ENDS, MASKS).logprobs * worth).sum().backward()
    packed = {name: p.grad.clone() for name, p in model.named_parameters()}
    model.zero_grad()
    apart = torch.cat([alone(model, end, mask) for end, mask in zip(ENDS, MASKS, strict=True)])
    (apart * worth).sum().backward()
    for name, p in model.named_parameters():
        assert torch.allclose(packed[name], p.grad, atol=1e-5), name


def test_one_conversation_is_a_pack_of_one(model):
    found = written(model, PREFIX, ENDS[:1], MASKS[:1])
    assert torch.allclose(found.logprobs, alone(model, ENDS[0], MASKS[0]), atol=1e-5)


def test_the_entropy_is_that_of_the_distribution_a_token_was_drawn_from(model):
    found = written(model, PREFIX, ENDS[:1], MASKS[:1], 0.5)
    logits = model(input_ids=torch.tensor([[*PREFIX, *ENDS[0]]])).logits[0, :-1].float() / 0.5
    spread = torch.distributions.Categorical(logits=logits[len(PREFIX) - 1 :])
    assert torch.allclose(found.entropies, spread.entropy()[torch.tensor(MASKS[0], dtype=torch.bool)], atol=1e-5)
    assert not found.entropies.requires_grad


def test_a_conversation_says_nothing_of_another(model):
    """What one continuation holds changes no number of the others."""
    one = written(model, PREFIX, ENDS, MASKS).logprobs
    changed = [[token + 1 for token in ENDS[0]], *ENDS[1:]]
    two = written(model, PREFIX, changed, MASKS).logprobs
    own = sum(MASKS[0])
    assert torch.equal(one[own:], two[own:])
    assert not torch.allclose(one[:own], two[:own])


def test_without_an_opening_or_a_word_there_is_nothing_to_compute(model):
    with pytest.raises(ValueError, match="no opening"):
        written(model, [], ENDS, MASKS)
    with pytest.raises(ValueError, match="wrote nothing"):
        written(model, PREFIX, [[1, 2]], [[0, 0]])
