"""The model that a run leaves behind, read back by others."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import nn

from mpifl.datasets.dataset import DataShape
from mpifl.models.femnist_cnn import FemnistCnn
from mpifl.models.flat import flatten
from mpifl.record.model_file import write_model


def convolutional() -> nn.Module:
    torch.manual_seed(0)
    return FemnistCnn(channels=(3, 4), hidden=5).build(DataShape("classification", (2, 16, 16), 3))


def normed() -> nn.Module:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(2, 3, 2), nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(12, 2))
    module[3].bias.requires_grad_(False)
    return module


@pytest.mark.parametrize("make", [convolutional, normed])
def test_an_ordinary_module_takes_the_tensors_and_computes_the_same(
    tmp_path: Path, make: type[nn.Module]
) -> None:
    model, x = flatten(make()), torch.randn(3, 2, *((3, 3) if make is normed else (16, 16)))
    weights = (
        torch.randn(len(model.moving), generator=torch.Generator().manual_seed(1)).abs().numpy()
    )
    model.load(torch.zeros(len(weights)))  # what is written is what is given
    write_model(tmp_path, model, weights)
    plain = make()
    plain.load_state_dict(load_file(tmp_path / "model.safetensors"), strict=False)
    model.load(torch.from_numpy(weights))
    torch.testing.assert_close(plain.eval()(x), model.module.eval()(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o027, 0o640), (0o077, 0o600)])
def test_who_may_read_it_is_the_umask_s_to_say(tmp_path: Path, umask: int, mode: int) -> None:
    model = flatten(convolutional())
    before = os.umask(umask)
    try:
        write_model(tmp_path, model, model.moving.numpy().copy())
    finally:
        os.umask(before)
    assert (tmp_path / "model.safetensors").stat().st_mode & 0o777 == mode


@pytest.mark.parametrize("make", [convolutional, normed])
def test_the_sha_256_is_that_of_the_tensors_in_the_file_end_to_end(
    tmp_path: Path, make: type[nn.Module]
) -> None:
    model = flatten(make())
    digest = write_model(tmp_path, model, model.moving.numpy().copy())
    with safe_open(tmp_path / "model.safetensors", "pt") as file:
        assert file.metadata()["model_sha256"] == digest
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (no dict)
    assert sorted(tensors) == sorted(model.names)
    flat = np.concatenate([tensors[name].contiguous().numpy().reshape(-1) for name in model.names])
    assert len(flat) == len(model.weights)
    assert hashlib.sha256(flat.astype("<f4").tobytes()).hexdigest() == digest
    ours = make()
    torch_order = torch.cat(
        [
            {**dict(ours.named_parameters()), **dict(ours.named_buffers())}[n].flatten()
            for n in model.names
        ]
    )
    assert torch.equal(torch.from_numpy(flat), torch_order.detach())


def test_the_file_holds_each_tensor_in_torchs_own_order_in_memory(tmp_path: Path) -> None:
    model = flatten(convolutional())
    write_model(tmp_path, model, model.moving.numpy().copy())
    raw = (tmp_path / "model.safetensors").read_bytes()
    for tensor in convolutional().parameters():
        assert tensor.detach().contiguous().numpy().tobytes() in raw


def test_another_model_has_another_sha_256(tmp_path: Path) -> None:
    model = flatten(convolutional())
    weights = model.moving.numpy().copy()
    first = write_model(tmp_path, model, weights)
    weights[0] += 1
    assert write_model(tmp_path, model, weights) != first
