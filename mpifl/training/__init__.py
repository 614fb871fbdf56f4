"""The local work of clients, and the test of a model. Nothing here knows of ranks."""

from collections.abc import Callable

from mpifl.job.schema import Training
from mpifl.models.flat import FlatModel
from mpifl.objectives.objective import Objective
from mpifl.training.loop import Loop
from mpifl.training.participant import Engine
from mpifl.training.stacked import Stacked

ENGINES: dict[str, Callable[[FlatModel, Objective, Training], Engine]] = {
    "loop": Loop,
    "stacked": Stacked,
}
"""Engines by the name in training.engine. The model is a scratch model, overwritten per client."""
