"""The local work of clients, and the test of a model. Knows nothing of ranks."""

from collections.abc import Callable

from mpifl.job.schema import Training
from mpifl.models.flat import FlatModel
from mpifl.objectives.objective import Objective
from mpifl.training.loop import Loop
from mpifl.training.participant import Engine
from mpifl.training.stacked import Stacked

ENGINES: dict[str, Callable[[FlatModel, Objective, Training], Engine]] = {"loop": Loop, "stacked": Stacked}
"""By training.engine: what trains groups of participants; the model is a place to work in."""
