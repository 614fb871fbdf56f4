"""What a run has recorded of an update, made ready for an attack; and the samples behind it."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from mpifl.errors import InputError, counted
from mpifl.inversion.inversion import Seen
from mpifl.objectives.classification import Classification
from mpifl.record.load import load_run
from mpifl.rounds.clients.recording import FOLDER, Facts, Recorded, recorded_in
from mpifl.rounds.experiment.build_experiment import check_job
from mpifl.rounds.experiment.experiment import Experiment
from mpifl.seeds import KeyedGenerator, Purpose, number
from mpifl.training.participant import EMPTY, minibatches
from mpifl.training.samples import pool_of

BLOCK_SAMPLES = 4096


@dataclass(frozen=True)
class Observed:
    """An update of a run.

    Attributes:
        facts: Which it is.
        seed: The seed of the run's job.
        seen: What the server knows of it.
        x: The samples that it was made from (samples, *sample) float32: what an attack looks for.
        y: Their classes (samples,) int64.
    """

    facts: Facts
    seed: int
    seen: Seen
    x: np.ndarray
    y: np.ndarray

    def start(self, restart: int) -> torch.Generator:
        """Return the generator of what an attack begins with."""
        key = number(self.seed, Purpose.INVERSION, self.facts.round, self.facts.client, restart)
        return torch.Generator().manual_seed(key)


def observe(run: Path, client: int | None, round_number: int | None) -> Observed:
    """Return a recorded update of a run; without ``client`` and ``round_number`` the only one.

    Raises InputError when there is no such update, when the run's data have changed since, and for
    a job whose updates cannot be inverted here.
    """
    ended = load_run(run)
    recorded = _chosen(run, client, round_number)
    experiment = check_job(str(run / "job.yaml"), [])[0]
    if not isinstance(experiment, Experiment):
        raise InputError(f"{run}: the run has trained nothing")
    data = experiment.population.data
    if data.content_sha256 != ended.environment["content_sha256"]["data"]:
        raise InputError(f"{run}: data.name has changed since the run began")
    if not isinstance(experiment.objective, Classification) or data.vocabulary:
        raise InputError(
            f"{run}: updates of this job cannot be inverted: {data.name} is for {data.task};"
            " allowed: classification of features"
        )
    rows = _trained_rows(experiment, recorded.facts)
    x, y = pool_of(data, data.train).pick(torch.from_numpy(rows))
    seen = _seen(experiment, recorded, len(rows))
    return Observed(recorded.facts, experiment.job.seed, seen, x.numpy(), y.numpy())


def _chosen(run: Path, client: int | None, round_number: int | None) -> Recorded:
    """Return the recorded update that is meant."""
    there = recorded_in(run)
    chosen = [
        one
        for one in there
        if client in (None, one.facts.client) and round_number in (None, one.facts.round)
    ]
    if len(chosen) == 1:
        return chosen[0]
    if not there:
        raise InputError(
            f"{run}: no updates in {FOLDER}/; a run records those that record.updates names, of"
            " clients that take part in those rounds and complete them"
        )
    named = ", ".join(f"--round {one.facts.round} --client {one.facts.client}" for one in there[:8])
    more = " ..." if len(there) > 8 else ""
    raise InputError(
        f"{run}: {counted(len(chosen), 'recorded update')} of {len(there):,} are meant; name one:"
        f" {named}{more}"
    )


def _trained_rows(experiment: Experiment, facts: Facts) -> np.ndarray:
    """Return which training samples an update was made from, in the order of its first epoch."""
    population = experiment.population
    rows = population.data.train.rows(population.data_client(facts.client))
    count = rows.stop - rows.start
    if facts.steps == 0:
        return np.arange(rows.start, rows.stop)
    training = experiment.job.training
    order = KeyedGenerator(experiment.job.seed, Purpose.BATCHES)(facts.round, facts.client)
    picks, _ = minibatches(count, facts.steps, training.batch_size, order, training.drops_last)
    flat = picks[picks != EMPTY]
    _, first = np.unique(flat, return_index=True)
    return rows.start + flat[np.sort(first)]


def _seen(experiment: Experiment, recorded: Recorded, samples: int) -> Seen:
    """Return what the server knows of an update that was made from ``samples`` samples."""
    facts = recorded.facts
    model = experiment.model
    model.load(torch.from_numpy(recorded.received))
    module = copy.deepcopy(model.module).double()
    for layer in module.modules():
        layer.train(isinstance(layer, _BatchNorm))  # no dropout: nobody knows what was drawn
    module.requires_grad_(False)

    names = model.names[: len(model.parameters)]
    parameters = dict(module.named_parameters())
    steps = max(1, facts.steps)
    pieces = model.split(torch.from_numpy(recorded.update).double() / -(facts.lr * steps))
    low, high = _range(experiment)
    return Seen(
        module=module,
        weights={name: nn.Parameter(parameters[name].clone()) for name in names},
        gradient=dict(zip(names, pieces, strict=True)),
        samples=samples,
        sample=experiment.population.data.train.x.shape[1:],
        classes=experiment.population.data.outputs,
        low=low,
        high=high,
        steps=steps,
        batch_size=experiment.job.training.batch_size if facts.steps else samples,
        lr=facts.lr,
        label_smoothing=experiment.job.training.label_smoothing,
        head=tuple(name for name in experiment.layout.head if name in names),
    )


def _range(experiment: Experiment) -> tuple[float, float]:
    """Return the smallest and the largest feature of the training samples."""
    data = experiment.population.data
    pool = pool_of(data, data.train)
    blocks = [
        pool.read(slice(begin, begin + BLOCK_SAMPLES), copy=False)[0]
        for begin in range(0, data.train.samples, BLOCK_SAMPLES)
    ]
    return min(float(x.min()) for x in blocks), max(float(x.max()) for x in blocks)
