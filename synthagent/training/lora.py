"""Low-rank adapters in a model (Hu et al., *LoRA*, arXiv 2106.09685), by way of peft."""

import warnings
from typing import Any

from synthagent.errors import InputError
from synthagent.training.recipe import Lora


def adapted(model: Any, settings: Lora, seed: int) -> Any:
    """Puts adapters into a model, in place: they alone are trained, and at first they change nothing.

    Gives what `merged` needs; the model itself goes on being used as before. Raises `InputError` for a model without
    such modules, or without peft.
    """
    try:
        from peft import LoraConfig, get_peft_model
    except ImportError as error:
        raise InputError(f"lora needs peft ({error})", way_out="pip install 'synthagent[train]'") from error
    import torch

    alpha: Any = settings.alpha  # peft says int, and takes any number
    config = LoraConfig(r=settings.rank, lora_alpha=alpha, target_modules=list(settings.targets))
    torch.manual_seed(seed)
    try:
        with warnings.catch_warnings():  # peft asks transformers for names that those are about to give up
            warnings.simplefilter("ignore", FutureWarning)
            return get_peft_model(model, config)
    except ValueError as error:
        raise InputError(f"lora.targets: {error}") from error


def merged(adapters: Any) -> Any:
    """The model with its adapters added to its weights: plain again."""
    return adapters.merge_and_unload()
