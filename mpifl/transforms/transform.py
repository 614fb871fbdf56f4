"""The base class of transforms. ``flip_crop.py`` is an example."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from mpifl.job.section import Section

if TYPE_CHECKING:
    import torch

    from mpifl.datasets.dataset import Dataset


@dataclass(frozen=True, eq=False)
class Mixture:
    """Two targets for each sample; a loss is ``share`` of that with the first, and the rest.

    Attributes:
        first: Targets, (samples, ...).
        second: Targets, (samples, ...).
        share: How much the first count, 0 to 1.
    """

    first: torch.Tensor
    second: torch.Tensor
    share: float

    def loss(self, loss: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
        """Return the loss with both targets, where ``loss`` is that with one."""
        return self.share * loss(self.first) + (1 - self.share) * loss(self.second)


def of_targets(
    loss: Callable[[torch.Tensor], torch.Tensor], y: torch.Tensor | Mixture
) -> torch.Tensor:
    """Return a loss of targets; of a mixture that with both."""
    return y.loss(loss) if isinstance(y, Mixture) else loss(y)


class Transform(Section):
    """A random change of minibatches with its options; an instance never changes.

    Local steps (``Train``) are made on changed minibatches. Tests and the requests ``Evaluate``,
    ``Gradient`` and ``Call`` see the samples as they are.
    """

    name: str = Field(description="which transform")

    @property
    def changes(self) -> bool:
        """Whether it changes anything."""
        return True

    def check(self, data: Dataset) -> None:
        """Raise InputError, naming the key, for data that it cannot change."""

    def apply(
        self, x: torch.Tensor, y: torch.Tensor, random: np.random.Generator
    ) -> tuple[torch.Tensor, torch.Tensor | Mixture]:
        """Return a minibatch in place of another one. It may depend on its arguments only.

        Args:
            x: Samples (samples, ...), a copy of those in the store: it may be changed in place.
            y: Their targets (samples, ...), a copy too.
            random: A generator that depends on (seed, round, client, request), and goes on from one
                minibatch to the next. Other generators are not to be used.

        Returns:
            As many samples and targets of the same shapes, on the same device.
        """
        raise NotImplementedError
