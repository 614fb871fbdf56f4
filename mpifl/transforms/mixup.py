"""Mixup: mixtures of two samples."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from mpifl.errors import InputError
from mpifl.transforms.transform import Mixture, Transform

if TYPE_CHECKING:
    import torch

    from mpifl.datasets.dataset import Dataset


class Mixup(Transform):
    """Zhang et al., arXiv 1710.09412: x = l x_i + (1 - l) x_j with the targets of both.

    The loss is l of that with y_i and 1 - l of that with y_j, which for a cross-entropy and for the
    gradient of a squared error is that of the mixed target. As in the paper's code, l is drawn
    from Beta(alpha, alpha) once for a minibatch, and j by a permutation of it.
    """

    name: str = "mixup"
    alpha: float = Field(
        1.0, gt=0, description="of Beta(alpha, alpha); small: one of both prevails"
    )

    def check(self, data: Dataset) -> None:
        if data.vocabulary:
            raise InputError(
                f"training.transform.name: {self.name!r} is not allowed: the samples of"
                f" {data.name} are tokens, which cannot be mixed; allowed: none"
            )

    def apply(
        self, x: torch.Tensor, y: torch.Tensor, random: np.random.Generator
    ) -> tuple[torch.Tensor, Mixture]:
        """Return mixed samples and both targets. Drawn are l and then the permutation."""
        import torch

        share = float(random.beta(self.alpha, self.alpha))
        partners = torch.from_numpy(random.permutation(len(x))).to(x.device)
        mixed = x * share + x[partners] * (1 - share)
        return mixed, Mixture(y, y[partners], share)
