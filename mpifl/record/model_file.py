"""Writes the final model of a run."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from mpifl import __version__
from mpifl.io.files import disk_full_errors, usual_mode, whole_file
from mpifl.models.flat import FlatModel


def write_model(folder: Path, model: FlatModel, weights: np.ndarray) -> str:
    """Write model.safetensors into ``folder`` and return the model's SHA-256. Raises DiskFull.

    ``weights`` is (size,) float32. The hash is over the vector's tensors, as float32, one after the
    other. Local buffers (``models/flat.py``) are written too, but for integers such as a count of
    batches.
    """
    model.load(torch.from_numpy(weights))
    named = {**dict(model.module.named_parameters()), **dict(model.module.named_buffers())}
    tensors = {
        name: named[name].detach().clone(memory_format=torch.contiguous_format)
        for name in model.names
    }
    digest = hashlib.sha256(
        b"".join(tensor.numpy().astype("<f4").tobytes() for tensor in tensors.values())
    ).hexdigest()
    tensors |= {buffer.name: buffer.first.clone() for buffer in model.local if buffer.constant}

    path = folder / "model.safetensors"
    metadata = {"model_sha256": digest, "mpifl": __version__}
    with (
        disk_full_errors(path, weights.nbytes, run=folder),
        whole_file(path) as partial,
        usual_mode(partial),
    ):
        save_file(tensors, partial, metadata)
    return digest
