"""What a round's exact sums come to: means, running statistics, and what a rule has combined."""

from __future__ import annotations

import numpy as np

from mpifl.aggregation.exact_sum import from_fixed, from_parts
from mpifl.algorithms.arrays import Arrays
from mpifl.rounds.experiment.experiment import Experiment


def slot_weights(experiment: Experiment, weights: np.ndarray, slots: np.ndarray) -> np.ndarray:
    """Return the sum of the participants' weights in each slot, added in a fixed order."""
    return np.array(
        [np.sort(weights[slots == slot]).sum() for slot in range(experiment.sums.slots)]
    )


def means_of(
    experiment: Experiment, totals: np.ndarray, scales: np.ndarray, block: slice
) -> Arrays:
    """Return the weighted means of the uploaded arrays (float64) by name.

    ``totals`` are their sums; those of a slot are multiplied by its entry of ``scales``. With
    several slots the means have them as their first dimension. Of model-sized arrays the means are
    those of a ``block`` of entries.
    """
    sums = experiment.sums
    layout = experiment.layout
    means = {}
    for array in sums.arrays:
        rows = []
        for slot, scale in enumerate(scales.tolist()):
            own = totals[array.place(slot)]
            if array.of_model:
                own = own.reshape(*array.shape[:-1], layout.trained)[..., block]
            values = from_fixed(own, array.bits)
            if scale != 1.0:
                values *= scale
            if array.of_model and block.stop > layout.trained:
                missing = block.stop - max(block.start, layout.trained)
                padding = np.zeros((*array.shape[:-1], missing))
                values = np.concatenate([values, padding], axis=-1)
            rows.append(values if array.of_model else values.reshape(array.shape))
        means[array.name] = rows[0] if sums.slots == 1 else np.stack(rows)
    return means


def averages_of(totals: np.ndarray, slots: np.ndarray, share: float) -> np.ndarray:
    """Return the mean of the averaged segment in each slot (slots, averaged), NaN where nobody is.

    ``slots`` are the weights of the slots, ``share`` by what the sums are to be multiplied.
    """
    means = np.full((len(slots), totals.shape[-1]), np.nan)
    for slot in np.flatnonzero(slots > 0):
        means[slot] = from_parts(totals[slot]) * (share / slots[slot])
    return means


def own_averages(before: np.ndarray, totals: np.ndarray, share: float, weight: float) -> np.ndarray:
    """Return the averaged segment of the server's model after a round.

    It is (1 - weight) times ``before`` plus the weighted sum of the participants' values, whose
    weights add up to ``weight``: below 1 where late updates count less. No weight is negative, and
    so no running variance becomes negative.
    """
    after = max(0.0, 1.0 - weight) * before.astype(np.float64)
    for total in totals:
        after = after + from_parts(total) * share
    return after.astype(np.float32)


def combined(
    experiment: Experiment, before: np.ndarray, totals: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """Return what has come out of the aggregation rule, (slots, size) float32.

    Args:
        experiment: The job and its model.
        before: What came out of the round before, kept in slots without updates.
        totals: The sums of the round.
        weights: The sum of the weights in each slot (slots,).
    """
    after = before.copy()
    for slot in np.flatnonzero(weights > 0).tolist():
        parts = [from_fixed(totals[a.place(slot)], a.bits) for a in experiment.sums.arrays]
        after[slot] = np.concatenate(parts) / weights[slot]
    return after
