"""What one client contributes to a round."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

if TYPE_CHECKING:
    from mpifl.rounds.clients.recording import Recorded


class Losses(NamedTuple):
    """A client's training losses, as LocalResult has them.

    Of a pass over all samples only the mean loss is known; the squares are then its square.
    """

    loss: float
    squared_loss: float
    last_squared_loss: float


NO_LOSSES = Losses(math.nan, math.nan, math.nan)


@dataclass(frozen=True)
class ClientUpdate:
    """What one client contributes to the round's sums.

    ``index`` is its place in the group, ``slot`` the sum it goes into. ``arrays`` are the entries
    that are summed, in the order of the SumLayout, each (size,) float32; ``averages`` the averaged
    buffers, (averaged,) float32. ``kept`` is what the client keeps if its update counts, ``steps``
    the local steps that it made, ``bytes_up`` the bytes of its upload, 0 where no stage codes it,
    ``told`` what it tells the stage that the server steers; ``norm`` the Euclidean norm of what
    arrives of the first array, NaN where nobody asks for it; ``recorded`` what the run records of
    it besides, if anything.
    """

    index: int
    slot: int
    arrays: list[torch.Tensor]
    averages: torch.Tensor
    losses: Losses
    kept: dict[str, np.ndarray]
    steps: int
    bytes_up: int = 0
    told: float = 0.0
    norm: float = math.nan
    recorded: Recorded | None = None
