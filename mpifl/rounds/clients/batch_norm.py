"""``training.batch_norm``: what becomes of the running statistics of batch norm.

average: the server's are the weighted mean of the participants' (``server_step.py``).
local: each client goes on with those that it had last; the server's are that mean too, for the
test of its model.
recompute: the server makes its own from the validation part of the data, after each round.
"""

from __future__ import annotations

import numpy as np
import torch

from mpifl.rounds.experiment.experiment import Experiment
from mpifl.rounds.plan.round_result import STATISTICS
from mpifl.seeds import Purpose, number
from mpifl.training.device import CPU, seed_torch
from mpifl.training.samples import pool_of

STATISTICS_KEY = 1 << 32
"""Keeps the seed of the server's passes apart from those of rounds."""


def with_own_statistics(
    experiment: Experiment,
    arrays: dict[str, torch.Tensor],
    kept: dict[str, torch.Tensor],
) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """Return what a client receives and has kept, with its own statistics in the former.

    ``kept`` has them where the job keeps them local and the client took part before.
    """
    if STATISTICS not in kept:
        return arrays, kept
    own = kept[STATISTICS]
    model = arrays["model"].clone()
    model[experiment.layout.averages] = own
    rest = {name: array for name, array in kept.items() if name != STATISTICS}
    return {**arrays, "model": model}, rest


def recomputed(experiment: Experiment, weights: np.ndarray) -> np.ndarray:
    """Return a model (size,) float32 with the statistics that it has on the validation part.

    They are the means over its batches of ``evaluation.batch_size`` samples.
    """
    model = experiment.model
    data = experiment.population.data
    samples = pool_of(data, data.validation)
    size = experiment.job.evaluation.batch_size

    model.load(torch.from_numpy(weights))
    model.module.train()
    layers = model.batch_norms
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # a plain mean over the batches

    seed_torch(CPU, number(experiment.job.seed, Purpose.SERVER, STATISTICS_KEY))
    with torch.no_grad():
        for begin in range(0, data.validation.samples, size):
            stop = min(begin + size, data.validation.samples)
            if stop - begin > 1 or begin == 0:  # batch norm takes no single sample
                model.module(samples.read(slice(begin, stop))[0])
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum
    return model.moving.numpy().copy()
