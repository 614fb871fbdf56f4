"""The test of what attackers want: certain samples classified wrongly."""

from __future__ import annotations

import numpy as np
import torch

from mpifl.rounds.clients.worker import Worker
from mpifl.training.evaluate import score_samples
from mpifl.training.samples import Samples


def attack_counts(worker: Worker, model: torch.Tensor, samples: Samples, first: int) -> list[int]:
    """Return how many test samples attacks are on, and for how many a model serves them.

    Over all attacks of the job that want something; an empty list without such attacks.

    Args:
        worker: What this rank tests with.
        model: The weights (size,).
        samples: Some test samples, on the device; they stay as they are.
        first: The place of the first of them in the tested part.
    """
    experiment = worker.experiment
    if not experiment.aims:
        return []
    classes = experiment.population.data.outputs
    shown = 0
    succeeded = 0
    for attack in experiment.attacks:
        if not attack.aims:
            continue
        own = attack.aim(samples[0].clone(), samples[1].clone(), classes, first)
        if len(own[1]):
            scores = score_samples(worker.model, model, experiment.objective, own)
            shown += int(scores.scored.sum())
            succeeded += int(scores.correct.sum())
    return [shown, succeeded]


def attack_success(counts: np.ndarray) -> float:
    """Return the share of ``attack_counts`` (2,) that succeeded; NaN of none."""
    return float(counts[1] / counts[0]) if counts[0] else float("nan")
