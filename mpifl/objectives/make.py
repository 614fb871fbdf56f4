"""The objective of a job."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mpifl.errors import InputError
from mpifl.job.component import COMPONENTS, find_part

if TYPE_CHECKING:
    from mpifl.datasets.dataset import Dataset
    from mpifl.job import Job
    from mpifl.objectives.objective import Objective

COMPONENT = next(component for component in COMPONENTS if component.path == ("objective",))
OF_TASK = {"control": "reinforce"}
"""What ``auto`` stands for, by task, where it is not the objective with the task's name."""


def objective_of(
    name: str, outputs: int, label_smoothing: float = 0.0, longest: int = 0, **options: object
) -> Objective:
    """Return the objective of a name, with its options, as ``made_for`` such data."""
    found: type[Objective] = find_part(COMPONENT, name)[0]  # type: ignore[assignment]
    made = found.model_validate({"name": name, **options})
    return made.made_for(outputs, label_smoothing, longest)


def make_objective(job: Job, data: Dataset, cuts: bool = False) -> Objective:
    """Return the objective of a job for its data; ``auto`` is settled.

    Raises InputError for one that does not go with the data's task, and for label smoothing with
    one that has none; for one that puts a module around the model's, where the job's algorithm
    works on outputs of the latter, or a protocol ``cuts`` it.
    """
    smoothing = job.training.label_smoothing
    longest = data.shape.sample[-1] if data.vocabulary else 0
    made = job.objective.made_for(data.outputs, smoothing, longest)
    if made.name == "auto":
        name = OF_TASK.get(data.task, data.task)
        made = objective_of(name, data.outputs, smoothing, longest)
    elif data.task not in made.tasks:
        raise InputError(
            f"objective.name: {made.name!r} is not allowed: {data.name} is for {data.task};"
            f" allowed: auto, or data for {' or '.join(made.tasks)}"
        )
    if smoothing and not made.smooths:
        raise InputError(
            f"training.label_smoothing: {smoothing:g} is not allowed: {data.name} is for"
            f" {data.task}, with objective.name {made.name}; allowed: 0, or data for classification"
            " with objective.name classification"
        )
    if made.wraps and (cuts or job.algorithm.reads_outputs):
        key = (
            f"protocol.name {job.protocol.name}" if cuts else f"algorithm.name {job.algorithm.name}"
        )
        raise InputError(
            f"objective.name: {made.name!r} is not allowed with {key}, which works on what the"
            " model itself puts out"
        )
    # other tasks than a classification are refused by who needs classes, such as fedlc
    no_classes = data.task == "classification" and made.model_shape(data.shape) != data.shape
    if no_classes and job.algorithm.reads_classes:
        raise InputError(
            f"objective.name: {made.name!r} is not allowed with algorithm.name"
            f" {job.algorithm.name}, which works on logits of classes; allowed: classification"
        )
    made.check(data.shape)
    return made
