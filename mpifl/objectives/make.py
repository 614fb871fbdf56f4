"""The objective of a job."""

from __future__ import annotations

from mpifl.datasets.dataset import Dataset
from mpifl.errors import InputError
from mpifl.job.schema import Training
from mpifl.objectives import REGISTRY
from mpifl.objectives.classification import Classification
from mpifl.objectives.objective import Objective


def make_objective(training: Training, data: Dataset) -> Objective:
    """Return the objective of the data's task. Raises InputError for options of another one."""
    smoothing = training.label_smoothing
    if smoothing and data.task != "classification":
        raise InputError(
            f"training.label_smoothing: {smoothing:g} is not allowed: {data.name} is for"
            f" {data.task}; allowed: 0, or data for classification"
        )
    if smoothing:
        return Classification(data.outputs, smoothing)
    return REGISTRY[data.task](data.outputs)
