"""A data set whose features are dealt out: every client holds all samples, and of each its own features."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mpifl.datasets.dataset import Dataset, Part, blocks
from mpifl.errors import InputError


@dataclass(frozen=True)
class Known:
    """The features of a data set (Values, float32, scaled), once for each party with those it does not know at 0.

    ``known`` holds the numbers of each party's features; None knows all.
    """

    x: Any
    scale: float | np.ndarray
    shift: float | np.ndarray
    known: Sequence[np.ndarray | None]

    @property
    def shape(self) -> tuple[int, ...]:
        """As an array's."""
        return (len(self.known) * self.x.shape[0], *self.x.shape[1:])

    @property
    def dtype(self) -> np.dtype:
        """As an array's."""
        return np.dtype(np.float32)

    def blocks(self) -> Iterator[np.ndarray]:
        """All samples of the first party, then all of the next."""
        for features in self.known:
            for block in blocks(self.x):
                whole = (block.astype(np.float32) * self.scale + self.shift).astype(np.float32)
                if features is not None:
                    flat, all_of_it = np.zeros((len(whole), whole[0].size), np.float32), whole.reshape(len(whole), -1)
                    flat[:, features] = all_of_it[:, features]
                    whole = flat.reshape(whole.shape)
                yield whole


def dealt_to_parties(data: Dataset, features_of: Sequence[np.ndarray]) -> Dataset:
    """The data set, to be written, in which client k holds all train samples and of each the features ``features_of[k]``.

    The other parts keep all features. Raises InputError for sequences, whose samples have no features of their own.
    """
    if data.vocabulary or data.train.begin is not None:
        raise InputError(f"data.partition.name: 'vertical' deals features; the samples of {data.name} are sequences")
    train, parties = data.train, len(features_of)
    changed: dict[str, Any] = {
        name: replace(part, x=Known(part.x, data.feature_scale, data.feature_shift, [None]))
        for name, part in data.parts.items()
    }
    changed["train"] = Part(
        x=Known(train.x, data.feature_scale, data.feature_shift, list(features_of)),
        y=None if train.y is None else np.tile(train.y, (parties, *[1] * (train.y.ndim - 1))),
        offsets=np.arange(parties + 1) * train.samples,
        client=np.array([str(number).encode() for number in range(parties)]),
        coarse=None if train.coarse is None else np.tile(train.coarse, parties),
    )
    return replace(data, feature_scale=1.0, feature_shift=0.0, **changed)
