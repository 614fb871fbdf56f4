"""What a message weighs on the air."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from mpifl.algorithms.arrays import BYTES_PER_NUMBER
from mpifl.rounds.experiment.experiment import Experiment

BYTES_OF_SINGLE = 8
"""Of a single number of a message."""


def size_of(
    experiment: Experiment, arrays: Mapping[str, torch.Tensor], numbers: Mapping[str, float]
) -> int:
    """Return the bytes of a message: four for each number of an array, eight for a single number.

    A model counts ``clock.latency.model_bytes`` instead, where that is given.
    """
    model_bytes = experiment.job.clock.latency.model_bytes
    total = BYTES_OF_SINGLE * len(numbers)
    for values in arrays.values():
        count = values.numel()
        is_model = count == experiment.layout.size and values.dim() == 1
        of_job = is_model and model_bytes is not None
        total += model_bytes if of_job and model_bytes is not None else BYTES_PER_NUMBER * count
    return total
