"""The local work of clients, and the test of a model. Nothing here knows of ranks."""

from mpifl.models.flat import FlatModel
from mpifl.objectives.objective import Objective
from mpifl.training.loop import Loop
from mpifl.training.participant import Engine
from mpifl.training.stacked import Stacked


def make_engine(name: str, model: FlatModel, objective: Objective, clients: int) -> Engine:
    """Return the engine ``training.engine: NAME``.

    ``model`` is a scratch model, overwritten per client. ``clients`` is the most that a group has.
    """
    if name == "loop":
        return Loop(model, objective)
    return Stacked(model, objective, clients)
