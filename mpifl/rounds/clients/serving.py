"""Serves the requests of a group of client programs, those that are alike together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch

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
from mpifl.errors import Diverged, InputError, TrainingError, at
from mpifl.optimizers.adjust import Adjust
from mpifl.rounds.clients.attacking import poison_of
from mpifl.rounds.clients.client_errors import or_drop, task_names
from mpifl.rounds.clients.client_program import ClientProgram
from mpifl.rounds.clients.worker import Worker
from mpifl.rounds.experiment.kept_optimizer import memory_for
from mpifl.seeds import Purpose, number
from mpifl.training.device import seed_torch
from mpifl.training.participant import Engine, LocalResult, Participant
from mpifl.training.passes import gradient_on, loss_on
from mpifl.training.recipe import Recipe
from mpifl.training.samples import Samples

Waiting = list[tuple[ClientProgram, Request]]
Work = tuple[ClientProgram, Train, Participant]


def serve(worker: Worker, tasks: np.ndarray, waiting: Waiting) -> list[ClientProgram]:
    """Serve requests: set the ``answer`` of each program.

    Returns the programs whose requests could be served; the others are left out, as
    ``runtime.on_client_error`` says.
    """
    groups: list[tuple[Recipe, float, list[Work]]] = []
    answered = []
    for program, request in waiting:
        if not isinstance(request, Train):
            action = partial(_alone, worker, program, request)
            answer = or_drop(worker.experiment, program.task, action)
            if answer is not None:
                program.answer = answer[0]
                answered.append(program)
            continue

        recipe = _recipe(worker, program, request)
        participant = _participant(worker, program, request)
        pull = request.adjust.pull if isinstance(request.adjust, Adjust) else 0.0
        work = (program, request, participant)
        for other, other_pull, group in groups:
            alike = (other is recipe or other == recipe) and other_pull == pull
            if alike and participant.stackable and group[0][2].stackable:
                group.append(work)
                break
        else:
            groups.append((recipe, pull, [work]))

    for recipe, _, group in groups:
        answered += _train(worker, tasks, recipe, group)
    return sorted(answered, key=lambda program: program.index)


def _recipe(worker: Worker, program: ClientProgram, request: Train) -> Recipe:
    """Return how the local steps of a request are made."""
    recipe = worker.recipe(program.context.round)
    lr = program.context.lr if request.lr is None else float(request.lr)
    if lr != recipe.lr:
        recipe = replace(recipe, lr=lr)
    if request.optimizer is not None:
        recipe = replace(recipe, optimizer=request.optimizer)
    if request.trainable is not None:
        recipe = replace(recipe, trainable=frozenset(request.trainable))
    return recipe


def _participant(worker: Worker, program: ClientProgram, request: Train) -> Participant:
    """Return what the engine is given of a request."""
    experiment = worker.experiment
    participant = Participant(
        start=request.start,
        pool=worker.samples,
        rows=worker.rows(program.context.client),
        steps=program.context.steps if request.steps is None else request.steps,
        order=partial(worker.order, *program.sample_keys),
        rng_seed=partial(number, experiment.job.seed, Purpose.DROPOUT, *program.seed_keys),
        adjust=request.adjust,
        loss=request.loss,
        transforms=partial(worker.transforms, *program.sample_keys),
        poison=poison_of(experiment, program.attacks, program.sample_keys),
        memory=memory_for(
            experiment.job, request, program.first is None, program.stored, worker.device
        ),
    )
    program.requests += 1
    return participant


def _train(
    worker: Worker, tasks: np.ndarray, recipe: Recipe, group: list[Work]
) -> list[ClientProgram]:
    """Train participants as one, and set the answers of their programs.

    Where that fails, and the job goes on without clients that fail, each is trained alone.
    """
    engine = worker.engine if group[0][2].stackable else worker.loop
    participants = [participant for _, _, participant in group]
    results: list[LocalResult | None] | None = None
    if len(group) > 1:
        try:
            with at(partial(task_names, worker.experiment, _tasks(tasks, group))):
                results = [*engine(recipe, participants)]
        except Exception as error:
            worker.model.restore()
            aborts = worker.experiment.job.runtime.on_client_error == "abort"
            if aborts or isinstance(error, InputError):
                raise
    if results is None:
        results = [
            or_drop(
                worker.experiment,
                program.task,
                partial(_train_alone, worker, engine, recipe, participant),
            )
            for program, _, participant in group
        ]

    trained = []
    for (program, _, participant), result in zip(group, results, strict=True):
        if result is not None:
            program.answer = Trained(
                participant.start,
                result.weights,
                result.loss,
                participant.steps if result.steps is None else result.steps,
                result.squared_loss,
                result.last_squared_loss,
            )
            if result.memory is not None:
                program.memory = result.memory
            trained.append(program)
    return trained


def _train_alone(
    worker: Worker, engine: Engine, recipe: Recipe, participant: Participant
) -> LocalResult:
    return _restored(worker, lambda: engine(recipe, [participant])[0])


def _alone(worker: Worker, program: ClientProgram, request: Request) -> tuple[Any]:
    """Return the answer of a request that is served alone, in a tuple."""
    experiment = worker.experiment
    rows = worker.rows(program.context.client)
    at_once = experiment.job.evaluation.batch_size
    seed_torch(worker.device, number(experiment.job.seed, Purpose.DROPOUT, *program.seed_keys))
    poison = poison_of(experiment, program.attacks, program.sample_keys)
    program.requests += 1
    if isinstance(request, Evaluate) and request.part == "validation":
        return (_validated(worker, program, request),)
    picks = request.rows if isinstance(request, Call) else None
    samples = worker.samples.read(rows) if picks is None else worker.samples.some(rows, picks)
    if poison is not None:
        samples = poison(samples[0], samples[1].clone())

    if isinstance(request, Evaluate):
        return (_evaluated(worker, request.weights, samples),)
    if isinstance(request, Gradient):
        differentiated = _restored(
            worker,
            lambda: gradient_on(
                worker.model, request.weights, experiment.objective, samples, at_once
            ),
        )
        return (Differentiated(*differentiated),)
    assert isinstance(request, Call)
    worker.model.load(request.weights)
    worker.model.gradient.zero_()
    try:
        return (request.function(worker.model.module, *samples),)
    finally:
        worker.model.restore()


def _evaluated(worker: Worker, weights: torch.Tensor, samples: Samples) -> Evaluated:
    """Return the loss of weights on samples. Raises Diverged where it is not finite."""
    experiment = worker.experiment
    at_once = experiment.job.evaluation.batch_size
    found = loss_on(worker.model, weights, experiment.objective, samples, at_once)
    if not np.isfinite(found[0]):
        raise Diverged(f"the loss of the weights is {found[0]:g}: training has diverged")
    return Evaluated(*found)


def _validated(worker: Worker, program: ClientProgram, request: Evaluate) -> Evaluated:
    """Return the loss of weights on the client's samples of the validation part.

    Raises TrainingError where it has none.
    """
    rows = worker.validation_rows(program.context.client)
    if rows is None:
        raise TrainingError(
            "Evaluate: the client has no samples in the validation part (c.count_validation)"
        )
    return _evaluated(worker, request.weights, worker.validation.read(rows))


def _restored(worker: Worker, action: Callable[[], Any]) -> Any:
    """Return what ``action`` returns; where it fails, restore what it may have left changed."""
    try:
        return action()
    except Exception:
        worker.model.restore()
        raise


def _tasks(tasks: np.ndarray, group: list[Work]) -> np.ndarray:
    return tasks[[program.index for program, _, _ in group]]
