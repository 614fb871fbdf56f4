"""Classes as they come in: numbered by the source itself, from 0, or named by it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from mpifl.datasets.importers.labels import classes_of
from mpifl.errors import InputError


class Numbered:
    """Classes that the source numbers: how many there are is found in the train part, unless it is said before.

    ``names`` (classes,) bytes is empty where nobody knows them.
    """

    def __init__(self, classes: int = 0, names: np.ndarray | None = None) -> None:
        self._said = classes > 0
        self.outputs = classes
        self.names = np.empty(0, "S1") if names is None else names

    def check(self, part: str, labels: Any, where: str) -> np.ndarray:
        """Labels (samples,) as int64. Raises InputError for what is no whole number from 0, or a class that train has not."""
        y = whole_numbers(labels, where)
        if not len(y):
            return y
        if part == "train" and not self._said:
            self.outputs = max(self.outputs, int(y.max()) + 1)
        wrong = (y < 0) | (y >= self.outputs)
        if wrong.any():
            row = int(np.argmax(wrong))
            raise InputError(f"{where}, sample {row}: label {y[row]}; allowed: {self._allowed(part)}")
        return y

    def _allowed(self, part: str) -> str:
        whose = "" if self._said or part == "train" else ", those of the train part"
        return f"0 to {self.outputs - 1}{whose}" if self.outputs else "0 and above"


class Named:
    """Classes that the source names: all that the train part has, in sorted order."""

    def __init__(self, train: Iterable[np.ndarray]) -> None:
        self._classes = classes_of(train)
        self.outputs = len(self._classes.values)
        self.names = self._classes.names

    def check(self, part: str, labels: np.ndarray, where: str) -> np.ndarray:
        """Names (samples,) as classes (samples,) int64. Raises InputError for one that train has not."""
        return self._classes.numbers(labels, where)


def whole_numbers(labels: list[Any] | np.ndarray, where: str) -> np.ndarray:
    """Labels (samples,), or an array (samples, 1), as (samples,) int64. Raises InputError for what is no whole number."""
    if isinstance(labels, list):
        other = next((k for k, label in enumerate(labels) if type(label) not in (int, float)), None)
        if other is not None:
            raise InputError(f"{where}, sample {other}: label {str(labels[other])[:80]!r} is no whole number")
        labels = np.array(labels, None if labels else np.int64)
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1 or labels.dtype.kind not in "iuf":
        raise InputError(f"{where}: labels of {labels.dtype} {labels.shape[1:]}; each sample needs one whole number")
    y = np.where(np.abs(labels) < 2**53, labels, -1).astype(np.int64)
    if not np.array_equal(y, labels):
        row = int(np.argmax(y != labels))
        raise InputError(f"{where}, sample {row}: label {labels[row]} is no whole number")
    return y
