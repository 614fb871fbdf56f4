"""Tests of clients with their own models: which clients, and what each scores."""

from __future__ import annotations

from collections.abc import Generator
from functools import partial

import numpy as np
import torch

from mpifl.algorithms.context import ClientContext, PersonalModel
from mpifl.algorithms.requests import Request, Train, Trained
from mpifl.errors import TrainingError, at
from mpifl.rounds.clients.assignment import Versions
from mpifl.rounds.clients.client_errors import task_names
from mpifl.rounds.clients.client_program import ClientProgram, Ended, advance, context_of, stored_by
from mpifl.rounds.clients.serving import serve
from mpifl.rounds.clients.worker import Worker
from mpifl.rounds.experiment.experiment import Experiment
from mpifl.rounds.plan.round_result import CLIENT_TEST
from mpifl.seeds import Purpose, number
from mpifl.training.device import seed_torch
from mpifl.training.passes import loss_on

PERSONAL_PART = 1 << 32
"""Keeps the generators of tests apart from those of training."""


def test_personal(worker: Worker, rows: np.ndarray, versions: Versions) -> np.ndarray:
    """Return the tests (structured CLIENT_TEST) of clients with their own models.

    A client whose model cannot be made is left out where ``runtime`` says so; then it has no row.

    Args:
        worker: What this rank tests with.
        rows: The clients (structured PERSONAL), all of one version.
        versions: Model versions by number.

    Raises:
        TrainingError: When a client's model gives no finite loss.
    """
    experiment = worker.experiment
    tested = []
    with at(partial(task_names, experiment, rows)):
        running = [_start(worker, rows, index, versions) for index in range(len(rows))]
        while running:
            waiting: list[tuple[ClientProgram, Request]] = []
            for program in running:
                reached = advance(worker, program)
                if isinstance(reached, Ended):
                    tested.append(_test(worker, rows[program.index], reached.value))
                else:
                    waiting.append((program, reached))
            running = serve(worker, rows, waiting)
        worker.contract.check()

    return np.sort(np.array(tested, CLIENT_TEST), order="client")


def _start(worker: Worker, rows: np.ndarray, index: int, versions: Versions) -> ClientProgram:
    """Return the program that gives a client's model."""
    experiment = worker.experiment
    row = rows[index]
    samples = worker.rows(int(row["client"]))
    steps = experiment.workload.steps(np.array([samples.stop - samples.start]))
    stored = stored_by(worker, row)
    round_number, version = int(row["round"]), int(row["version"])
    context = context_of(worker, row, round_number, version, int(steps[0]), versions, stored)
    program = _model(experiment, context)
    return ClientProgram(index, row, context, program, part=PERSONAL_PART, declared=None)


def _model(experiment: Experiment, context: ClientContext) -> PersonalModel:
    """Yield the requests of an algorithm's ``personal`` and of fine-tuning; return the model."""
    model = experiment.job.algorithm.personal(context)
    if isinstance(model, Generator):
        model = yield from model

    steps = experiment.job.evaluation.fine_tune_steps
    if steps is not None:
        trainable = experiment.job.algorithm.tuned(context.layout)
        tuned: Trained = yield Train(model, steps=steps, trainable=trainable)
        model = tuned.weights
    return model


def _test(worker: Worker, row: np.void, model: torch.Tensor) -> np.ndarray:
    """Return the test (structured CLIENT_TEST) of a client's model on its own held-out samples."""
    experiment = worker.experiment
    client = int(row["client"])
    seed_torch(
        worker.device,
        number(experiment.job.seed, Purpose.TEST, int(row["version"]), PERSONAL_PART, client),
    )
    place = experiment.test_rows[experiment.population.data_client(client)]
    samples = worker.tested.read(experiment.tested_part.rows(int(place)))
    loss, correct, scored = loss_on(
        worker.model, model, experiment.objective, samples, experiment.job.evaluation.batch_size
    )
    if not np.isfinite(loss) and not experiment.survives_divergence:
        raise TrainingError(f"the test loss of the client's own model is {loss:g}")

    test = np.zeros((), CLIENT_TEST)
    test["version"] = row["version"]
    test["client"] = client
    test["scored"] = scored
    test["correct"] = correct
    test["loss"] = loss * scored
    return test
