"""FedAdagrad: Adagrad on the server."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from mpifl.algorithms.adaptive import Adaptive


class FedAdagrad(Adaptive):
    """Reddi et al., arXiv 2003.00295, algorithm 2: Adagrad, with the mean update as gradient.

    With the mean update d: m = beta_1 m + (1 - beta_1) d; v = v + d^2;
    w = w + server_lr m / (sqrt(v) + tau). v starts at tau^2.
    """

    name: str = "fedadagrad"
    server_lr: float = Field(
        0.1, gt=0, description="the paper's eta; it tunes it for each task, in powers of 10"
    )
    beta_1: float = Field(
        0.0, ge=0, lt=1, description="decay of the mean m; Adagrad itself has none"
    )

    def second_moment(self, v: np.ndarray, squared: np.ndarray) -> np.ndarray:
        return v + squared
