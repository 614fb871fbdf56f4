"""What a federated algorithm is. A new one is a class like ``fedavg.py``'s, in a file of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from mpifl.aggregation.exact_sum import FRACTION_BITS, LEAST_BITS, MOST_BITS
from mpifl.job import Job
from mpifl.job.section import Section

if TYPE_CHECKING:
    import torch

State = dict[str, np.ndarray]
"""What the server keeps between rounds: float32 vectors by name, ``model`` among them."""


@dataclass(frozen=True)
class ClientContext:
    """A participant at work: the vectors the server sent, its own vector from its last time, and its task."""

    sent: dict[str, torch.Tensor]
    kept: torch.Tensor | None
    steps: int
    lr: float


class Algorithm(Section):
    """Base of the algorithms: an instance is the algorithm with its parameters, and never changes.

    ``sent`` names the vectors of the state that go to the participants, ``summed`` the vectors that come back as one weighted
    mean, ``keeps_state`` says whether each client keeps a vector (the size of the model) from one time to the next.

    All vectors are (n,) float32, n being the size of the model with its buffers. Of a summed vector the trained part is
    summed, its first entries. What stands behind them is not looked at, and in ``mean`` it is 0. ``units`` gives the unit
    in which a vector is summed, by name: see ``bits``.
    """

    sent: ClassVar[tuple[str, ...]] = ("model",)
    summed: ClassVar[tuple[str, ...]] = ("update",)
    keeps_state: ClassVar[bool] = False
    units: ClassVar[Mapping[str, int]] = {}

    name: str

    def __init_subclass__(cls, **options: Any) -> None:
        """Raise ValueError for units that cannot be, when the class is made."""
        super().__init_subclass__(**options)
        for name, bits in cls.units.items():
            if name not in cls.summed:
                raise ValueError(f"{cls.__name__}.units: {name!r} is not summed; allowed: {', '.join(cls.summed)}")
            if type(bits) is not int or not LEAST_BITS <= bits <= MOST_BITS:
                raise ValueError(
                    f"{cls.__name__}.units: {bits!r} of {name!r} is not allowed; allowed: integers {LEAST_BITS} to {MOST_BITS}"
                )

    def bits(self, name: str) -> int:
        """The bits behind the point of a summed vector: its unit is 2**-bits, and its values are below 2**(62 - bits).

        Each participant's term is rounded to that unit, so that n participants move the mean by n/2 units at most.
        """
        return self.units.get(name, FRACTION_BITS)

    def check(self, job: Job) -> None:
        """Raise InputError when the algorithm does not go with the rest of the job."""

    def weight(self, samples: np.ndarray) -> np.ndarray:
        """The weight (float64, > 0) of clients that hold ``samples`` (int64) samples; the plan makes them add up to 1."""
        return samples.astype(np.float64)

    def start(self, model: np.ndarray) -> State:
        """The server's state before the first round; model (n,) float32."""
        return {"model": model}

    def adjust(self, gradient: torch.Tensor, weights: torch.Tensor, context: ClientContext) -> None:
        """On the client, in every step: change the gradient (trainable,) in place. By default it stays as it is."""

    @property
    def adjusts(self) -> bool:
        """Whether it changes gradients at all."""
        return type(self).adjust is not Algorithm.adjust

    def contribute(self, update: torch.Tensor, context: ClientContext) -> tuple[dict[str, torch.Tensor], torch.Tensor | None]:
        """On the client, after its steps: the vectors of ``summed``, and the vector it keeps (None without keeps_state).

        ``update`` is what its steps changed in the model; behind the trained part it is 0.
        """
        return {"update": update}, None

    def step(self, state: State, mean: State, participants: int, clients: int) -> State:
        """On the server: the next state, from the weighted means (float64) of what the participants contributed.

        ``participants`` took part, of ``clients`` there are; a round that nobody completed makes no step. What it returns for
        the model counts for the trained part: buffers are averaged and frozen parameters kept whatever the algorithm.
        """
        raise NotImplementedError
