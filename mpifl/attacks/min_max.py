"""Min-max: as far from the mean as the two honest updates that are farthest apart."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from mpifl.aggregation.updates import Updates
from mpifl.aggregation.views import Make, extended
from mpifl.attacks.colluding import Colluding, Plot, deviation

Direction = Literal["deviation", "sign", "unit"]


class Perturbing(Colluding):
    """What ``min_max`` and ``min_sum`` have in common: mean + gamma x direction."""

    direction: Direction = Field(
        "deviation",
        description="where to: against each coordinate's standard deviation, against the sign of"
        " the mean, or against the mean",
    )

    @property
    def of_changes(self) -> bool:
        return self.direction != "deviation"

    def craft(self, updates: Updates, plot: Plot) -> Make:
        """Return mean + gamma x direction: the same for all attackers."""

        def perturbation(place: slice, columns: np.ndarray) -> np.ndarray:
            return direction(columns, plot.known, self.direction)

        products = extended(updates, perturbation).products
        gamma = self.largest(*offsets(products, plot.known))

        def crafted(place: slice, columns: np.ndarray) -> np.ndarray:
            mean, _ = deviation(columns, plot.known)
            return mean + gamma * perturbation(place, columns)

        return crafted

    def largest(
        self, apart: np.ndarray, squared: np.ndarray, along: np.ndarray, length: float
    ) -> float:
        """Return the largest gamma that the attack allows; arguments as ``offsets`` returns."""
        raise NotImplementedError


class MinMax(Perturbing):
    """An attack: Shejwalkar and Houmansadr, NDSS 2021 (their Min-Max).

    All attackers send the mean of the updates that they know plus gamma times a direction, with the
    largest gamma for which no known update is farther from it than the two known ones that are
    farthest apart. The paper searches for gamma by halving; here it is computed.
    """

    name: str = "min_max"

    def largest(
        self, apart: np.ndarray, squared: np.ndarray, along: np.ndarray, length: float
    ) -> float:
        return float(min(root(length, along, squared - apart.max()), default=0.0))


def direction(columns: np.ndarray, known: np.ndarray, kind: Direction) -> np.ndarray:
    """Return the direction (width,) of the perturbation, not of unit length."""
    mean, spread = deviation(columns, known)
    if kind == "deviation":
        return -spread
    return -np.sign(mean) if kind == "sign" else -mean


def offsets(
    products: np.ndarray, known: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Return what the distance of mean + gamma p to each known update depends on.

    ``products`` are the inner products of the updates and, last, of p. The squared distance to
    update i is ``squared[i]`` + 2 gamma ``along[i]`` + gamma**2 ``length``. First come the squared
    distances of the known updates to each other, (k, k).
    """
    own = products[np.ix_(known, known)]
    norms = own.diagonal()
    apart = np.maximum(norms[:, None] + norms[None, :] - 2 * own, 0.0)

    to_mean = own.sum(axis=1) / len(known)
    squared = np.maximum(to_mean.sum() / len(known) - 2 * to_mean + norms, 0.0)
    on_p = products[known, -1]
    along = on_p.sum() / len(known) - on_p
    return apart, squared, along, float(products[-1, -1])


def root(length: float, along: np.ndarray, rest: np.ndarray) -> np.ndarray:
    """Return the larger root (k,) of length x**2 + 2 along x + rest = 0; 0 where there is none."""
    if length <= 0:
        return np.zeros_like(along)
    inside = np.maximum(along**2 - length * rest, 0.0)
    return np.maximum((np.sqrt(inside) - along) / length, 0.0)
