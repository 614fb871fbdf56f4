"""A transform of one's own, as jobs of these tests name it: no module of the tests is imported here."""

from __future__ import annotations

import numpy as np
import torch

from mpifl.transforms.transform import Transform

HERE = __file__


class Negated(Transform):
    """A plug-in that changes its minibatches in place, and counts them where that is allowed."""

    name: str = "negated"
    counts: bool = False

    def apply(
        self, x: torch.Tensor, y: torch.Tensor, random: np.random.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        if self.counts:
            COUNTED.append(len(x))
        if random.random() < 0.5:
            x.neg_()
        return x, y


COUNTED: list[int] = []
