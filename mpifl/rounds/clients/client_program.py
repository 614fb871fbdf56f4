"""The client program of one participant, and what it has asked for so far."""

from __future__ import annotations

import math
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch

from mpifl.algorithms.context import ClientContext
from mpifl.algorithms.requests import (
    Call,
    Differentiated,
    Evaluate,
    Evaluated,
    Gradient,
    Request,
    Train,
    Trained,
)
from mpifl.attacks.attack import Attack
from mpifl.clock.cost import NOTHING, PLANNED, Cost
from mpifl.errors import TrainingError
from mpifl.rounds.clients.assignment import Versions
from mpifl.rounds.clients.attacking import attacks_of, count_labels
from mpifl.rounds.clients.batch_norm import with_own_statistics
from mpifl.rounds.clients.client_update import NO_LOSSES, Losses
from mpifl.rounds.clients.public import public_inputs
from mpifl.rounds.clients.worker import Worker
from mpifl.rounds.experiment import kept_optimizer
from mpifl.rounds.experiment.experiment import Experiment
from mpifl.rounds.plan.round_result import HISTORY
from mpifl.seeds import Purpose, generator, number
from mpifl.training.device import CPU, seed_torch
from mpifl.training.loop import loss_of
from mpifl.training.optimizer_memory import OptimizerMemory

AFTER_TRAINING = 1
"""Added to the key of a client's torch seed for what its program draws itself."""

TOLERANCE = 1e-9


@dataclass
class ClientProgram:
    """A client program that is under way.

    Attributes:
        index: The place of its task in the group.
        task: The task (structured TASK).
        context: What it sees.
        program: The generator.
        answer: The result of its last request.
        part: The first of the parts of its generators (``KeyedGenerator``) that it draws from.
        declared: The most that it may ask for; None where nothing is charged.
        requests: How many of its requests were served.
        used: What it has asked for so far.
        losses: Its training losses, those of the first training or pass; NaN where there is none.
        first: What its first training left; None before.
        stored: What the client has stored, by name; empty the first time.
        number: What the server says to the stage there that it steers.
        attacks: What the client does to its samples before it trains on them.
        memory: What its optimizer goes on from the next time, once its first training is over.
    """

    index: int
    task: Any
    context: ClientContext
    program: Generator[Request, Any, Any]
    declared: Cost | None
    part: int = 0
    answer: Any = None
    requests: int = 0
    used: Cost = NOTHING
    losses: Losses = NO_LOSSES
    first: FirstTraining | None = None
    stored: Mapping[str, np.ndarray] = field(default_factory=dict)
    number: float = math.nan
    attacks: tuple[Attack, ...] = ()
    memory: OptimizerMemory | None = None

    @property
    def sample_keys(self) -> tuple[int, int, int]:
        """The keys of the generator of sample orders for the next request."""
        return self.context.round, self.context.client, self.part + self.requests

    @property
    def seed_keys(self) -> tuple[int, ...]:
        """The keys of torch's seed for the next request."""
        part = self.part + self.requests
        own = (1 + part,) if part else ()
        return self.context.round, self.context.client, *own


class FirstTraining(NamedTuple):
    """The local steps that a program's first training made, and the averaged segment after it."""

    steps: int
    averages: torch.Tensor


@dataclass(frozen=True)
class Ended:
    """The end of a program: what it returned."""

    value: Any


def start_program(
    worker: Worker, tasks: np.ndarray, index: int, versions: Versions
) -> ClientProgram:
    """Return the program of a task, before its first request.

    Raises TrainingError where the algorithm's ``client`` is not a generator.
    """
    task = tasks[index]
    stored = stored_by(worker, task)
    began, base, steps = (int(task[name]) for name in ("began", "base", "steps"))
    attacks = tuple(attack for _, attack in attacks_of(worker.experiment, task) if attack.poisons)
    context = context_of(worker, task, began, base, steps, versions, stored, attacks)
    algorithm = worker.experiment.job.algorithm
    program = algorithm.client(context)
    if not isinstance(program, Generator):
        raise TrainingError(
            f"algorithm.name: {algorithm.name!r}: client has no yield; it asks for training with"
            ' yield: trained = yield Train(c.received["model"])'
        )
    number = worker.number(int(task["base"]), versions)
    return ClientProgram(
        index,
        task,
        context,
        program,
        worker.cost,
        stored=stored,
        number=number,
        attacks=attacks,
    )


def stored_by(worker: Worker, row: np.void) -> dict[str, np.ndarray]:
    """Return what a client has stored, by name; ``row`` has its ``client`` and ``state_round``."""
    state_round = int(row["state_round"])
    return worker.store.read(int(row["client"]), state_round) if state_round else {}


def context_of(
    worker: Worker,
    row: np.void,
    round_number: int,
    version: int,
    steps: int,
    versions: Versions,
    stored: Mapping[str, np.ndarray],
    attacks: tuple[Attack, ...] = (),
) -> ClientContext:
    """Return what the program of a client sees.

    Args:
        worker: What this rank trains with.
        row: Has its ``client``, ``kind`` and ``state_round``.
        round_number: The round in which it begins.
        version: The model version that it receives.
        steps: The planned local steps.
        versions: Model versions by number.
        stored: What it has stored (``stored_by``).
        attacks: Those of the client that poison samples.
    """
    experiment = worker.experiment
    client = int(row["client"])
    state_round = int(row["state_round"])

    others = {*worker.memory, HISTORY, *kept_optimizer.NAMES}  # not of algorithms
    own = {name: array for name, array in stored.items() if name not in others}
    arrays, kept = with_own_statistics(
        experiment,
        worker.received_of(version, versions),
        {name: torch.from_numpy(array).to(worker.device) for name, array in own.items()},
    )
    samples = worker.rows(client)
    keys = (Purpose.CLIENT, round_number, client)

    return ClientContext(
        client=client,
        round=round_number,
        samples=samples.stop - samples.start,
        steps=steps,
        lr=worker.recipe(round_number).lr,
        training=experiment.job.training,
        received={name: arrays[name] for name in worker.received},
        initial_or_none=worker.initial,
        kept=kept,
        kept_round=state_round,
        kind=int(row["kind"]),
        layout=experiment.layout,
        loss=partial(loss_of, experiment.objective),
        count_labels=partial(count_labels, experiment, samples, attacks),
        public=partial(public_inputs, experiment, worker.device),
        make_generator=partial(generator, experiment.job.seed, *keys),
        others=worker.others.without(client),
        count_validation=partial(worker.count_validation, client),
    )


def advance(worker: Worker, program: ClientProgram) -> Request | Ended:
    """Give a program its last answer; return its next request, or its end.

    Raises TrainingError for a request of more than the algorithm declares.
    """
    experiment = worker.experiment
    if worker.plug_in:  # it may draw from torch's generators
        keys = (program.context.round, program.context.client, AFTER_TRAINING)
        part = program.part + program.requests
        for device in {CPU, worker.device}:
            seed_torch(device, number(experiment.job.seed, Purpose.DROPOUT, *keys, part))
    _note(program)

    try:
        request = program.program.send(program.answer)
    except StopIteration as end:
        return Ended(end.value)
    if not isinstance(request, Request):
        raise TrainingError(
            f"algorithm.name: {experiment.job.algorithm.name!r} yielded {type(request).__name__};"
            " allowed: Train, Evaluate, Gradient, Call"
        )
    if program.declared is not None:
        _charge(experiment, program, program.declared, request)
    return request


def _note(program: ClientProgram) -> None:
    """Note the first training and its loss, or the loss of the first pass."""
    answer = program.answer
    if answer is None or program.first is not None:
        return
    if isinstance(answer, Trained):
        program.losses = Losses(answer.loss, answer.squared_loss, answer.last_squared_loss)
        averages = answer.weights[program.context.layout.averages].clone()
        program.first = FirstTraining(answer.steps, averages)
    elif isinstance(answer, Evaluated | Differentiated) and program.losses is NO_LOSSES:
        square = answer.loss**2
        program.losses = Losses(answer.loss, square, square)


def _charge(
    experiment: Experiment, program: ClientProgram, declared: Cost, request: Request
) -> None:
    """Add a request to what a program has used. Raises TrainingError for more than is declared."""
    used = program.used
    planned = program.context.steps
    is_plain = isinstance(request, Train) and request.steps is None and request.cost == 1
    if is_plain and used is NOTHING and declared.training >= 1:  # the usual case, in less time
        program.used = PLANNED
        return

    training = used.training
    gradients = used.gradients
    evaluations = used.evaluations
    public = used.public
    if isinstance(request, Train):
        steps = planned if request.steps is None else request.steps
        training += request.cost * steps / planned
    elif isinstance(request, Gradient):
        gradients += 1
    elif isinstance(request, Evaluate):
        evaluations += request.cost
    elif isinstance(request, Call):
        training += request.steps / planned
        gradients += request.gradients
        evaluations += request.evaluations
        public += request.public

    program.used = Cost(training, 0, gradients, evaluations, public)
    steps_allowed = declared.training * planned + declared.extra_steps
    for what, name, asked, allowed in (
        ("local steps", "training", training * planned, steps_allowed),
        ("passes with gradients", "gradients", gradients, declared.gradients),
        ("passes without gradients", "evaluations", evaluations, declared.evaluations),
        ("public samples", "public", public, declared.public),
    ):
        if asked > allowed * (1 + TOLERANCE) + TOLERANCE:
            raise TrainingError(
                f"algorithm.name: {experiment.job.algorithm.name!r} asks for {asked:g}"
                f" {what}; its cost() declares {allowed:g} (Cost.{name})"
            )
