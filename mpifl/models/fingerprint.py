"""Hashes of the parts of a model that no broadcast carries, so that ranks can compare them.

Only trained weights are broadcast. Everything else has to be built alike on every rank.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

TORCHS_OWN = frozenset(vars(nn.Module()))
"""Attributes that torch gives every layer: tables of tensors, layers and hooks, and its mode."""


def fingerprint(module: nn.Module) -> dict[str, str]:
    """Return a hash (16 hex digits) for each kind of content beside the trained weights.

    ``layers``: names, shapes and dtypes of all tensors. ``fixed weights`` and ``buffers``: their
    values. ``attributes``: the plain values (numbers, text, arrays, lists, ...) that layers have
    as attributes.
    """
    state = dict([*module.named_parameters(), *module.named_buffers()])
    layers = [
        (name, str(tensor.dtype), tuple(tensor.shape), tensor.requires_grad)
        for name, tensor in state.items()
    ]
    fixed = [
        (name, parameter)
        for name, parameter in module.named_parameters()
        if not parameter.requires_grad
    ]
    attributes = [
        (name, type(layer).__qualname__, key, value)
        for name, layer in module.named_modules()
        for key, value in sorted(vars(layer).items())
        if key not in TORCHS_OWN
    ]

    kinds = {
        "layers": layers,
        "fixed weights": fixed,
        "buffers": list(module.named_buffers()),
        "attributes": attributes,
    }
    return {
        kind: hashlib.sha256(_text(content).encode()).hexdigest()[:16]
        for kind, content in kinds.items()
    }


def _text(value: Any) -> str:
    """Return a text that is equal on every rank for equal values.

    An object that is not a plain value is represented by the name of its type alone.
    """
    if isinstance(value, torch.Tensor):
        if value.numel():
            flat = value.detach().cpu().contiguous().view(-1)
            value = flat.view(torch.uint8).numpy()
        else:
            value = np.empty(0, np.uint8)
    if isinstance(value, np.ndarray) and value.dtype != object:
        digest = hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()
        return f"{value.dtype}{value.shape}{digest}"

    if isinstance(value, Mapping):
        return "{" + ",".join(f"{_text(key)}:{_text(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(_text, value)) + "]"
    if isinstance(value, set | frozenset):
        return "{" + ",".join(sorted(map(_text, value))) + "}"

    plain = bool | int | float | complex | str | bytes | np.generic | torch.dtype | torch.Size
    if value is None or isinstance(value, plain):
        return f"{type(value).__name__} {value!r}"
    return getattr(value, "__qualname__", type(value).__qualname__)
