"""The device on which models are trained: the cores of the host, or a GPU."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Sequence

import numpy as np
import torch

from mpifl.errors import InputError

CPU = torch.device("cpu")
DATA_SHARE = 4
"""Data is kept on a GPU when it takes at most a quarter of the free memory there.

Ranks may share the GPU, and models need the rest.
"""


def check_device(name: str) -> None:
    """Raise InputError for a device that this host does not have. Does not start CUDA."""
    if name == "cuda" and not torch.cuda.is_available():
        no_cuda = f"torch {torch.__version__} is built without CUDA"
        why = "no GPU is seen here" if torch.version.cuda else no_cuda
        raise InputError(f"training.device: 'cuda' is not allowed: {why}; allowed: cpu")


def start_device(name: str, which: Callable[[int], int]) -> torch.device:
    """Return the device ``name``, ready for use. Raises InputError.

    ``which`` maps the number of GPUs that this rank sees to the index of the one to use. torch is
    set to give the same bits each time: an operation without a deterministic kernel raises when
    it is called, and matrix products use float32, not the shorter TF32.
    """
    check_device(name)
    if name == "cpu":
        return CPU

    os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"  # cuBLAS reads it when it starts
    torch.use_deterministic_algorithms(True)
    # Filling would be one kernel for every new tensor.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False

    device = torch.device(name, which(torch.cuda.device_count()))
    torch.cuda.set_device(device)
    return device


def has_room(device: torch.device, size_bytes: int) -> bool:
    """Return whether data of this size should be kept on the device: never on the CPU."""
    return device.type == "cuda" and size_bytes * DATA_SHARE <= torch.cuda.mem_get_info(device)[0]


def fetched(steps: Sequence[float | np.ndarray | torch.Tensor]) -> list[np.ndarray]:
    """Return the numbers of every step on the host, each as a row (n,) float64.

    Tensors are copied all at once, so that no step waits for a GPU. Either all or none of
    ``steps`` are tensors.
    """
    tensors = [step.reshape(-1) for step in steps if isinstance(step, torch.Tensor)]
    if not tensors:
        return [np.atleast_1d(np.asarray(step, np.float64)) for step in steps]
    rows = torch.cat(tensors).cpu().numpy().astype(np.float64)
    return np.split(rows, np.cumsum([len(tensor) for tensor in tensors])[:-1])


def torch_generator(device: torch.device) -> torch.Generator:
    """Return torch's default generator of a device, from which layers such as dropout draw."""
    return (
        torch.cuda.default_generators[device.index]
        if device.type == "cuda"
        else torch.default_generator
    )


def seed_everything(seed: int) -> None:
    """Seed the global generators of random, numpy and torch, from which code of others may draw."""
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002  (the generator that such code uses)
    # torch.manual_seed takes milliseconds: it keeps a traceback for devices that do not run yet.
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_available():
        torch.cuda.manual_seed_all(seed)


def seed_torch(device: torch.device, seed: int) -> None:
    """Seed the default generator of a device.

    torch.manual_seed would seed every kind of device, which takes longer than training a small
    client.
    """
    torch_generator(device).manual_seed(seed)
