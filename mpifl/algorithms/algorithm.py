"""The base class of federated algorithms. ``fedavg.py`` is the shortest example."""

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
    """What an algorithm's client side gets to see of one participant.

    Attributes:
        sent: The vectors that the server sent, by name, (n,) float32. They are read-only: other
            clients get the same tensors.
        kept: The vector that this client kept when it last took part, (n,) float32; None at its
            first time and without ``keeps_state``.
        steps: How many local steps it makes.
        lr: The learning rate of those steps.
    """

    sent: dict[str, torch.Tensor]
    kept: torch.Tensor | None
    steps: int
    lr: float


class Algorithm(Section):
    """A federated algorithm with its options; an instance never changes.

    All vectors are (n,) float32, where n is the size of the model with its buffers. The first
    entries are the trained part. Only that part of a summed vector is summed: entries behind it
    are not looked at, and are 0 in the mean.

    Attributes:
        sent: Names of the state's vectors that are sent to the participants.
        summed: Names of the vectors that participants return, each as one weighted mean.
        keeps_state: Whether each client keeps a vector (n,) from one participation to the next.
        units: Bits behind the binary point for some of ``summed``, by name; see ``bits``.
        name: The name in the registry, or of the plug-in.
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
        """Raise ValueError for invalid ``units``, when the subclass is defined."""
        super().__init_subclass__(**options)
        for name, bits in cls.units.items():
            if name not in cls.summed:
                raise ValueError(
                    f"{cls.__name__}.units: {name!r} is not summed;"
                    f" allowed: {', '.join(cls.summed)}"
                )
            if type(bits) is not int or not LEAST_BITS <= bits <= MOST_BITS:
                raise ValueError(
                    f"{cls.__name__}.units: {bits!r} of {name!r} is not allowed;"
                    f" allowed: integers {LEAST_BITS} to {MOST_BITS}"
                )

    def bits(self, name: str) -> int:
        """Return the bits behind the binary point in which a summed vector is added up.

        The unit is 2**-bits. Each participant's term is rounded to it, so the mean of n
        participants is off by n/2 units at most. Values must be below 2**(62 - bits).

        Args:
            name: One of ``summed``.
        """
        return self.units.get(name, FRACTION_BITS)

    def check(self, job: Job) -> None:
        """Check that the algorithm works with the rest of the job.

        Args:
            job: The whole job.

        Raises:
            InputError: It does not; the message names the key.
        """

    def weight(self, samples: np.ndarray) -> np.ndarray:
        """Return the weights of clients in the means; mpifl scales a round's to a sum of 1.

        Args:
            samples: The number of samples of each client, (clients,) int64.

        Returns:
            One weight > 0 for each client, (clients,) float64. By default the number of samples.
        """
        return samples.astype(np.float64)

    def start(self, model: np.ndarray) -> State:
        """Return the server's state before the first round.

        Args:
            model: The initial model, (n,) float32.
        """
        return {"model": model}

    def adjust(self, gradient: torch.Tensor, weights: torch.Tensor, context: ClientContext) -> None:
        """Change a client's gradient in place, in each of its steps. By default do nothing.

        Args:
            gradient: The gradient of the batch's loss, (trainable,) float32.
            weights: The client's current weights, (trainable,) float32. Not to be changed.
            context: The participant.
        """

    @property
    def adjusts(self) -> bool:
        """Whether the class overrides ``adjust``."""
        return type(self).adjust is not Algorithm.adjust

    def contribute(
        self, update: torch.Tensor, context: ClientContext
    ) -> tuple[dict[str, torch.Tensor], torch.Tensor | None]:
        """Return what a client sends after its local steps, and what it keeps.

        Args:
            update: Weights after the steps minus weights before, (n,) float32; 0 behind the
                trained part.
            context: The participant.

        Returns:
            The vectors of ``summed`` by name, and the vector that the client keeps until it
            takes part again, None without ``keeps_state``. By default the update, and None.
        """
        return {"update": update}, None

    def step(self, state: State, mean: State, participants: int, clients: int) -> State:
        """Return the server's next state. It is not called for a round that nobody completed.

        Only the trained part of the returned ``model`` counts: whatever the algorithm, buffers
        are averaged and frozen parameters keep their values.

        Args:
            state: The server's state, vectors (n,) float32 by name. They may be changed.
            mean: The weighted mean of each vector of ``summed``, (n,) float64 by name.
            participants: How many clients completed the round.
            clients: How many clients there are.

        Returns:
            The new state, with the same names, (n,) float32.
        """
        raise NotImplementedError
