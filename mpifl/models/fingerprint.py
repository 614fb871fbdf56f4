"""Hashes of what a model is beside its trained weights: what no broadcast carries has to be built alike on every rank."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

TORCHS_OWN = frozenset(vars(nn.Module()))
"""Attributes that torch gives every layer: its tables of tensors, layers and hooks, and whether it trains."""


def fingerprint(module: nn.Module) -> dict[str, str]:
    """Return hashes of what a module is beside its trained weights, by kind.

    ``layers``: names, shapes and types of all tensors; ``fixed weights`` and ``buffers``: their values; ``attributes``: the
    plain values (numbers, text, arrays, lists, ...) that its layers have as attributes.
    """
    state = dict([*module.named_parameters(), *module.named_buffers()])
    layers = [(name, str(tensor.dtype), tuple(tensor.shape), tensor.requires_grad) for name, tensor in state.items()]
    fixed = [(name, parameter) for name, parameter in module.named_parameters() if not parameter.requires_grad]
    attributes = [
        (name, type(layer).__qualname__, key, value)
        for name, layer in module.named_modules()
        for key, value in sorted(vars(layer).items())
        if key not in TORCHS_OWN
    ]
    kinds = {"layers": layers, "fixed weights": fixed, "buffers": list(module.named_buffers()), "attributes": attributes}
    return {kind: hashlib.sha256(_text(found).encode()).hexdigest()[:16] for kind, found in kinds.items()}


def _text(value: Any) -> str:
    """Return a text that equal values have in common on every rank; of objects that are no plain values their type alone."""
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy() if value.numel() else np.empty(0, np.uint8)
    if isinstance(value, np.ndarray) and value.dtype != object:
        return f"{value.dtype}{value.shape}{hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()}"
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{_text(key)}:{_text(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(_text, value)) + "]"
    if isinstance(value, set | frozenset):
        return "{" + ",".join(sorted(map(_text, value))) + "}"
    if value is None or isinstance(value, bool | int | float | complex | str | bytes | np.generic | torch.dtype | torch.Size):
        return f"{type(value).__name__} {value!r}"
    return getattr(value, "__qualname__", type(value).__qualname__)
