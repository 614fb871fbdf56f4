"""FedYogi: Yogi on the server."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from mpifl.algorithms.adaptive import Adaptive


class FedYogi(Adaptive):
    """Reddi et al., arXiv 2003.00295, algorithm 2: Yogi, with the mean update as gradient.

    With the mean update d: m = beta_1 m + (1 - beta_1) d; v = v - (1 - beta_2) d^2 sign(v - d^2);
    w = w + server_lr m / (sqrt(v) + tau). There is no bias correction; v starts at tau^2.
    """

    name: str = "fedyogi"
    beta_2: float = Field(
        0.99, ge=0, lt=1, description="decay of the mean square v (default: the paper's)"
    )

    def second_moment(self, v: np.ndarray, squared: np.ndarray) -> np.ndarray:
        return v - (1 - self.beta_2) * squared * np.sign(v - squared)
