"""llama.cpp as an endpoint: what is refused, and, where a model has been fetched, one question answered."""

from contextlib import aclosing
from pathlib import Path

import pytest

from synthagent.cores import usable_cores
from synthagent.errors import InputError
from synthagent.llm.embedded import embedded
from synthagent.llm.local_models import cache_dir, find
from synthagent.llm.model import ChatRequest, ContextOverflow
from synthagent.llm.openai import OpenAIChat


@pytest.mark.parametrize(("content", "message"), [(None, "No such file"), (b"PK\3\4", "not a GGUF")])
async def test_what_is_no_model_is_refused_before_anything_starts(content, message, tmp_path: Path):
    path = tmp_path / "model.gguf"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        async with embedded(path):
            pass


async def test_what_cannot_be_loaded_is_refused_with_the_reason_or_the_way_out(tmp_path: Path):
    (tmp_path / "model.gguf").write_bytes(b"GGUF" + b"\0" * 100)
    with pytest.raises(InputError, match=r"cannot load the model|pip install 'synthagent\[local\]'"):
        async with embedded(tmp_path / "model.gguf"):
            pass


def test_there_is_a_core_to_compute_with():
    assert usable_cores() >= 1


@pytest.mark.slow  # seconds to minutes: `pytest -m slow` where the model has been fetched
async def test_a_fetched_model_answers():
    pytest.importorskip("xllamacpp")
    path = find("smollm2-135m", cache_dir())
    if path is None:
        pytest.skip("smollm2-135m has not been fetched")
    async with embedded(path, parallel=1, context=256) as url, aclosing(OpenAIChat("local", url)) as model:
        ask = ChatRequest([{"role": "user", "content": "What is the capital of France? Answer in one word."}])
        reply = await model.complete(ChatRequest(ask.messages, temperature=0, max_tokens=12))
        assert "Paris" in reply.content
        assert reply.usage.completion > 0
        with pytest.raises(ContextOverflow):
            await model.complete(ChatRequest([{"role": "user", "content": "a b c d " * 300}]))
