"""What an algorithm's server changes: of a large model, in one block of entries after the other."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import replace

import numpy as np

from mpifl.algorithms.algorithm import Algorithm
from mpifl.algorithms.arrays import Arrays
from mpifl.algorithms.context import ServerContext
from mpifl.errors import TrainingError
from mpifl.rounds.clients.public import run_server_program
from mpifl.rounds.experiment.experiment import Experiment

BLOCK = 1 << 20
"""Entries of a block: with the float64 arrays that a server makes of them they fit a cache."""


def changes(
    experiment: Experiment, context: ServerContext, means: Callable[[slice], Arrays]
) -> Arrays:
    """Return the arrays of the state that a round changes, by name.

    Args:
        experiment: The job and its model.
        context: The round.
        means: Return the means, of model-sized arrays those of a block of entries.

    Raises:
        TrainingError: The algorithm returns an array of another shape.
    """
    algorithm = experiment.job.algorithm
    size = experiment.layout.size
    if size <= BLOCK or experiment.job.privacy.private or not _by_entry(algorithm.server):
        changed = algorithm.server(context, means(slice(0, size)))
        if isinstance(changed, Generator):
            changed = run_server_program(experiment, context.round, changed)
        return _arrays(algorithm, changed)

    after: Arrays = {}
    for begin in range(0, size, BLOCK):
        block = slice(begin, min(begin + BLOCK, size))
        state = {name: _of(values, size, block) for name, values in context.state.items()}
        changed = algorithm.server(replace(context, state=state), means(block))
        assert not isinstance(changed, Generator)
        for name, values in _arrays(algorithm, changed).items():
            _put(after, name, values, context.state, state, block)
    return after


def _arrays(algorithm: Algorithm, changed: object) -> Arrays:
    """Return what a server step returned. Raises TrainingError where it is no dict of arrays."""
    if not isinstance(changed, dict):
        raise TrainingError(
            f"algorithm.name: {algorithm.name!r}: server returned {type(changed).__name__}; it has"
            " to return the arrays of the state that change, by name:"
            ' {"model": s.state["model"] + mean["update"]}'
        )
    return changed


def _by_entry(server: Callable[..., object]) -> bool:
    return bool(getattr(server, "elementwise", False))


def _of(values: np.ndarray, size: int, block: slice) -> np.ndarray:
    """Return a block of a model-sized array, any other array whole."""
    return values[..., block] if values.ndim and values.shape[-1] == size else values


def _put(
    after: Arrays, name: str, values: np.ndarray, whole: Arrays, before: Arrays, block: slice
) -> None:
    """Put what a server returns of a block into ``after``; another array counts as it is."""
    if name not in whole or before[name].shape == whole[name].shape:
        after[name] = values
        return
    if np.shape(values) != before[name].shape:
        raise TrainingError(
            f"the server's {name} has the shape {np.shape(values)}, before it was"
            f" {before[name].shape}"
        )
    if name not in after:
        after[name] = np.empty(whole[name].shape, np.float32)
    after[name][..., block] = values
