"""The final parameters of a ServerApp, found wherever Flower's own servers leave them."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any

import flwr.server.server
import flwr.serverapp.strategy.strategy
import numpy as np
from flwr.common import parameters_to_ndarrays
from safetensors.numpy import save_file

from mpifl.flower.flwr_api import ArrayRecord
from mpifl.io.files import disk_full_errors, usual_mode, whole_file

MAIN_PARAMETERS = "parameters"


@dataclass
class Final:
    """What the servers of an app have left so far: named arrays, None for nothing."""

    arrays: dict[str, np.ndarray] | None = None

    def of_state(self, state: Any) -> dict[str, np.ndarray] | None:
        """Return the final parameters of a ServerApp whose context has this state.

        They are the record ``parameters`` of the state, where Flower's workflows keep them; else
        what the last strategy, or legacy server, ended with.
        """
        record = state.array_records.get(MAIN_PARAMETERS)
        return self.arrays if record is None else named_arrays(record)


@contextlib.contextmanager
def watched() -> Iterator[Final]:
    """Note in the block what strategies and legacy servers end with."""
    final = Final()
    strategy = flwr.serverapp.strategy.strategy.Strategy
    server = flwr.server.server.Server
    start, fit = strategy.start, server.fit

    @wraps(start)
    def noted_start(self: Any, *args: Any, **kwargs: Any) -> Any:
        result = start(self, *args, **kwargs)
        final.arrays = named_arrays(result.arrays)
        return result

    @wraps(fit)
    def noted_fit(self: Any, *args: Any, **kwargs: Any) -> Any:
        result = fit(self, *args, **kwargs)
        arrays = parameters_to_ndarrays(self.parameters)
        final.arrays = {str(index): array for index, array in enumerate(arrays)}
        return result

    patches: list[tuple[Any, str, Callable[..., Any], Callable[..., Any]]] = [
        (strategy, "start", noted_start, start),
        (server, "fit", noted_fit, fit),
    ]
    try:
        for kind, name, noted, _ in patches:
            setattr(kind, name, noted)
        yield final
    finally:
        for kind, name, _, plain in patches:
            setattr(kind, name, plain)


def named_arrays(record: Any) -> dict[str, np.ndarray] | None:
    """Return the arrays of an ArrayRecord by name; None for those that are no NumPy arrays."""
    if not isinstance(record, ArrayRecord) or not len(record):
        return None
    if any(array.stype != "numpy.ndarray" for array in record.values()):
        return None
    return {name: array.numpy() for name, array in record.items()}


def write_arrays(folder: Path, arrays: dict[str, np.ndarray]) -> str:
    """Write model.safetensors of a run directory; return the arrays' SHA-256. Raises DiskFull.

    The hash is over the bytes of the arrays, one after the other, as they are.
    """
    digest = hashlib.sha256(b"".join(np.ascontiguousarray(a).tobytes() for a in arrays.values()))
    path = folder / "model.safetensors"
    tensors = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    with disk_full_errors(path, run=folder), whole_file(path) as partial, usual_mode(partial):
        save_file(tensors, partial, metadata={"model_sha256": digest.hexdigest()})
    return digest.hexdigest()
