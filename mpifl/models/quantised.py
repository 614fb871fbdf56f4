"""Frozen layers of a base whose weights are kept in 8 or 4 bits (``model.lora.base_bits``)."""

from __future__ import annotations

import ctypes
import platform
from typing import Any, Literal

import torch
from torch import nn
from torch.nn.functional import linear

from mpifl.errors import InputError
from mpifl.models.library import imported

Bits = Literal[4, 8]
KEY = "model.lora.base_bits"
BLOCK = 64
"""Weights of 4 bits that share a scale."""


class Quantised(nn.Module):
    """A linear layer whose weights are kept in 8 or 4 bits, and computed with as the inputs are.

    They are those of bitsandbytes: 8 bits with a scale for each output (LLM.int8, Dettmers et al.,
    arXiv 2208.07339), or NormalFloat of 4 bits with one for each 64 weights (QLoRA, Dettmers et
    al., arXiv 2305.14314). Inputs are not quantised. ``weight`` and ``scale`` are not trained.
    """

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None, bits: Bits) -> None:
        """Quantise ``weight`` (outputs, inputs); on torch's device ``meta`` to a shape alone."""
        super().__init__()
        self.out_features, self.in_features = weight.shape
        self.bits: Bits = bits
        packed, scale = _packed(weight.detach(), bits)
        self.weight = nn.Parameter(packed, requires_grad=False)
        self.scale = nn.Parameter(scale, requires_grad=False)
        self.bias = None if bias is None else nn.Parameter(bias.detach(), requires_grad=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        shape = (self.out_features, self.in_features)
        product: Any = _Product
        y: torch.Tensor = product.apply(x, self.weight, self.scale, self.bits, shape)
        return y if self.bias is None else y + self.bias.to(y.dtype)


class _Product(torch.autograd.Function):
    """Computes x W^T; W is unpacked in the forward pass, and again in the backward pass."""

    generate_vmap_rule = True

    @staticmethod
    def forward(
        x: torch.Tensor,
        weight: torch.Tensor,
        scale: torch.Tensor,
        bits: Bits,
        shape: tuple[int, int],
    ) -> torch.Tensor:
        return linear(x, _unpacked(weight, scale, bits, shape, x.dtype))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
        _, weight, scale, ctx.bits, ctx.shape = inputs
        ctx.save_for_backward(weight, scale)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None, None, None, None]:
        weight, scale = ctx.saved_tensors
        (of_y,) = gradients
        unpacked = _unpacked(weight, scale, ctx.bits, ctx.shape, of_y.dtype)
        return of_y @ unpacked, None, None, None, None


def _packed(weight: torch.Tensor, bits: Bits) -> tuple[torch.Tensor, torch.Tensor]:
    """Return packed weights and their scales."""
    outputs, inputs = weight.shape
    if weight.is_meta:
        if bits == 8:
            return weight.to(torch.int8), weight.new_empty(outputs, dtype=torch.float32)
        pairs = weight.new_empty(((outputs * inputs + 1) // 2, 1), dtype=torch.uint8)
        return pairs, weight.new_empty(-(-outputs * inputs // BLOCK), dtype=torch.float32)

    functional = imported("bitsandbytes", KEY).functional
    if bits == 8:
        packed, scale, _ = functional.int8_vectorwise_quant(weight.half().contiguous())
        return packed, scale
    packed, state = functional.quantize_4bit(
        weight.contiguous(), blocksize=BLOCK, compress_statistics=False, quant_type="nf4"
    )
    return packed, state.absmax


def _unpacked(
    weight: torch.Tensor,
    scale: torch.Tensor,
    bits: Bits,
    shape: tuple[int, int],
    dtype: torch.dtype,
) -> torch.Tensor:
    """Return weights (outputs, inputs) as numbers of a type."""
    if weight.is_meta:
        return torch.empty(shape, dtype=dtype, device=weight.device)
    functional = imported("bitsandbytes", KEY).functional
    unpacked: torch.Tensor
    if bits == 8:
        unpacked = functional.int8_vectorwise_dequant(weight, scale)
        return unpacked.to(dtype)
    state = functional.QuantState(scale, torch.Size(shape), None, BLOCK, "nf4", dtype)
    unpacked = functional.dequantize_4bit(weight, state)
    return unpacked.reshape(shape)  # bitsandbytes turns what is in a single byte


def quantise(network: nn.Module, bits: Bits) -> None:
    """Put quantised layers in the place of a network's frozen linear ones.

    Embeddings, what puts out the logits of tokens, layers that are trained whole, and convolutions
    stay as they are. Raises InputError where there are no others.
    """
    find_logits = getattr(network, "get_output_embeddings", lambda: None)
    left = {id(find_logits())}
    for layer in network.modules():
        if type(layer).__name__ == "ModulesToSaveWrapper":
            left |= {id(inner) for inner in layer.modules()}

    done = 0
    for path in [path for path, _ in network.named_modules()]:  # modules would be kept alive
        parent = network.get_submodule(path)
        for name, layer in [*parent.named_children()]:
            is_turned = type(layer).__name__ == "Conv1D"  # GPT-2's: (inputs, outputs)
            if id(layer) in left or not (is_turned or type(layer) is nn.Linear):
                continue
            weight: Any = layer.weight
            if not weight.requires_grad:
                bias: Any = layer.bias
                setattr(parent, name, Quantised(weight.T if is_turned else weight, bias, bits))
                done += 1
                del layer, weight, bias
                _return_freed_memory()
    if not done:
        raise InputError(
            f"{KEY}: {bits} is not allowed: the network has no linear layers to keep so"
        )


def _return_freed_memory() -> None:
    """Return what the C allocator holds to the system: the weights that were, as large as a base.

    With other C libraries than glibc do nothing.
    """
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)
