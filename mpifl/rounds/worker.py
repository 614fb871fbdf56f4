"""What a rank trains with: the model on its device, the engine, and the samples."""

from __future__ import annotations

import copy
import os
from dataclasses import dataclass, field
from functools import partial

import torch

from mpifl.models.flat import FlatModel, flatten
from mpifl.mpi.placement import own_share
from mpifl.rounds.client_state import ClientStore
from mpifl.rounds.contract import Contract
from mpifl.rounds.experiment import Experiment
from mpifl.rounds.protocol import Version, Versions
from mpifl.seeds import KeyedGenerator, Purpose
from mpifl.training import ENGINES
from mpifl.training.device import CPU, start_device
from mpifl.training.participant import Engine
from mpifl.training.samples import Pool, pool_of


@dataclass(frozen=True)
class Worker:
    """What a rank trains with.

    ``model`` is a scratch model, overwritten for each client, in which ``engine`` trains.
    ``samples`` are trained on, ``tested`` are tested on. ``store`` keeps the state of clients.
    ``order`` makes the generator of a participant's sample order. ``loaded`` are the model versions
    that tasks have asked for, on the device. ``contract`` checks the job's plug-ins.
    """

    experiment: Experiment
    store: ClientStore
    device: torch.device
    model: FlatModel
    engine: Engine
    samples: Pool
    tested: Pool
    order: KeyedGenerator
    contract: Contract
    loaded: dict[int, tuple[Version, dict[str, torch.Tensor]]] = field(default_factory=dict)

    def version(self, number: int, versions: Versions) -> dict[str, torch.Tensor]:
        """Return the vectors of one of ``versions``, on the device."""
        loaded = self.loaded.get(number)
        if loaded is None or loaded[0] is not versions[number]:
            for old in self.loaded.keys() - versions.keys():
                del self.loaded[old]
            vectors = {
                name: torch.from_numpy(vector).to(self.device)
                for name, vector in versions[number].items()
            }
            loaded = (versions[number], vectors)
            self.loaded[number] = loaded
        return loaded[1]


def _copy(experiment: Experiment, device: torch.device) -> FlatModel:
    """Return a copy of the model with its initial weights, on a device."""
    experiment.model.load(torch.from_numpy(experiment.initial))
    return flatten(copy.deepcopy(experiment.model.module).to(device))


def make_worker(experiment: Experiment, store: ClientStore) -> Worker:
    """Return the worker of this rank. Raises InputError when it does not have the job's device."""
    job = experiment.job
    data = experiment.population.data
    device = start_device(job.training.device, partial(own_share, os.environ))
    model = experiment.model if device == CPU else _copy(experiment, device)

    return Worker(
        experiment=experiment,
        store=store,
        device=device,
        model=model,
        engine=ENGINES[job.training.engine](model, experiment.objective, job.training),
        samples=pool_of(data, data.train, device),
        tested=pool_of(data, experiment.tested_part, device),
        order=KeyedGenerator(job.seed, Purpose.BATCHES),
        contract=Contract(job.algorithm, job.model, model.module),
    )
