"""One numbering of classes over all parts, made from what the train part has."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mpifl.errors import InputError


@dataclass(frozen=True)
class Classes:
    """The classes of a data set: class k is ``values[k]`` (classes,), the sorted labels of its source."""

    values: np.ndarray

    def numbers(self, found: np.ndarray, where: str | Sequence[Path]) -> np.ndarray:
        """The classes (samples,) int64 of labels (samples,). Raises InputError naming a label that is not known.

        ``where`` says in the message where the labels are, or the file of each.
        """
        place = np.minimum(np.searchsorted(self.values, found), len(self.values) - 1)
        unknown = self.values[place] != found
        if unknown.any():
            row = int(np.argmax(unknown))
            place_of = where if isinstance(where, str) else where[row]
            raise InputError(f"{place_of}: label {found[row].item()!r} is not among the {len(self.values)} of the train part")
        return place.astype(np.int64)

    @property
    def names(self) -> np.ndarray:
        """(classes,) bytes, UTF-8."""
        return np.array([value if isinstance(value, bytes) else str(value).encode() for value in self.values.tolist()], "S")


def classes_of(labels: Iterable[np.ndarray]) -> Classes:
    """The classes of labels that come in blocks, of which there is one at least."""
    found: np.ndarray | None = None
    for block in labels:
        found = np.unique(block) if found is None else np.union1d(found, block)
    assert found is not None
    return Classes(found)
