"""One numbering of the classes for all parts, made from the labels of the train part."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mpifl.errors import InputError


@dataclass(frozen=True)
class Classes:
    """The classes of a data set: class k is ``values[k]`` (classes,), the sorted labels."""

    values: np.ndarray

    def numbers(self, labels: np.ndarray, location: str | Sequence[Path]) -> np.ndarray:
        """Return the classes (samples,) int64 of labels (samples,).

        ``location`` is used in messages: the place of all labels, or the file of each. Raise
        InputError naming a label that the train part does not have.
        """
        place = np.minimum(np.searchsorted(self.values, labels), len(self.values) - 1)
        unknown = self.values[place] != labels
        if unknown.any():
            row = int(np.argmax(unknown))
            row_location = location if isinstance(location, str) else location[row]
            raise InputError(
                f"{row_location}: label {labels[row].item()!r} is not among the"
                f" {len(self.values)} of the train part"
            )
        return place.astype(np.int64)

    @property
    def names(self) -> np.ndarray:
        """(classes,) bytes, UTF-8."""
        labels = self.values.tolist()
        return np.array(
            [label if isinstance(label, bytes) else str(label).encode() for label in labels], "S"
        )


def classes_of(labels: Iterable[np.ndarray]) -> Classes:
    """Return the classes of labels that come in one block or more."""
    values: np.ndarray | None = None
    for block in labels:
        values = np.unique(block) if values is None else np.union1d(values, block)
    assert values is not None
    return Classes(values)
