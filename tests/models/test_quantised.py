"""A base of 8 or 4 bits: bitsandbytes' numbers, layer by layer and in training."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from mpifl.errors import InputError
from mpifl.models.lora import Lora
from mpifl.models.mlp import Mlp
from mpifl.models.quantised import Bits, Quantised
from mpifl.models.resnet import Resnet
from mpifl.objectives.make import objective_of
from mpifl.training.base_memory import activation_bytes, base_bytes
from tests.models.library import library
from tests.models.test_lora import IMAGES, TEXT, flatten, folder, hf, made, trained, trained_plainly

__all__ = ["folder"]  # a fixture


@pytest.fixture(autouse=True)
def _libraries() -> None:
    library("peft")
    library("bitsandbytes")


def theirs(weight: torch.Tensor, bias: torch.Tensor | None, bits: Bits) -> Any:
    """Return bitsandbytes' own layer, in training."""
    bnb = library("bitsandbytes")
    outputs, inputs = weight.shape
    has_bias = bias is not None
    if bits == 8:
        layer = bnb.nn.Linear8bitLt(inputs, outputs, bias=has_bias, has_fp16_weights=False)
        layer.weight = bnb.nn.Int8Params(weight.clone(), requires_grad=False)
    else:
        options = {"compress_statistics": False, "quant_type": "nf4"}
        layer = bnb.nn.Linear4bit(inputs, outputs, bias=has_bias, **options)
        layer.weight = bnb.nn.Params4bit(
            weight.clone(), requires_grad=False, blocksize=64, **options
        )
    if bias is not None:
        layer.bias.data = bias.clone()
    return layer.to("cpu").train()


@pytest.mark.parametrize(
    ("bits", "dtype", "has_bias"),
    [*itertools.product((8, 4), (torch.float32, torch.bfloat16), (True, False))],
)
def test_a_layer_computes_what_bitsandbytes_computes_in_training(
    bits: Bits, dtype: torch.dtype, has_bias: bool
) -> None:
    torch.manual_seed(0)
    weight, bias = torch.randn(24, 40), torch.randn(24) if has_bias else None
    x, of_y = torch.randn(3, 5, 40, dtype=dtype), torch.randn(3, 5, 24, dtype=dtype)
    found = []
    for layer in (Quantised(weight, bias, bits), theirs(weight, bias, bits)):
        own = x.clone().requires_grad_()
        y = layer(own)
        y.backward(of_y)
        assert own.grad is not None
        found.append((y.detach(), own.grad))
    tolerance = 1e-5 if dtype == torch.float32 else 0.1
    for ours, others in zip(*found, strict=True):
        assert ours.dtype == others.dtype == dtype
        torch.testing.assert_close(ours, others, atol=tolerance, rtol=tolerance)
    plain = nn.functional.linear(x, weight.to(dtype), None if bias is None else bias.to(dtype))
    near = float((found[0][0] - plain).abs().max() / plain.abs().max())
    assert 0 < near < {8: 0.02, 4: 0.15}[bits]


@pytest.mark.parametrize("bits", [8, 4])
def test_any_shape_is_kept_and_takes_the_memory_it_says(bits: Bits) -> None:
    for shape in ((1, 1), (3, 5), (7, 64), (128, 65)):
        torch.manual_seed(1)
        weight = torch.randn(shape)
        layer = Quantised(weight, None, bits)
        unpacked = layer(torch.eye(shape[1])).T
        most = weight.abs().amax()
        torch.testing.assert_close(unpacked, weight, atol=float(most) * 0.16, rtol=0)
        with torch.device("meta"):
            told = Quantised(torch.empty(shape), None, bits)
        for own, meta in zip(layer.parameters(), told.parameters(), strict=True):
            assert (own.shape, own.dtype) == (meta.shape, meta.dtype)
        assert layer.weight.nbytes == (weight.numel() * bits + 7) // 8
        assert told(torch.empty(2, shape[1], device="meta")).shape == (2, shape[0])


@pytest.mark.parametrize("bits", [8, 4])
def test_training_is_that_of_a_plain_loop_on_the_base_that_transformers_quantised(
    folder: Path, bits: Bits
) -> None:
    peft, transformers = library("peft"), library("transformers")
    module = made(hf(folder, lora={"base_bits": bits}), TEXT)
    first = peft.get_peft_model_state_dict(module.network)
    first = {name: tensor.clone() for name, tensor in first.items()}
    trained(module)

    options = {"load_in_8bit": True} if bits == 8 else {"load_in_4bit": True}
    quantisation = transformers.BitsAndBytesConfig(**options, bnb_4bit_quant_type="nf4")
    base = transformers.AutoModelForCausalLM.from_pretrained(
        folder, quantization_config=quantisation, device_map="cpu", dtype=torch.float32
    )
    plain = trained_plainly(base, first)
    own = peft.get_peft_model_state_dict(module.network)
    assert any(not torch.equal(own[name], first[name]) for name in own)
    for name, tensor in peft.get_peft_model_state_dict(plain).items():
        torch.testing.assert_close(own[name], tensor, atol=1e-6, rtol=0)


@pytest.mark.parametrize("bits", [8, 4])
def test_the_base_is_smaller_and_so_is_what_training_keeps(folder: Path, bits: Bits) -> None:
    lora = {"base_bits": bits, "freeze_a": True}
    flat = flatten(made(hf(folder, lora=lora), TEXT))
    own = [layer for layer in flat.module.modules() if isinstance(layer, Quantised)]
    assert len(own) == 2 * 7  # four of attention and three behind it; logits are left
    assert all(".lora_B." in name for name in flat.names)
    weights = sum(layer.out_features * layer.in_features for layer in own)
    packed = sum(parameter.nbytes for layer in own for parameter in layer.parameters())
    assert weights * bits / 8 < packed < weights * (bits / 8 + 0.5)
    rest = 4 * (2 * 12 * 16 + 5 * 16) + 4 * 4 * 2 * 16  # embeddings, logits, norms, and A
    assert base_bytes(flat)[0] == packed + rest

    x, y = torch.zeros(1, 6, dtype=torch.int64), torch.ones(1, 6, dtype=torch.int64)
    objective = objective_of("language", 12)
    plain = flatten(made(hf(folder, lora={"freeze_a": True}), TEXT))
    kept = [activation_bytes(one, objective, x, y) for one in (flat, plain)]
    assert kept[0] <= kept[1]
    flat.check_trained()


def test_own_models_are_quantised_but_for_what_is_trained_whole() -> None:
    lora = Lora(rank=2, base_bits=4, modules_to_save=["3"])
    flat = flatten(made(Mlp(name="mlp", hidden=[8], lora=lora), IMAGES))
    assert sum(isinstance(layer, Quantised) for layer in flat.module.modules()) == 1
    assert len(flat.weights) == 2 * (256 + 8) + 4 * 9
    names = [
        n for n, layer in Resnet(name="resnet", depth=8, width=4).build(IMAGES).named_modules()
    ]
    convolutions = Lora(
        rank=1, base_bits=8, target_modules=["2.first"], modules_to_save=[names[-1]]
    )
    with pytest.raises(InputError, match=r"^model.lora"):
        made(Resnet(name="resnet", depth=8, width=4, lora=convolutions), IMAGES)


def test_without_the_library_it_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    with pytest.raises(
        InputError, match=r"^model.lora.base_bits: the library bitsandbytes is not installed"
    ):
        made(Mlp(name="mlp", hidden=[8], lora=Lora(rank=2, base_bits=8)), IMAGES)
