"""Objectives with a measure of which more is better, and its opposite: plug-ins of several tests."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import numpy as np

from mpifl.objectives.classification import Classification

HERE = Path(__file__).resolve()


class Recall(Classification):
    """``mean_recall`` is the mean recall of the classes in the test, ``miss`` 1 minus that."""

    name: str = "recall"
    measures: ClassVar[Mapping[str, str]] = {
        "mean_recall": "mean recall of the classes",
        "miss": "1 - mean_recall",
    }
    higher_is_better: ClassVar[tuple[str, ...]] = ("mean_recall",)

    def metrics(
        self, scored: int, correct: int, loss: float, counts: np.ndarray, rows: np.ndarray
    ) -> dict[str, float]:
        scores = super().metrics(scored, correct, loss, counts, rows)
        right, _, targets = counts[1:].reshape(3, self.outputs)
        there = targets > 0
        recall = float((right[there] / targets[there]).mean())
        return scores | {"mean_recall": recall, "miss": 1 - recall}


class Silent(Recall):
    """The same, which does not say which way is better."""

    higher_is_better: ClassVar[tuple[str, ...]] = ()
