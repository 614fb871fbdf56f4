"""Settles what a job leaves open of its training: the engine, the group size, and drop_last.

The outcome is written into the run's job.yaml. The rules look at the job and its data, never at
the machine or the number of ranks, so that a job has one result.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from mpifl.datasets.dataset import Dataset
from mpifl.errors import InputError, counted
from mpifl.job.schema import Training
from mpifl.models.flat import FlatModel
from mpifl.objectives.objective import Objective
from mpifl.population.population import Population
from mpifl.training.linear_stack import is_linear
from mpifl.training.participant import Participant
from mpifl.training.recipe import recipe_of
from mpifl.training.samples import pool_of
from mpifl.training.stacked import Stacked

MOST_STACKED = {"cpu": 8, "cuda": 64}
"""The most participants of a group, by training.device."""

STACK_WEIGHTS = {"cpu": 1 << 21, "cuda": 1 << 28}
"""The most weights in all models of a group, by training.device.

On a CPU more of them push each other out of the cache, and larger groups are no faster. On a GPU
memory has to be left for gradients and activations, and for other ranks.
"""


def with_drop_last(training: Training, model: FlatModel) -> Training:
    """Return ``training`` with drop_last settled: auto is true for a network with batch norm.

    Batch norm takes no batch of one sample, and its statistics over the few samples of a last
    batch are mostly noise.
    """
    if training.drop_last != "auto":
        return training
    return training.model_copy(update={"drop_last": bool(model.batch_norms)})


def check_single_samples(training: Training, model: FlatModel, population: Population) -> None:
    """Raise InputError when batch norm would get a batch of one sample.

    That happens with batch_size 1, and for a client that has only one sample, which drop_last
    cannot leave out. The batch norm of a convolution may take a single image, since it has many
    values per channel; so one sample is tried.
    """
    counts = np.diff(population.data.train.offsets)[: population.clients]
    single = np.flatnonzero(counts == 1) if training.batch_size > 1 else np.arange(len(counts))
    if not len(single) or not model.batch_norms:
        return
    if not _fails_on(model, population.data, int(single[0])):
        return

    why = "the network's batch norm takes no single sample"
    if training.batch_size == 1:
        raise InputError(f"training.batch_size: 1 is not allowed: {why}; allowed: 2 or more")
    raise InputError(
        f"data.partition: client {population.client_name(int(single[0]))} has one sample,"
        f" as {len(single)} of {counted(len(counts), 'client')} have: {why}; deal two or more to"
        " each (min_samples: 2), or go on without (runtime.on_client_error: drop)"
    )


def _fails_on(model: FlatModel, data: Dataset, client: int) -> bool:
    """Return whether torch refuses to train on a client's first sample. The model is restored."""
    kept = model.moving.clone()
    first = data.train.rows(client).start
    x, _ = pool_of(data, data.train).read(slice(first, first + 1))

    model.module.train()
    try:
        with torch.no_grad():
            model.module(x)
    except ValueError:
        return True
    finally:
        model.load(kept)
    return False


def chosen(training: Training, model: FlatModel, objective: Objective, data: Dataset) -> Training:
    """Return ``training`` with engine and stack settled. Raises InputError.

    On a CPU linear layers under plain SGD are faster with the stacked engine
    (benchmarks/README.md); other models are not. On a GPU every model that can be is trained in
    groups: a step of one small model leaves most of it idle.
    """
    engine = training.engine
    stack = training.stack
    device = training.device
    if engine == "auto" and device == "cpu":
        linear = is_linear(model, objective) and recipe_of(training, training.lr).linear
        alike = training.early_stop is None and not training.transform.changes
        fast = linear and data.train.begin is None and alike
        engine = "stacked" if fast else "loop"

    reason = None if engine == "loop" else _not_stackable(training, model, objective, data)
    if engine == "auto":
        engine = "loop" if reason else "stacked"

    if engine == "loop":
        if stack not in (None, 1):
            raise InputError(
                f"training.stack: {stack} is not allowed with training.engine loop;"
                " allowed: 1, or engine stacked"
            )
        return training.model_copy(update={"engine": engine, "stack": 1})

    if reason:
        raise InputError(f"training.engine: 'stacked' is not allowed: {reason}; allowed: loop")
    stack = stack or max(1, min(MOST_STACKED[device], STACK_WEIGHTS[device] // model.entries))
    return training.model_copy(update={"engine": engine, "stack": stack})


def _not_stackable(
    training: Training, model: FlatModel, objective: Objective, data: Dataset
) -> str | None:
    """Return why a group of clients cannot be one computation; None when it can."""
    if training.early_stop is not None:
        return "training.early_stop ends the steps of one client at a time"
    if training.optimizer.keep:
        return "training.optimizer.keep goes on with the optimizer of one client at a time"
    if training.transform.changes:
        return "training.transform changes the minibatches of one client at a time"
    if data.train.begin is not None:
        return "samples differ in length"
    if not objective.stackable:
        return f"the loss of objective {objective.name} is that of one client at a time"
    if any(True for _ in model.module.buffers()):
        return "the model has buffers (such as batch norm's running means)"
    recurrent = any(isinstance(layer, nn.RNNBase) for layer in model.module.modules())
    if training.device == "cuda" and recurrent:
        return "cuDNN's recurrent layers cannot be mapped over clients"
    if is_linear(model, objective):
        return None

    start = model.moving.clone()
    largest = data.train.rows(int(np.argmax(np.diff(data.train.offsets))))
    rows = slice(largest.start, min(largest.stop, largest.start + 2))
    pool = pool_of(data, data.train)
    probe = Participant(start, pool, rows, steps=1, order=np.random.default_rng, rng_seed=lambda: 0)
    try:
        Stacked(model, objective)(recipe_of(training, training.lr), [probe, probe])
    except Exception as error:  # torch and the model may raise anything
        message = str(error).strip() or type(error).__name__
        return f"torch cannot map the model over clients ({message.splitlines()[0]})"
    return None
