"""The job keys of ``clock.latency.variation``: how a device's speed differs from time to time."""

from __future__ import annotations

import math

import numpy as np
from pydantic import Field

from mpifl.job.section import Section
from mpifl.kernels.permutation import uniforms
from mpifl.seeds import Purpose, number

HARDLY_EVER = 4.0
"""Standard deviations that a normal number exceeds once in 30,000 draws."""


class Variation(Section):
    """How much speeds differ from one participation to the next.

    Each participation has the device's speed times exp(sigma z): a log-normal factor of median 1,
    with z a standard normal number of its own for computing, and one for both directions of its
    transfers. 0: always the device's speed.
    """

    compute: float = Field(
        0.0, ge=0, le=5, description="sigma of the log-normal factor on compute speed"
    )
    bandwidth: float = Field(
        0.0, ge=0, le=5, description="sigma of the log-normal factor on both bandwidths"
    )

    @property
    def varies(self) -> bool:
        """Whether any speed varies."""
        return self.compute > 0 or self.bandwidth > 0

    def factors(self, seed: int, draw: int, clients: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the factors (n,) float64 on compute speed and on bandwidth.

        Args:
            seed: The seed of the job.
            draw: The draw of the selection rule that chose the clients.
            clients: Client numbers (n,), int64. A factor depends on nothing but these three.
        """
        # Box and Muller 1958: two independent normal numbers from two uniform ones.
        radius = uniforms(clients, number(seed, Purpose.VARIATION, draw, 0))
        angle = 2 * math.pi * uniforms(clients, number(seed, Purpose.VARIATION, draw, 1))
        length = np.sqrt(-2 * np.log1p(-radius))
        compute = np.exp(self.compute * length * np.cos(angle))
        return compute, np.exp(self.bandwidth * length * np.sin(angle))

    @property
    def best(self) -> tuple[float, float]:
        """Factors on compute speed and on bandwidth that are hardly ever exceeded."""
        return math.exp(HARDLY_EVER * self.compute), math.exp(HARDLY_EVER * self.bandwidth)
