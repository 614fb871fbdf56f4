"""Client updates into a round's exact sum.

An update that cannot be summed is an error that names it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch

from mpifl.aggregation.device_sum import DeviceSum, Wrong, unsummable
from mpifl.aggregation.exact_sum import (
    AVERAGE_LIMIT,
    FRACTION_BITS,
    VALUE_LIMIT,
    RoundSum,
    value_limit,
)
from mpifl.aggregation.sum_layout import Summed
from mpifl.errors import Diverged, TrainingError
from mpifl.rounds.clients.client_update import ClientUpdate
from mpifl.rounds.experiment.experiment import Experiment


def check_summable(
    experiment: Experiment, arrays: Sequence[torch.Tensor], averages: torch.Tensor
) -> None:
    """Raise TrainingError for an update that cannot be summed."""
    for summed, values in zip(experiment.sums.arrays, arrays, strict=True):
        place = unsummable(values, value_limit(summed.bits))
        if place is not None:
            raise _not_summable(experiment, summed, float(values[place]), place)

    place = unsummable(averages, AVERAGE_LIMIT)
    if place is not None:
        raise _not_summable(experiment, None, float(averages[place]), place)


def summable(experiment: Experiment, values: np.ndarray, bits: int, what: str) -> np.ndarray:
    """Return values that the round's sum takes in units of 2^-``bits``.

    Others become the nearest that it takes, NaN becomes 0, where the job goes on when training
    diverges; else they raise Diverged, which says ``what`` they are.
    """
    limit = value_limit(bits)
    if (np.abs(values) < limit).all():
        return values
    if not experiment.survives_divergence:
        raise Diverged(f"{what} that are not finite, or not below {limit:g}")
    return np.clip(np.nan_to_num(values, nan=0.0), -0.99 * limit, 0.99 * limit)


class UpdateSum:
    """Adds client updates to ``round_sum``, on ``device``."""

    def __init__(self, experiment: Experiment, round_sum: RoundSum, device: torch.device) -> None:
        self._experiment = experiment
        self._sum = DeviceSum(round_sum, experiment.sums, device)

    def add(
        self, client: int, update: ClientUpdate, weight: float, noise: np.ndarray | None = None
    ) -> None:
        """Add ``weight`` times one client's update: its arrays, and its averaged buffers.

        Errors are those of ``add_arrays`` and ``add_averages``.

        Args:
            client: Whose update it is.
            update: What it uploads.
            weight: Its share of the mean.
            noise: Whole units (size,) int64 that are added to its first array besides.
        """
        self.add_arrays(client, update.slot, update.arrays, weight)
        if noise is not None:
            self._sum.add_units(0, update.slot, noise)
        self.add_averages(client, update.slot, update.averages, weight)

    def add_arrays(
        self, client: int, slot: int, arrays: Sequence[torch.Tensor], weight: float
    ) -> None:
        """Add ``weight`` times the arrays of one client's update.

        Args:
            client: Whose update it is.
            slot: Which of the round's sums it goes into.
            arrays: The entries that are summed, in the order of the SumLayout, each (size,)
                float32.
            weight: The client's share of the mean.

        Raises:
            TrainingError: For values that cannot be summed. On a GPU only ``close`` raises it.
        """
        for number, values in enumerate(arrays):
            self._raise(self._sum.add(number, slot, values, weight, (client, number)))

    def add_averages(self, client: int, slot: int, averages: torch.Tensor, weight: float) -> None:
        """Add ``weight`` times the values of the averaged buffers, (averaged,) float32.

        The other arguments and errors are those of ``add_arrays``.
        """
        if len(averages):
            self._raise(self._sum.add_averages(slot, averages, weight, (client, None)))

    def close(self) -> tuple[int, TrainingError] | None:
        """End the sum: nothing more is added.

        Returns the client of the first update that could not be summed, and the error, where a GPU
        has found one only now.
        """
        wrong = self._sum.close()
        if wrong is None:
            return None
        return wrong.label[0], self._error(wrong)

    def _raise(self, wrong: Wrong | None) -> None:
        if wrong is not None:
            raise self._error(wrong)

    def _error(self, wrong: Wrong) -> TrainingError:
        number = wrong.label[1]
        summed = None if number is None else self._experiment.sums.arrays[number]
        return _not_summable(self._experiment, summed, wrong.value, wrong.place)


def _cause(experiment: Experiment) -> str:
    """Return why an update may be so large."""
    job = experiment.job
    others = ["an attacker has made it so (attacks)"] * bool(job.attacks)
    others += ["its noise is too large (privacy)"] * job.privacy.local
    diverged = "training has diverged (a smaller training.lr may help)"
    return ", or ".join([diverged, *others])


def _not_summable(
    experiment: Experiment, summed: Summed | None, value: float, index: int
) -> Diverged:
    """Return the error for a value of a summed array, or (None) of an averaged buffer."""
    model = experiment.model
    finite = math.isfinite(value)

    if summed is None:
        limit = f", and {AVERAGE_LIMIT:.2g} is the limit" if finite else ""
        buffer = model.where(model.averages.start + index)
        return Diverged(
            f"buffer {buffer} is not usable: it is {value:g} after training{limit}: features have"
            " to be finite and not so large (scale them in the data), or training has diverged (a"
            " smaller training.lr may help)"
        )

    place = f"entry {index}"
    if summed.of_model:
        place = f"tensor {model.where(index % experiment.layout.trained)}"
    problem = f"{summed.name} is not usable: {place} is {value:g}"
    if not finite or summed.bits == FRACTION_BITS:
        limit = f", and {VALUE_LIMIT:,.0f} is the limit" if finite else ""
        return Diverged(f"{problem}{limit}: {_cause(experiment)}")
    return Diverged(
        f"{problem}, and {value_limit(summed.bits):g} is the limit of the {summed.bits} bits that"
        f" {type(experiment.job.algorithm).__name__}.uploaded gives it: fewer bits allow larger"
        " values"
    )
