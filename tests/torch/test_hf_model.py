"""Sampling many conversations at once gives each what it would get alone."""

import anyio
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM

from synthagent.training.hf_model import HFModel
from synthagent.training.sampling import Wish

END = 3
SHAPE = {
    "vocab_size": 64, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 256,
}  # fmt: skip


@pytest.fixture(scope="module", params=[(LlamaConfig, LlamaForCausalLM), (Qwen2Config, Qwen2ForCausalLM)])
def model(request):
    config, kind = request.param
    torch.manual_seed(0)
    return kind(config(**SHAPE)).eval()


def alone(model, ids, count):
    """The likeliest continuation, computed without any cache."""
    ids, written, logprobs = list(ids), [], []
    with torch.no_grad():
        for _ in range(count):
            scaled = torch.log_softmax(model(torch.tensor([ids])).logits[0, -1].float(), -1)
            token = int(scaled.argmax())
            written.append(token)
            logprobs.append(float(scaled[token]))
            ids.append(token)
            if token == END:
                break
    return written, logprobs


def test_together_each_gets_what_it_would_get_alone(model):
    prompts = [[5, 9, 11, 20 + n, 7, *range(10, 10 + n)] for n in range(7)]
    many = HFModel(model, frozenset({END}), slots=3, length=96)
    got = {}

    async def one(n):
        got[n] = await many.sample(n, prompts[n], Wish(12, 0.0))

    async def all_():
        async with anyio.create_task_group() as group:
            for n in range(len(prompts)):
                group.start_soon(one, n)

    anyio.run(all_)
    for n, prompt in enumerate(prompts):
        written, logprobs = alone(model, prompt, 12)
        assert list(got[n].ids) == written
        assert got[n].logprobs == pytest.approx(logprobs, abs=1e-4)


def test_a_conversation_goes_on_without_being_read_again(model):
    many = HFModel(model, frozenset({END}), slots=2, length=96)

    async def talk():
        first = await many.sample("a", [5, 9, 11, 20], Wish(6, 0.0))
        longer = [5, 9, 11, 20, *first.ids, 40, 41]
        before = many.read
        second = await many.sample("a", longer, Wish(6, 0.0))
        return first, longer, second, many.read - before

    first, longer, second, read = anyio.run(talk)
    assert list(first.ids) == alone(model, [5, 9, 11, 20], 6)[0]
    assert list(second.ids) == alone(model, longer, 6)[0]
    # The last token of the first turn was sampled and never computed; the one before the head of the turn is new.
    assert read == 2


def test_a_prompt_that_is_shared_is_read_once(model):
    prompt = list(range(10, 40))
    many = HFModel(model, frozenset({END}), slots=4, length=96)

    async def all_():
        for n in range(4):
            await many.sample(n, [*prompt, 50 + n], Wish(3, 0.0))

    anyio.run(all_)
    assert many.read == len(prompt)


def test_after_an_update_nothing_old_is_used(model):
    many = HFModel(model, frozenset({END}), slots=1, length=96)
    prompt = [5, 9, 11, 20, 30]

    async def sampled():
        return await many.sample("a", prompt, Wish(5, 0.0))

    anyio.run(sampled)
    with torch.no_grad():
        saved = model.lm_head.weight.clone(), model.model.layers[0].mlp.up_proj.weight.clone()
        model.model.layers[0].mlp.up_proj.weight.mul_(-3)
        many.weights_changed()
        assert list(anyio.run(sampled).ids) == alone(model, prompt, 5)[0]
        model.model.layers[0].mlp.up_proj.weight.copy_(saved[1])


def test_a_seed_gives_the_same_turn_again_and_another_seed_another(model):
    many = HFModel(model, frozenset({END}), slots=2, length=96)

    async def turns():
        return [(await many.sample(n, [5, 9, 11], Wish(16, 1.0, seed))).ids for n, seed in enumerate((1, 1, 2))]

    one, same, other = anyio.run(turns)
    assert one == same
    assert one != other


def test_a_turn_that_is_given_up_frees_its_place(model):
    many = HFModel(model, frozenset({END}), slots=1, length=96)

    async def given_up():
        with anyio.move_on_after(0):
            await many.sample("a", [5, 9], Wish(80, 1.0))
        return await many.sample("b", [5, 9, 11], Wish(4, 0.0))

    assert list(anyio.run(given_up).ids) == alone(model, [5, 9, 11], 4)[0]


def test_the_cache_grows_with_the_longest_conversation(model):
    many = HFModel(model, frozenset({END}), slots=2, length=200)
    small = HFModel(model, frozenset({END}), slots=2, length=200, room=8)

    async def turns(sampler):
        first = await sampler.sample("a", [5, 9, 11, 20, 7], Wish(6, 0.0))
        second = await sampler.sample("a", [5, 9, 11, 20, 7, *first.ids, 13, 8, 21, 9, 30, 6, 44], Wish(30, 0.0))
        return first, second

    for one, two in zip(anyio.run(turns, many), anyio.run(turns, small), strict=True):
        assert one.ids == two.ids
        assert one.logprobs == pytest.approx(two.logprobs, abs=1e-4)


def test_what_is_too_long_is_refused(model):
    many = HFModel(model, frozenset({END}), slots=1, length=8)
    with pytest.raises(ValueError, match="holds 1 to 7"):
        anyio.run(many.sample, "a", list(range(8)), Wish(1))


def test_a_nucleus_leaves_out_the_unlikely_and_nothing_else(model):
    many = HFModel(model, frozenset({END}), slots=8, length=96)
    prompt = [5, 9, 11, 20]
    with torch.no_grad():
        likely, order = torch.softmax(model(torch.tensor([prompt])).logits[0, -1], -1).sort(descending=True)
    share = float(likely[:3].sum()) + 1e-4  # of which the fourth is needed to reach it
    kept = set(order[:4].tolist())

    async def drawn(top_p):
        found = [await many.sample(n, prompt, Wish(1, 1.0, n, top_p)) for n in range(60)]
        return {one.ids[0]: one.logprobs[0] for one in found}

    some, all_ = anyio.run(drawn, share), anyio.run(drawn, 1.0)
    assert set(some) == kept
    assert len(all_) > len(kept)
    total = float(likely[:4].sum())
    for token, logprob in some.items():
        assert logprob == pytest.approx(float(torch.log(likely[order == token] / total)), abs=1e-3)


def test_a_conversation_without_a_key_goes_on_where_it_stood(model):
    many = HFModel(model, frozenset({END}), slots=2, length=96)
    one, two = list(range(10, 40)), list(range(20, 50))

    async def asked(ids):
        key, before = object(), many.read
        found = await many.sample(key, ids, Wish(3, 0.0))
        many.release(key)
        return list(found.ids), many.read - before

    async def talk():
        await asked(one)
        await asked(two)
        again = [*two, 40, 41, 42]
        longer = await asked(again)
        return again, longer, await asked([*one, 43, 44])

    again, longer, (_, read) = anyio.run(talk)
    assert longer == (alone(model, again, 3)[0], 2)
    assert read == 1
