"""Where models are trained: on the cores of the host, or on a GPU."""

from __future__ import annotations

import os

import torch

from mpifl.errors import InputError

CPU = torch.device("cpu")
DATA_SHARE = 4
"""Data is kept on a GPU that takes up to a quarter of what is free there: ranks may share it, and models need the rest."""


def check_device(name: str) -> None:
    """Raise InputError for a device that this host does not have. Does not start CUDA."""
    if name == "cuda" and not torch.cuda.is_available():
        why = "no GPU is seen here" if torch.version.cuda else f"torch {torch.__version__} is built without CUDA"
        raise InputError(f"training.device: 'cuda' is not allowed: {why}; allowed: cpu")


def start_device(name: str) -> torch.device:
    """The device of a name, ready for use; on a GPU so that training gives the same bits each time. Raises InputError.

    A rank sees one GPU at most (mpifl/mpi/placement.py). Matrix products are float32's own, not the shorter TF32.
    """
    check_device(name)
    if name == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS reads it when it starts
        torch.use_deterministic_algorithms(True)
        torch.backends.cudnn.benchmark = False
        torch.backends.cudnn.allow_tf32 = False
    return torch.device(name)


def has_room(device: torch.device, size_bytes: int) -> bool:
    """Whether data of a size is to be kept on a device."""
    return device.type == "cuda" and size_bytes * DATA_SHARE <= torch.cuda.mem_get_info(device)[0]


def seed_noise(device: torch.device, seed: int) -> None:
    """What layers draw from; torch.manual_seed would ask every kind of device, which takes longer than a small client."""
    generator = torch.default_generator
    if device.type == "cuda":
        generator = torch.cuda.default_generators[torch.cuda.current_device()]
    generator.manual_seed(seed)
