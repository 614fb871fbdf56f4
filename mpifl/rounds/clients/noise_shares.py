"""The noise that clients add to a sum that is aggregated securely (``privacy`` that is shared)."""

from __future__ import annotations

import numpy as np

from mpifl.privacy.central import Central
from mpifl.rounds.experiment.experiment import Experiment
from mpifl.seeds import Purpose, generator


def noise_share(experiment: Experiment, task: np.void) -> np.ndarray | None:
    """Return the noise that a client adds to its update's term of the sum, (size,) int64.

    None where it adds none. ``task`` (structured TASK) is one of a round whose weights are known.
    """
    job = experiment.job
    mechanism = job.privacy
    if not (isinstance(mechanism, Central) and mechanism.shared and mechanism.multiplier):
        return None
    summed = experiment.sums.arrays[0]
    keys = (int(task["round"]), int(task["client"]))
    random = generator(job.seed, Purpose.UPLOAD_NOISE, *keys)
    return mechanism.noise_share(job, float(task["weight"]), summed.size, summed.bits, random)
