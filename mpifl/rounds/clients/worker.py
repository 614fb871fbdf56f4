"""What a rank trains with: the model on its device, the engine, and the samples."""

from __future__ import annotations

import copy
import math
import os
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import TYPE_CHECKING

import torch

from mpifl.aggregation.fltrust import FlTrust
from mpifl.clock.cost import Cost
from mpifl.datasets.dataset import picked
from mpifl.models.flat import FlatModel, flatten
from mpifl.mpi.placement import own_share
from mpifl.rounds.clients.assignment import Version, Versions
from mpifl.rounds.clients.client_state import ClientStore
from mpifl.rounds.clients.client_update import ClientUpdate
from mpifl.rounds.clients.contract import Contract, called_parts, is_plug_in
from mpifl.rounds.clients.exchanging import Uplink, make_uplink
from mpifl.rounds.clients.others import Others
from mpifl.rounds.experiment.contribution_checks import judged_rows
from mpifl.rounds.experiment.experiment import Experiment
from mpifl.rounds.experiment.root import root_rows
from mpifl.rounds.experiment.ways import ARRIVED, STEERED
from mpifl.seeds import KeyedGenerator, Purpose
from mpifl.training import make_engine
from mpifl.training.device import CPU, start_device
from mpifl.training.participant import Engine
from mpifl.training.recipe import Recipe, recipe_of_round
from mpifl.training.samples import Pool, pool_of

if TYPE_CHECKING:
    from mpifl.secure_aggregation.masks import Masks  # it imports cryptography, which takes time


MOST_RECIPES = 64


@dataclass(frozen=True)
class Worker:
    """What a rank trains with.

    Attributes:
        experiment: The job, its population and its model.
        store: The state of clients.
        device: Where models are trained.
        model: A scratch model, overwritten for each client.
        engine: Trains groups of clients in ``model``.
        loop: Trains single clients in ``model``.
        samples: What is trained on.
        tested: What is tested on.
        root: The server's own samples, of a rule that has some; else None.
        judged: What coalitions are tested on, where contributions are evaluated.
        order: Makes the generator of a participant's sample order.
        transforms: Makes the generator of the changes of its minibatches.
        contract: Checks the job's plug-ins.
        cost: What the algorithm's client program computes at most.
        plug_in: Whether the algorithm does not come with mpifl.
        nothing: An empty vector on the device.
        received: Names of the arrays that participants receive.
        initial: The model before the first round, on the device; None where nobody asks for it.
        uplink: What happens to uploads on their way; None for nothing.
        memory: The names of what clients keep for it.
        others: What the participants of the last round kept then, for the programs of others.
        loaded: The model versions that tasks have asked for, on the device.
        recipes: How local steps are made, by round; the last ones only.
        masks: The masks of a round's updates, by round; the last one only.
        held: The updates of which it is not known yet whether and when they count, by client.
    """

    experiment: Experiment
    store: ClientStore
    device: torch.device
    model: FlatModel
    engine: Engine
    loop: Engine
    samples: Pool
    tested: Pool
    root: Pool | None
    judged: Pool
    order: KeyedGenerator
    transforms: KeyedGenerator
    contract: Contract
    cost: Cost
    plug_in: bool
    nothing: torch.Tensor
    received: tuple[str, ...]
    initial: torch.Tensor | None
    uplink: Uplink | None
    memory: frozenset[str]
    others: Others
    loaded: dict[int, tuple[Version, dict[str, torch.Tensor]]] = field(default_factory=dict)
    recipes: dict[int, Recipe] = field(default_factory=dict)
    masks: dict[int, Masks] = field(default_factory=dict)
    held: dict[int, ClientUpdate] = field(default_factory=dict)

    def recipe(self, round_number: int) -> Recipe:
        """Return how the local steps of a round are made."""
        if round_number not in self.recipes:
            if len(self.recipes) == MOST_RECIPES:
                self.recipes.clear()
            job = self.experiment.job
            squares = job.selection.losses == "squared"
            self.recipes[round_number] = recipe_of_round(job, round_number, squares)
        return self.recipes[round_number]

    def rows(self, client: int) -> slice:
        """Return which samples a client trains on."""
        population = self.experiment.population
        return population.data.train.rows(population.data_client(client))

    @cached_property
    def validation(self) -> Pool:
        """The validation part, which some algorithms look at."""
        data = self.experiment.population.data
        return pool_of(data, data.validation, self.device)

    def validation_rows(self, client: int) -> slice | None:
        """Return which samples of the validation part a client has; None where it has none."""
        experiment = self.experiment
        place = int(experiment.validation_rows[experiment.population.data_client(client)])
        return experiment.population.data.validation.rows(place) if place >= 0 else None

    def count_validation(self, client: int) -> int:
        """Return how many samples of the validation part a client has."""
        rows = self.validation_rows(client)
        return 0 if rows is None else rows.stop - rows.start

    def version(self, number: int, versions: Versions) -> dict[str, torch.Tensor]:
        """Return the arrays of one of ``versions``, on the device."""
        loaded = self.loaded.get(number)
        if loaded is None or loaded[0] is not versions[number]:
            for old in self.loaded.keys() - versions.keys():
                del self.loaded[old]
            arrays = {
                name: torch.from_numpy(array).to(self.device)
                for name, array in versions[number].items()
            }
            loaded = (versions[number], arrays)
            self.loaded[number] = loaded
        return loaded[1]

    def received_of(self, number: int, versions: Versions) -> dict[str, torch.Tensor]:
        """Return the arrays of a version as participants receive them, on the device."""
        arrays = self.version(number, versions)
        if self.experiment.down is None:
            return arrays
        arrived = {name: arrays[ARRIVED + name] for name in self.experiment.down.shapes}
        return {**arrays, **arrived}

    def number(self, version: int, versions: Versions) -> float:
        """Return what the server says with a version to the stage that it steers; NaN without."""
        return float(versions[version][STEERED][0]) if STEERED in versions[version] else math.nan


def _copy(experiment: Experiment, device: torch.device) -> FlatModel:
    """Return a copy of the model on a device."""
    module = copy.deepcopy(experiment.model.module).to(device)
    return flatten(module, has_base=bool(experiment.model.base))


def _initial(experiment: Experiment, device: torch.device) -> torch.Tensor | None:
    if not experiment.needs_initial:
        return None
    return torch.from_numpy(experiment.initial).to(device)


def _root(experiment: Experiment, device: torch.device) -> Pool | None:
    """Return the server's own samples; None for a rule without."""
    rule = experiment.job.aggregation
    if not isinstance(rule, FlTrust):
        return None
    data = experiment.population.data
    part = data.validation if rule.root_clients is None else data.train
    rows = root_rows(rule, experiment.population, experiment.job.seed)
    return pool_of(data, picked(part, rows), device)


def _judged(experiment: Experiment, tested: Pool, device: torch.device) -> Pool:
    """Return what coalitions are tested on: ``tested``, or samples of their own."""
    rule = experiment.job.contribution
    own = rule.samples is not None or rule.part != experiment.job.evaluation.part
    if not (rule.active and own):
        return tested
    data = experiment.population.data
    return pool_of(data, picked(data.parts[rule.part], judged_rows(experiment)), device)


def make_worker(experiment: Experiment, store: ClientStore) -> Worker:
    """Return the worker of this rank. Raises InputError when it does not have the job's device."""
    job = experiment.job
    data = experiment.population.data
    device = start_device(job.training.device, partial(own_share, os.environ))
    model = experiment.model if device == CPU else _copy(experiment, device)
    algorithm = job.algorithm
    tested = pool_of(data, experiment.tested_part, device)

    return Worker(
        experiment=experiment,
        store=store,
        device=device,
        model=model,
        engine=make_engine(job.training.engine, model, experiment.objective, experiment.stack),
        loop=make_engine("loop", model, experiment.objective, 1),
        samples=pool_of(data, data.train, device),
        tested=tested,
        root=_root(experiment, device),
        judged=_judged(experiment, tested, device),
        order=KeyedGenerator(job.seed, Purpose.BATCHES),
        transforms=KeyedGenerator(job.seed, Purpose.TRANSFORM),
        contract=Contract(called_parts(experiment), model.module),
        cost=algorithm.cost(experiment.layout),
        plug_in=is_plug_in(algorithm),
        nothing=torch.empty(0, device=device),
        received=tuple(algorithm.received_arrays(experiment.layout)),
        initial=_initial(experiment, device),
        uplink=make_uplink(experiment),
        memory=frozenset(() if experiment.up is None else experiment.up.kept),
        others=Others(store, algorithm.needs_others, device),
    )
