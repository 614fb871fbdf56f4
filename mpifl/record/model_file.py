"""The final model of a run."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from mpifl import __version__
from mpifl.io.files import disk_full_errors, whole_file
from mpifl.models.flat import FlatModel


def write_model(folder: Path, model: FlatModel, weights: np.ndarray) -> str:
    """model.safetensors, tensor by tensor; returns the SHA-256 of the vector's tensors, float32 end to end. Raises DiskFull.

    Buffers that stay as they are built (``models/flat.py``) stand there too, but for integers such as a count of batches.
    """
    model.load(torch.from_numpy(weights))
    held = {**dict(model.module.named_parameters()), **dict(model.module.named_buffers())}
    tensors = {name: held[name].detach().clone(memory_format=torch.contiguous_format) for name in model.names}
    digest = hashlib.sha256(b"".join(t.numpy().astype("<f4").tobytes() for t in tensors.values())).hexdigest()
    tensors |= {buffer.name: buffer.first.clone() for buffer in model.local if buffer.constant}
    path = folder / "model.safetensors"
    with disk_full_errors(path, weights.nbytes, run=folder), whole_file(path) as partial:
        partial.touch()
        mode = partial.stat().st_mode  # what the umask leaves; safetensors puts a file of its own there, for the owner alone
        save_file(tensors, partial, metadata={"model_sha256": digest, "mpifl": __version__})
        partial.chmod(mode)
    return digest
