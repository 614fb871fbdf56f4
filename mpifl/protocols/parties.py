"""What all parties of vertical learning know: whose features are whose, and whose step is when."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce

import numpy as np
import torch
from torch import nn

from mpifl.datasets.dataset import DataShape
from mpifl.datasets.partitioners.vertical import Vertical
from mpifl.errors import InputError
from mpifl.job import Job
from mpifl.models.party_mlp import Towers
from mpifl.models.shapes_only import shapes_only
from mpifl.objectives.make import make_objective
from mpifl.objectives.objective import Objective
from mpifl.population.population import Population
from mpifl.protocols.cut import flops
from mpifl.protocols.half_steps import samples_of_step, steps_of_round
from mpifl.protocols.pieces import Columns, GuestTop, Half, Piece, Pieces, Tower
from mpifl.seeds import Purpose, generator
from mpifl.training.recipe import Recipe, recipe_of_round

MOST_SAMPLES = 1 << 24
"""The numbers of samples below are exact in float32."""

GUEST = 0
"""The client that has the targets; the others are hosts."""


@dataclass(frozen=True)
class Parties:
    """The parties of a job: a guest, which has the targets, and hosts.

    A message's round counts local steps, ``steps`` to a round of the job. Round 0 is the alignment.

    Attributes:
        job: The job.
        objective: The loss.
        bottoms: What each party has below the sum.
        top: What the guest has above it.
        numbers: Numbers of a bottom's output for a sample.
        samples: The rows of each party in the data set.
        entities: The samples that each party has, in its own order, int64.
        common: How many samples all have.
        steps: Local steps in a round of the job.
        forward: Each bottom's forward pass, as a share of a training pass of the whole model.
        backward: Its backward pass likewise.
        above: Both passes of the top likewise.
    """

    job: Job
    objective: Objective
    bottoms: tuple[Piece, ...]
    top: Piece
    numbers: int
    samples: int
    entities: tuple[np.ndarray, ...]
    common: int
    steps: int
    forward: tuple[float, ...]
    backward: tuple[float, ...]
    above: float

    @property
    def hosts(self) -> range:
        """The parties without targets."""
        return range(GUEST + 1, len(self.bottoms))

    def piece(self, party: int) -> Piece:
        """Return what a party has of the model."""
        bottom = self.bottoms[party]
        return Pieces((bottom, self.top)) if party == GUEST else bottom

    def round_of(self, round_number: int) -> int:
        """Return the round of messages of the first local step of a round of the job."""
        return (round_number - 1) * self.steps + 1

    def place(self, message_round: int) -> tuple[int, int]:
        """Return the round of the job and the local step (from 0 on) of a round of messages."""
        before, step = divmod(max(1, message_round) - 1, self.steps)
        return before + 1, step

    def recipe(self, round_number: int) -> Recipe:
        """Return how the local steps of a round of the job are made."""
        return recipe_of_round(self.job, round_number)

    def passes(self, party: int, message_round: int, share: float) -> float:
        """Return passes over a party's samples that cost a share of a minibatch's pass."""
        training = self.job.training
        step = self.place(message_round)[1]
        batch = samples_of_step(self.common, training.batch_size, training.drops_last, step)
        return share * batch / self.samples


def parties_of(job: Job, population: Population, known: float) -> Parties:
    """Return the parties of a job, each of which has a share ``known`` of the samples.

    Raises InputError for data without parties, or a model whose features are not theirs.
    """
    partition = job.data.partition
    if not isinstance(partition, Vertical) or population.clients != partition.clients:
        raise InputError(
            f"data.partition.name: {partition.name!r} is not allowed with protocol.name"
            f" {job.protocol.name}, whose clients are parties that have features of the same"
            " samples; allowed: vertical, with as many population.clients"
        )
    if partition.clients < 2:
        raise InputError(
            "data.partition.clients: 1 is not allowed with protocol.name"
            f" {job.protocol.name}; allowed: 2 or more, the first of which has the targets"
        )
    data = population.data
    objective = make_objective(job, data, cuts=True)
    shape = objective.model_shape(data.shape)
    features = partition.features_of(
        int(np.prod(shape.sample)), generator(partition.seed, Purpose.PARTITION)
    )
    with shapes_only():
        module = job.model.build_checked(shape)
    bottoms, top = _pieces(job, module, features)
    forward, backward, above, numbers = _counted(module.eval(), shape, bottoms, top)

    rows = data.train.rows(0)
    samples = rows.stop - rows.start
    if samples > MOST_SAMPLES:
        raise InputError(
            f"data.name: {data.name} has {samples:,} training samples, which is not allowed with"
            f" protocol.name {job.protocol.name}: their numbers travel as float32; allowed:"
            f" {MOST_SAMPLES:,}"
        )
    entities = tuple(
        _entities(job.seed, party, samples, known) for party in range(partition.clients)
    )
    common = len(reduce(np.intersect1d, entities))
    if not common:
        raise InputError(
            f"protocol.known: {known:g} is not allowed: no sample is known to all of"
            f" {partition.clients} parties; allowed: larger shares, up to 1"
        )
    return Parties(
        job=job,
        objective=objective,
        bottoms=bottoms,
        top=top,
        numbers=numbers,
        samples=samples,
        entities=entities,
        common=common,
        steps=int(steps_of_round(job.training, np.array([common]))[0]),
        forward=forward,
        backward=backward,
        above=above,
    )


def _entities(seed: int, party: int, samples: int, known: float) -> np.ndarray:
    """Return which samples a party has, in its own order; the guest's is that of the data."""
    random = generator(seed, Purpose.ENTITIES, party)
    own = random.permutation(samples)[: max(1, round(known * samples))]
    return np.sort(own) if party == GUEST else own


def _pieces(
    job: Job, module: nn.Module, features: list[np.ndarray]
) -> tuple[tuple[Piece, ...], Piece]:
    """Return what each party has below the sum, and what the guest has above it."""
    names = [name for name, _ in module.named_children()]
    below = 1 if names and isinstance(module.get_submodule(names[0]), nn.Flatten) else 0
    first = module.get_submodule(names[below]) if len(names) > below else None
    sequential = isinstance(module, nn.Sequential)
    if not sequential or not isinstance(first, nn.Linear | Towers):
        raise InputError(
            f"model.name: {job.model.name!r} is not allowed with protocol.name"
            f" {job.protocol.name}; allowed: party_mlp, or a torch.nn.Sequential that begins with"
            " Flatten and Linear, such as logreg and mlp"
        )
    layer = names[below]
    top = GuestTop(layer, Half(tuple(names[below + 1 :])))
    if isinstance(first, nn.Linear):
        return tuple(Columns(layer, own) for own in features), top

    if first.blocks != [own.tolist() for own in features]:
        raise InputError(
            "model.parties: party_mlp does not deal the features as data.partition does; allowed:"
            " the same numbers of features, and data.partition.shuffle: false"
        )
    return tuple(Tower(layer, party) for party in range(len(features))), top


def _counted(
    module: nn.Module, data: DataShape, bottoms: tuple[Piece, ...], top: Piece
) -> tuple[tuple[float, ...], tuple[float, ...], float, int]:
    """Return shares of the FLOPs of one sample (see Parties), and the numbers of an output."""
    x = torch.zeros(1, *data.sample, device="meta")
    forward = []
    backward = []
    for bottom in bottoms:
        made, output = flops(lambda bottom=bottom: bottom.run(module, x))  # type: ignore[misc]
        forward.append(made)
        backward.append(flops(lambda output=output: torch.autograd.backward(output.sum()))[0])  # type: ignore[misc]
    total = output.detach().requires_grad_()
    above, _ = flops(lambda: torch.autograd.backward(top.run(module, total).sum()))
    whole = max(sum(forward) + sum(backward) + above, 1.0)
    shares = [tuple(made / whole for made in each) for each in (forward, backward)]
    return shares[0], shares[1], above / whole, total.numel()
