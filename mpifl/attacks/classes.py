"""What attacks that name classes share: a check, and the labels that a backdoor adds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from mpifl.errors import InputError

if TYPE_CHECKING:
    from mpifl.datasets.dataset import Dataset


def check_classes(name: str, data: Dataset, named: Mapping[str, int | None]) -> None:
    """Raise InputError for data without classes, or without one that an attack names by its key."""
    if data.task != "classification":
        raise InputError(
            f"attacks.name: {name!r} is not allowed: {data.name} is for {data.task}, and the attack"
            " is on classes"
        )
    for key, label in named.items():
        if label is not None and label >= data.outputs:
            raise InputError(
                f"attacks.{key}: {label} is not allowed with attack {name}; allowed: 0 to"
                f" {data.outputs - 1}"
            )


def with_target(y: np.ndarray, target: int, poisoned: float) -> np.ndarray:
    """Return labels (samples,) and behind them ``target``, for a share ``poisoned`` of them.

    Any of the samples may keep its label: which ones get the target is drawn with each minibatch.
    """
    return np.append(y, np.full(math.ceil(poisoned * len(y)), target, y.dtype))
