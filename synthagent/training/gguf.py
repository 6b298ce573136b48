"""A GGUF file as a folder in the form of transformers: what was quantised is written out in bfloat16."""

from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils.quantization_config import GgufConfig

from synthagent.errors import InputError


def convert(gguf: Path, out: Path) -> None:
    """Raises `InputError` when transformers cannot read the file, or lacks what it needs to."""
    home, name = str(gguf.parent), gguf.name
    try:
        tokenizer = AutoTokenizer.from_pretrained(home, gguf_file=name)
        # Without `dequantize` the model keeps its blocks, and cannot be saved.
        model = AutoModelForCausalLM.from_pretrained(
            home, gguf_file=name, quantization_config=GgufConfig(dequantize=True), dtype=torch.bfloat16
        )
    except ImportError as error:
        raise InputError(f"{gguf}: {error}", way_out="pip install 'synthagent[train]'") from error
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"transformers cannot read it: {error}", where=str(gguf)) from error
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)
