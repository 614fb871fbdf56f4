"""What an algorithm's two sides get to see, and what its client side returns."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from mpifl.algorithms.arrays import Arrays
from mpifl.algorithms.requests import Request
from mpifl.errors import TrainingError
from mpifl.models.layout import Layout

if TYPE_CHECKING:
    import torch

    from mpifl.job.schema import Training


@dataclass(frozen=True)
class ClientContext:
    """One participant, as its client program sees it.

    Attributes:
        client: Its number.
        round: The round, from 1 on.
        samples: How many training samples it has.
        steps: How many local steps the plan gives it.
        lr: The learning rate of this round.
        training: The job's section ``training``, such as its optimizer.
        received: The arrays that the server sent, by name. Read-only: other clients get the same
            tensors.
        initial_or_none: The model before the first round, (size,) float32; None where the
            algorithm does not need it.
        kept: What this client kept when it last took part, by name; empty the first time.
        kept_round: The round in which that was; 0 the first time.
        kind: What the algorithm takes it for (``Algorithm.kinds_of``).
        layout: Where the model's tensors lie in its vector.
        loss: Return the objective's mean loss of outputs and targets, a scalar tensor:
            ``loss(output, y)``, for a loss of one's own that adds to it.
        count_labels: Return how many samples it has of each class, (classes,) int64.
        public: Return the inputs of a round's public samples, (``Algorithm.public``, ...):
            ``public(round)``.
        make_generator: Return its generator, keyed by (seed, round, client).
        others: What the other participants of the last round kept then, by client, in the order of
            their numbers: the arrays of ``Algorithm.needs_others``, which the server has of them.
            Read-only. Empty in the first round.
        count_validation: Return how many samples it has in the validation part (``Evaluate``).
    """

    client: int
    round: int
    samples: int
    steps: int
    lr: float
    training: Training
    received: Mapping[str, torch.Tensor]
    initial_or_none: torch.Tensor | None
    kept: Mapping[str, torch.Tensor]
    kept_round: int
    kind: int
    layout: Layout
    loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
    count_labels: Callable[[], np.ndarray]
    public: Callable[[int], torch.Tensor]
    make_generator: Callable[[], np.random.Generator]
    others: Mapping[int, Mapping[str, torch.Tensor]] = field(default_factory=dict)
    count_validation: Callable[[], int] = int

    @property
    def initial(self) -> torch.Tensor:
        """The model before the first round, (size,) float32.

        Every client can build it, so it costs no transfer.

        Raises:
            TrainingError: The algorithm does not say that it needs it.
        """
        if self.initial_or_none is None:
            raise TrainingError(
                "algorithm.name: its client asks for c.initial, which ranks do not keep: set"
                " needs_initial = True in the class"
            )
        return self.initial_or_none

    @property
    def received_model(self) -> torch.Tensor:
        """The model that the client received, else that before the first round, (size,) float32."""
        if "model" in self.received:
            return self.received["model"]
        return self.initial


class Upload:
    """What a client program returns.

    Attributes:
        arrays: What it uploads, by name: those that the algorithm declares in ``uploaded``.
        keep: What it keeps until it takes part again: those declared in ``kept``.
        slot: Which of the round's sums the arrays go into, from 0 on.
        averages: The averaged segment that it uploads, (averaged,) float32. By default that of the
            first training.
    """

    def __init__(
        self,
        *,
        keep: Mapping[str, torch.Tensor] | None = None,
        slot: int = 0,
        averages: torch.Tensor | None = None,
        **arrays: torch.Tensor | float,
    ) -> None:
        """Take the arrays by name: ``Upload(update=..., keep={"personal": ...})``."""
        self.arrays = arrays
        self.keep = dict(keep or {})
        self.slot = slot
        self.averages = averages


Program = Generator[Request, Any, Upload]
"""A client program: yields requests, receives their results, returns an Upload."""

PersonalModel = Generator[Request, Any, "torch.Tensor"]
"""A program that returns the model (size,) with which a client is tested."""


@dataclass(frozen=True)
class ServerContext:
    """A round that is over, as the algorithm's server side sees it.

    Attributes:
        state: The server's arrays before the round, float32 by name.
        round: The round, from 1 on.
        asked: How many clients were asked.
        participants: How many clients completed the round; at least one.
        clients: How many clients there are.
        lr: The learning rate of the round.
        training: The job's section ``training``.
        weight: The sum of the participants' weights: 1, or less where late updates count less.
        slots: The weight of each slot's participants, (slots,) float64; 0 where there was none.
        averages: The averaged segment of each slot, (slots, averaged) float64: the mean of its
            participants' values; NaN where there was none. (slots, 0) without ``shares_averages``.
        products: With ``needs_products``, by slot: its clients (n,) int64, sorted, and the inner
            products (n, n) float64 of their updates, the first array that they upload.
        layout: Where the model's tensors lie in its vector.
        public: Return the inputs of a round's public samples, as ClientContext's.
        make_generator: Return the server's generator, keyed by (seed, round).
        others: What the participants of the round keep, by client, in the order of their numbers:
            the arrays of ``Algorithm.needs_others``. Read when it is looked at.
    """

    state: Arrays
    round: int
    asked: int
    participants: int
    clients: int
    lr: float
    training: Training
    weight: float
    slots: np.ndarray
    averages: np.ndarray
    products: Mapping[int, tuple[np.ndarray, np.ndarray]]
    layout: Layout
    public: Callable[[int], torch.Tensor]
    make_generator: Callable[[], np.random.Generator]
    others: Mapping[int, Mapping[str, torch.Tensor]] = field(default_factory=dict)
