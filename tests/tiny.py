"""A tiny random model over bytes, with a chat template, as transformers saves models. Needs torch."""

from pathlib import Path

import torch
from tokenizers import Tokenizer
from tokenizers.decoders import ByteLevel as ByteDecoder
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

TEMPLATES = Path(__file__).parent / "data" / "templates"
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]


def save_tiny(path: Path, template: str = "chatml") -> Path:
    """Writes model and tokenizer into a folder; a token is a byte, special ones apart."""
    alphabet = sorted(ByteLevel.alphabet())
    inner = Tokenizer(BPE({letter: n for n, letter in enumerate(alphabet)}, []))
    inner.pre_tokenizer, inner.decoder = ByteLevel(add_prefix_space=False, use_regex=False), ByteDecoder()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=inner,
        eos_token="<|im_end|>",
        additional_special_tokens=SPECIAL,
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = (TEMPLATES / f"{template}.jinja").read_text()
    tokenizer.save_pretrained(path)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=8192, eos_token_id=tokenizer.eos_token_id,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(path)
    return path
