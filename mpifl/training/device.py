"""Where models are trained: on the cores of the host, or on a GPU."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

import numpy as np
import torch

from mpifl.errors import InputError

CPU = torch.device("cpu")
DATA_SHARE = 4
"""Data is kept on a GPU that takes up to a quarter of what is free there: ranks may share it, and models need the rest."""


def check_device(name: str) -> None:
    """Raise InputError for a device that is not to be had here. Does not start CUDA."""
    if name == "cuda" and not torch.cuda.is_available():
        why = "no GPU is seen here" if torch.version.cuda else f"torch {torch.__version__} is built without CUDA"
        raise InputError(f"training.device: 'cuda' is not allowed: {why}; allowed: cpu")


def start_device(name: str, which: Callable[[int], int]) -> torch.device:
    """The device of a name, ready for use: the GPU that ``which`` picks of so many that this rank sees. Raises InputError.

    Training gives the same bits there each time: what torch has no such kernel for is an error when it comes to that. Matrix
    products are float32's own, not the shorter TF32.
    """
    check_device(name)
    if name == "cpu":
        return CPU
    os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"  # cuBLAS reads it when it starts
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # a kernel for every new tensor
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False
    device = torch.device(name, which(torch.cuda.device_count()))
    torch.cuda.set_device(device)
    return device


def has_room(device: torch.device, size_bytes: int) -> bool:
    """Whether data of a size is to be kept on a device."""
    return device.type == "cuda" and size_bytes * DATA_SHARE <= torch.cuda.mem_get_info(device)[0]


def fetched(found: Sequence[float | np.ndarray | torch.Tensor]) -> list[np.ndarray]:
    """The numbers of every step on the host, each a row (n,) float64: all at once, so that no step waits for a GPU."""
    tensors = [one.reshape(-1) for one in found if isinstance(one, torch.Tensor)]
    if not tensors:
        return [np.atleast_1d(np.asarray(one, np.float64)) for one in found]
    rows = torch.cat(tensors).cpu().numpy().astype(np.float64)
    return np.split(rows, np.cumsum([len(one) for one in tensors])[:-1])


def torch_generator(device: torch.device) -> torch.Generator:
    """What layers such as dropout draw from there."""
    return torch.cuda.default_generators[device.index] if device.type == "cuda" else torch.default_generator


def seed_torch(device: torch.device, seed: int) -> None:
    """Begin it anew. torch.manual_seed would ask every kind of device, which takes longer than a small client."""
    torch_generator(device).manual_seed(seed)
