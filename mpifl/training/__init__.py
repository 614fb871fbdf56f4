"""The local work of clients, and the test of a model. Knows nothing of ranks."""

from collections.abc import Callable, Sequence

from mpifl.job.schema import Training
from mpifl.models.flat import FlatModel
from mpifl.training.loop import train_loop
from mpifl.training.participant import LocalResult, Participant
from mpifl.training.stacked import train_stacked
from mpifl.training.tasks.task import Task

ENGINES: dict[str, Callable[[FlatModel, Task, Training, Sequence[Participant]], list[LocalResult]]] = {
    "loop": train_loop,
    "stacked": train_stacked,
}
"""By training.engine: how a group of participants is trained."""
