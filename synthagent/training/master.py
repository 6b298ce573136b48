"""The weights that are trained: float32, beside the model that computes in half of that, and AdamW over them.

A learning rate of 1e-6 is less than what bfloat16 can tell apart: an update of the model's own weights would be lost.
"""

import math
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from synthagent.errors import RunFolderError, SynthAgentError
from synthagent.training.recipe import Optimiser


class Diverged(SynthAgentError):
    """The gradient is no number any more."""


class Master:
    """Trains `model`'s trainable parameters. The model computes; the master keeps, sums gradients and steps."""

    def __init__(self, model: Any, settings: Optimiser):
        self._settings = settings
        self._model = {name: p for name, p in model.named_parameters() if p.requires_grad}
        self.weights = {name: p.detach().float().clone().requires_grad_() for name, p in self._model.items()}
        self._adam = torch.optim.AdamW(
            list(self.weights.values()), lr=settings.lr, betas=(settings.beta1, settings.beta2),
            weight_decay=settings.weight_decay, fused=True,
        )  # fmt: skip
        self.updates = 0

    def collect(self) -> None:
        """Takes the gradients of the last backward pass off the model, and adds them up."""
        for name, p in self._model.items():
            if p.grad is None:
                continue
            mine = self.weights[name]
            if mine.grad is None:
                mine.grad = p.grad.float()
            else:
                mine.grad.add_(p.grad)
            p.grad = None

    def drop(self) -> None:
        """Forgets what was collected."""
        self._adam.zero_grad(set_to_none=True)

    def update(self, total: int) -> tuple[float, float]:
        """One step of AdamW, written back into the model: (norm of the gradient, learning rate).

        `total`: updates of the whole run, for the decay. Without a gradient nothing moves. Raises `Diverged` for one
        that is no number, and moves nothing.
        """
        rate = self.rate(total)
        found = [w.grad for w in self.weights.values() if w.grad is not None]
        if not found:
            self.updates += 1
            return 0.0, rate
        norm = float(torch.nn.utils.clip_grad_norm_(list(self.weights.values()), self._settings.max_norm))
        if not math.isfinite(norm):
            self.drop()
            raise Diverged(f"the gradient is {norm}: start again with a lower learning rate (optimiser.lr)")
        self.updates += 1
        for group in self._adam.param_groups:
            group["lr"] = rate
        self._adam.step()
        self.drop()
        self.write_back()
        return norm, rate

    def rate(self, total: int) -> float:
        """The learning rate of the next update: warm-up, then constant or falling in a line to a tenth."""
        return self._settings.rate(self.updates, total)

    @torch.no_grad()
    def write_back(self) -> None:
        """Gives the model the weights as they are now."""
        for name, p in self._model.items():
            p.copy_(self.weights[name])

    def save(self, path: Path) -> None:
        """Weights and moments into one file of tensors, which is there whole or not at all."""
        kept: dict[str, Tensor] = {"updates": torch.tensor(self.updates)}
        for name, w in self.weights.items():
            kept[f"weight/{name}"] = w.detach()
            state = self._adam.state.get(w)
            if state:
                kept[f"first/{name}"], kept[f"second/{name}"] = state["exp_avg"], state["exp_avg_sq"]
                kept[f"step/{name}"] = state["step"]
        half = path.with_suffix(".tmp")
        save_file({name: tensor.contiguous() for name, tensor in kept.items()}, half)
        half.replace(path)

    @torch.no_grad()
    def load(self, path: Path) -> None:
        """Takes up what `save` wrote. Raises `RunFolderError` for the file of another model."""
        with safe_open(path, framework="pt") as file:
            names = set(file.keys())
            theirs = {n: file.get_slice(n).get_shape() for n in names if n.startswith("weight/")}
            if theirs != {f"weight/{name}": list(w.shape) for name, w in self.weights.items()}:
                raise RunFolderError(f"{path}: holds the weights of another model")
            self.updates = int(file.get_tensor("updates"))
            for name, w in self.weights.items():
                w.copy_(file.get_tensor(f"weight/{name}"))
                if f"first/{name}" in names:
                    self._adam.state[w] = {
                        "step": file.get_tensor(f"step/{name}"),
                        "exp_avg": file.get_tensor(f"first/{name}").to(w.device, copy=True),
                        "exp_avg_sq": file.get_tensor(f"second/{name}").to(w.device, copy=True),
                    }
        self.write_back()
