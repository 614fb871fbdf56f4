"""No transform."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mpifl.transforms.transform import Transform

if TYPE_CHECKING:
    import torch


class None_(Transform):  # noqa: N801  (None is a word of Python's)
    """Leave minibatches as they are."""

    name: str = "none"

    @property
    def changes(self) -> bool:
        return False

    def apply(
        self, x: torch.Tensor, y: torch.Tensor, random: np.random.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        return x, y
