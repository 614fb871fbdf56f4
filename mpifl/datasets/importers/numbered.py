"""Checks of class labels: numbers from 0, or names."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

import numpy as np

from mpifl.datasets.importers.labels import classes_of
from mpifl.errors import InputError

MOST_CLASSES = 10_000_000
"""Numbers from this on are ids and no classes: a model has an output for each class."""


class Numbered:
    """Classes that the source numbers from 0.

    ``classes`` is the number of classes; 0 takes it from the largest label of the train part.
    ``names`` (classes,) bytes is empty if there are none.
    """

    def __init__(self, classes: int = 0, names: np.ndarray | None = None) -> None:
        self._is_fixed = classes > 0
        self.outputs = classes
        self.names = np.empty(0, "S1") if names is None else names

    def check(self, part: str, labels: Any, location: str) -> np.ndarray:
        """Return labels (samples,) as int64.

        Raise InputError for a label that is no whole number from 0, or that train does not have.
        """
        y = whole_numbers(labels, location)
        if not len(y):
            return y
        if part == "train" and not self._is_fixed:
            if y.max() >= MOST_CLASSES:
                raise InputError(
                    f"{location}, sample {int(np.argmax(y))}: label {y.max()}; classes are counted"
                    f" from 0 on, and allowed are numbers below {MOST_CLASSES}"
                )
            self.outputs = max(self.outputs, int(y.max()) + 1)

        wrong = (y < 0) | (y >= self.outputs)
        if wrong.any():
            row = int(np.argmax(wrong))
            allowed = self._allowed(part)
            raise InputError(f"{location}, sample {row}: label {y[row]}; allowed: {allowed}")
        return y

    def _allowed(self, part: str) -> str:
        if self._is_fixed:
            return f"0 to {self.outputs - 1}"
        if part == "train":
            return "whole numbers from 0 on"
        return f"0 to {self.outputs - 1}, those of the train part"


class Named:
    """Classes that the source names: the labels of the train part, sorted."""

    def __init__(self, train: Iterable[np.ndarray]) -> None:
        self._classes = classes_of(train)
        self.outputs = len(self._classes.values)
        self.names = self._classes.names

    def check(self, part: str, labels: np.ndarray, location: str) -> np.ndarray:
        """Return the classes (samples,) int64 of names (samples,).

        Raise InputError for a name that the train part does not have.
        """
        return self._classes.numbers(labels, location)


def whole_numbers(labels: list[Any] | np.ndarray, location: str) -> np.ndarray:
    """Return labels (samples,) or (samples, 1) as (samples,) int64.

    Raise InputError for a label that is no whole number.
    """
    if isinstance(labels, list):
        wrong_row = next(
            (row for row, label in enumerate(labels) if type(label) not in (int, float)), None
        )
        if wrong_row is not None:
            label_text = str(labels[wrong_row])[:80]
            raise InputError(
                f"{location}, sample {wrong_row}: label {label_text!r} is no whole number"
            )
        labels = np.array(labels, None if labels else np.int64)

    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1 or labels.dtype.kind not in "iuf":
        raise InputError(
            f"{location}: labels of {labels.dtype} {labels.shape[1:]};"
            " each sample needs one whole number"
        )

    y = np.where(np.abs(labels) < 2**53, labels, -1).astype(np.int64)
    if not np.array_equal(y, labels):
        row = int(np.argmax(y != labels))
        raise InputError(f"{location}, sample {row}: label {labels[row]} is no whole number")
    return y


def are_class_numbers(labels: Collection[str]) -> bool:
    """Return whether texts are all whole numbers, and below MOST_CLASSES: others are ids."""
    return all(map(is_number, labels)) and max(map(int, labels)) < MOST_CLASSES


def classes_of_texts(train: set[str]) -> Numbered | Named:
    """Return the classes of labels: the numbers themselves, or else the sorted texts."""
    if are_class_numbers(train):
        return Numbered(max(map(int, train)) + 1)
    return Named([np.array(sorted(train))])


def class_of_text(classes: Numbered | Named, part: str, label: str, location: str) -> np.ndarray:
    """Return the class of a sample (1,) int64. Raise InputError for one that train has not."""
    if isinstance(classes, Named):
        return classes.check(part, np.array([label]), location)
    if not is_number(label):
        raise InputError(f"{location}: label {label!r}; those of the train part are whole numbers")
    return classes.check(part, np.array([int(label)]), location)


def is_number(label: str) -> bool:
    """Return whether a text is a whole number from 0 on, of at most nine digits."""
    return label.isascii() and label.isdigit() and len(label) < 10
