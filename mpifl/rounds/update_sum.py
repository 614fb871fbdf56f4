"""Client updates into a round's exact sum.

An update that cannot be summed is an error that names it.
"""

from __future__ import annotations

import math

import torch

from mpifl.aggregation.device_sum import DeviceSum, Wrong, unsummable
from mpifl.aggregation.exact_sum import (
    AVERAGE_LIMIT,
    FRACTION_BITS,
    VALUE_LIMIT,
    RoundSum,
    value_limit,
)
from mpifl.errors import TrainingError
from mpifl.rounds.experiment import Experiment


class UpdateSum:
    """Adds client updates to ``round_sum``, on ``device``."""

    def __init__(self, experiment: Experiment, round_sum: RoundSum, device: torch.device) -> None:
        algorithm = experiment.job.algorithm
        bits = [algorithm.bits(name) for name in algorithm.summed]
        self._experiment = experiment
        self._sum = DeviceSum(round_sum, bits, device)

    def check(self, vectors: dict[str, torch.Tensor], averages: torch.Tensor) -> None:
        """Raise TrainingError for values that cannot be summed; nothing is added."""
        algorithm = self._experiment.job.algorithm
        for name, values in vectors.items():
            place = unsummable(values, value_limit(algorithm.bits(name)))
            if place is not None:
                raise _not_summable(self._experiment, name, float(values[place]), place)

        place = unsummable(averages, AVERAGE_LIMIT)
        if place is not None:
            raise _not_summable(self._experiment, None, float(averages[place]), place)

    def add(
        self, client: int, vectors: dict[str, torch.Tensor], averages: torch.Tensor, weight: float
    ) -> None:
        """Add ``weight`` times one client's update.

        Args:
            client: Whose update it is.
            vectors: By name, in the order of ``Algorithm.summed``, each (trained,) float32.
            averages: The values of the averaged buffers, (averaged,) float32.
            weight: The client's share of the mean.

        Raises:
            TrainingError: For values that cannot be summed. On a GPU only ``close`` raises it.
        """
        for number, (name, values) in enumerate(vectors.items()):
            self._raise(self._sum.add(number, values, weight, (client, name)))
        if len(averages):
            self._raise(self._sum.add_averages(averages, weight, (client, None)))

    def close(self) -> tuple[int, TrainingError] | None:
        """End the sum: nothing more is added.

        Returns the client of the first update that could not be summed, and the error, where a GPU
        has found one only now.
        """
        wrong = self._sum.close()
        if wrong is None:
            return None
        client, name = wrong.label
        return client, _not_summable(self._experiment, name, wrong.value, wrong.place)

    def _raise(self, wrong: Wrong | None) -> None:
        if wrong is not None:
            _, name = wrong.label
            raise _not_summable(self._experiment, name, wrong.value, wrong.place)


def _not_summable(
    experiment: Experiment, name: str | None, value: float, index: int
) -> TrainingError:
    """Return the error for a value of a summed vector, or (no name) of an averaged buffer."""
    model = experiment.model
    algorithm = experiment.job.algorithm
    finite = math.isfinite(value)

    if name is None:
        limit = f", and {AVERAGE_LIMIT:.2g} is the limit" if finite else ""
        buffer = model.where(model.averages.start + index)
        return TrainingError(
            f"buffer {buffer} is not usable: it is {value:g} after training{limit}: features have"
            " to be finite and not so large (scale them in the data), or training has diverged (a"
            " smaller training.lr may help)"
        )

    bits = algorithm.bits(name)
    problem = f"{name} is not usable: tensor {model.where(index)} is {value:g}"
    if not finite or bits == FRACTION_BITS:
        limit = f", and {VALUE_LIMIT:,.0f} is the limit" if finite else ""
        return TrainingError(
            f"{problem}{limit}: training has diverged (a smaller training.lr may help)"
        )
    return TrainingError(
        f"{problem}, and {value_limit(bits):g} is the limit of the {bits} bits that"
        f" {type(algorithm).__name__}.units gives it: fewer bits allow larger values"
    )
