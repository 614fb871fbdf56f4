"""What a federated algorithm is. A new one is a class like ``fedavg.py``'s, in a file of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from mpifl.job import Job
from mpifl.job.section import Section

if TYPE_CHECKING:
    import torch

State = dict[str, np.ndarray]
"""What the server keeps between rounds: float32 vectors by name, ``model`` among them."""


@dataclass(frozen=True)
class Work:
    """A participant at work: the vectors the server sent, its own vector from its last time, and its task."""

    sent: dict[str, torch.Tensor]
    kept: torch.Tensor | None
    steps: int
    lr: float


class Algorithm(Section):
    """Base of the algorithms: an instance is the algorithm with its parameters, and never changes.

    ``sent`` names the vectors of the state that go to the participants, ``summed`` the vectors that come back as one weighted
    mean, ``keeps_state`` says whether each client keeps a vector (the size of the model) from one time to the next.
    """

    sent: ClassVar[tuple[str, ...]] = ("model",)
    summed: ClassVar[tuple[str, ...]] = ("update",)
    keeps_state: ClassVar[bool] = False

    name: str

    def check(self, job: Job) -> None:
        """Raise InputError when the algorithm does not go with the rest of the job."""

    def weight(self, samples: np.ndarray) -> np.ndarray:
        """The weight (float64, > 0) of clients that hold ``samples`` (int64) samples; the plan makes them add up to 1."""
        return samples.astype(np.float64)

    def start(self, model: np.ndarray) -> State:
        """The server's state before the first round; model (n,) float32."""
        return {"model": model}

    def correct(self, gradient: torch.Tensor, weights: torch.Tensor, work: Work) -> None:
        """On the client, in every step: change the gradient (trainable,) in place. By default it stays as it is."""

    @property
    def corrects(self) -> bool:
        """Whether it changes gradients at all."""
        return type(self).correct is not Algorithm.correct

    def contribute(self, update: torch.Tensor, work: Work) -> tuple[dict[str, torch.Tensor], torch.Tensor | None]:
        """On the client, after its steps: the vectors of ``summed``, and the vector it keeps (None without keeps_state)."""
        return {"update": update}, None

    def step(self, state: State, mean: State, participants: int, clients: int) -> State:
        """On the server: the next state, from the weighted means (float64) of what the participants contributed.

        ``participants`` took part, of ``clients`` there are; a round that nobody completed makes no step.
        """
        raise NotImplementedError
