"""What a federated algorithm is. A new one is a class like ``fedavg.py``'s, in a file of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from mpifl.exact_sum import FRACTION_BITS, LEAST_BITS, MOST_BITS
from mpifl.job import Job
from mpifl.job.section import Section

if TYPE_CHECKING:
    import torch

State = dict[str, np.ndarray]
"""What the server keeps between rounds: float32 vectors by name, ``model`` among them."""


@dataclass(frozen=True)
class Work:
    """What a participant has while it trains.

    Attributes:
        sent: Vectors (n,) float32 that the server sent, by name. Read-only.
        kept: The vector (n,) that the client kept the last time; None the first time, and without ``keeps_state``.
        steps: Number of local SGD steps.
        lr: Learning rate of the client.
    """

    sent: dict[str, torch.Tensor]
    kept: torch.Tensor | None
    steps: int
    lr: float


class Algorithm(Section):
    """Base of the algorithms. An instance is the algorithm with its parameters, and never changes.

    All vectors are (n,) float32, n being the size of the model with its buffers. Of a summed vector only the trained part is
    summed, its first entries; the rest is 0 in the mean.
    """

    sent: ClassVar[tuple[str, ...]] = ("model",)
    """Names of the vectors of the state that are sent to the participants."""
    summed: ClassVar[tuple[str, ...]] = ("update",)
    """Names of the vectors that come back as one weighted mean."""
    keeps_state: ClassVar[bool] = False
    """Whether each client keeps a vector (n,) from one participation to the next."""
    units: ClassVar[Mapping[str, int]] = {}
    """Bits behind the point in which a vector is summed, by name; see ``bits``."""

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
        """Return the bits behind the point of a summed vector: its unit is 2**-bits, its values are below 2**(62 - bits).

        Each participant's term is rounded to that unit, so the mean of n participants is off by n/2 units at most.
        """
        return self.units.get(name, FRACTION_BITS)

    def check(self, job: Job) -> None:
        """Raise InputError when the algorithm does not go with the rest of the job."""

    def weight(self, samples: np.ndarray) -> np.ndarray:
        """Return the weights (float64, > 0) of clients with ``samples`` (int64) samples. The plan scales their sum to 1."""
        return samples.astype(np.float64)

    def start(self, model: np.ndarray) -> State:
        """Return the server's state before the first round, from the initial model (n,) float32."""
        return {"model": model}

    def correct(self, gradient: torch.Tensor, weights: torch.Tensor, work: Work) -> None:
        """On the client, in every step: change the gradient in place. The default leaves it as it is.

        Args:
            gradient: Gradient of the step, (trainable,).
            weights: The client's current weights, (trainable,).
            work: What the server sent, and what the client kept.
        """

    @property
    def corrects(self) -> bool:
        """Whether it changes gradients at all."""
        return type(self).correct is not Algorithm.correct

    def contribute(self, update: torch.Tensor, work: Work) -> tuple[dict[str, torch.Tensor], torch.Tensor | None]:
        """On the client, after its steps: return the vectors of ``summed``, and the vector that it keeps.

        Args:
            update: Trained minus received weights, (n,); 0 behind the trained part.
            work: What the server sent, and what the client kept.

        Returns:
            The vectors by name, and the vector to keep (None without ``keeps_state``).
        """
        return {"update": update}, None

    def step(self, state: State, mean: State, participants: int, clients: int) -> State:
        """On the server: return the next state. Not called after a round that nobody completed.

        Of the returned model the trained part counts: buffers are averaged and frozen parameters kept by mpifl.

        Args:
            state: The state before the round.
            mean: Weighted means (n,) float64 of the vectors of ``summed``, by name.
            participants: Number of clients whose updates are in the mean.
            clients: Number of clients in the population.
        """
        raise NotImplementedError
