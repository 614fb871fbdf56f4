"""Servers that compute entry by entry give the same bits in blocks as at once; others are called once."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import pytest

from mpifl.algorithms import REGISTRY
from mpifl.algorithms.algorithm import Algorithm, elementwise
from mpifl.algorithms.arrays import Arrays
from mpifl.algorithms.context import ServerContext
from mpifl.algorithms.fedavg import FedAvg
from mpifl.errors import TrainingError
from mpifl.rounds.experiment.experiment import Experiment
from mpifl.rounds.server import server_blocks
from mpifl.rounds.server.server_step import first_state
from tests.rounds.server.test_server_step import drawn, experiment, running, stepped

__all__ = ["experiment"]


def named(name: str) -> type[Algorithm]:
    module, _, kind = REGISTRY[name].partition(":")
    found: type[Algorithm] = getattr(importlib.import_module(module), kind)
    return found


BY_ENTRY = sorted(name for name in REGISTRY if getattr(named(name).server, "elementwise", False))


def test_the_algorithms_that_are_called_in_blocks() -> None:
    assert {"fedavg", "fedprox", "fedadam", "scaffold", "fednova", "feddyn"} <= set(BY_ENTRY)
    assert not {"fedexp", "cfl", "ifca", "heterofl", "fedrep"} & set(BY_ENTRY)


@pytest.mark.parametrize("name", BY_ENTRY)
@pytest.mark.parametrize("size", [1, 50, 64])
def test_blocks_give_the_bits_of_the_whole(
    experiment: Experiment, name: str, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = running(experiment, named(name).model_validate({}))
    state = {
        key: values + np.float32(0.01 * (key != "model"))
        for key, values in first_state(run).items()
    }
    uploads = drawn(run, [0.2, 0.3])
    whole = stepped(run, state, uploads)

    monkeypatch.setattr(server_blocks, "BLOCK", size if size > 1 else run.layout.size - 1)
    blocks = stepped(run, state, uploads)
    assert blocks.keys() == whole.keys()
    for key, values in whole.items():
        assert values.tobytes() == blocks[key].tobytes(), key
    assert any(values.tobytes() != state[key].tobytes() for key, values in whole.items())


class Length(FedAvg):
    """Scales by the length of the whole update: fedavg's promise is not its own."""

    def server(self, s: ServerContext, mean: Arrays) -> Arrays:
        update = mean["update"]
        return {"model": s.state["model"] + update / np.linalg.norm(update)}


class Short(FedAvg):
    @elementwise
    def server(self, s: ServerContext, mean: Arrays) -> Arrays:
        return {"model": mean["update"][:3]}


def test_a_server_that_does_not_say_so_is_called_once(
    experiment: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = running(experiment, Length())
    state = first_state(run)
    uploads = drawn(run, [0.2, 0.3])
    whole = stepped(run, state, uploads)
    monkeypatch.setattr(server_blocks, "BLOCK", 64)
    assert stepped(run, state, uploads)["model"].tobytes() == whole["model"].tobytes()


def test_a_block_of_another_shape_is_refused(
    experiment: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = running(experiment, Short())
    monkeypatch.setattr(server_blocks, "BLOCK", 64)
    with pytest.raises(TrainingError, match=r"the server's model has the shape \(3,\), before it"):
        stepped(run, first_state(run), drawn(run, [0.2, 0.3]))


class Array(FedAvg):
    """Returns the model itself, or nothing, where the arrays are wanted by name."""

    nothing: bool = False

    def server(self, s: ServerContext, mean: Arrays) -> Arrays:
        model: Any = None if self.nothing else s.state["model"] + mean["update"]
        return model


class BlockOfArray(Array):
    @elementwise
    def server(self, s: ServerContext, mean: Arrays) -> Arrays:
        return super().server(s, mean)


@pytest.mark.parametrize("kind", [Array, BlockOfArray])
@pytest.mark.parametrize(("nothing", "what"), [(False, "ndarray"), (True, "NoneType")])
def test_what_is_no_dict_is_refused_in_a_line(
    experiment: Experiment,
    monkeypatch: pytest.MonkeyPatch,
    kind: type[Array],
    nothing: bool,
    what: str,
) -> None:
    run = running(experiment, kind(nothing=nothing))
    monkeypatch.setattr(server_blocks, "BLOCK", 64)
    with pytest.raises(TrainingError, match=rf"^algorithm\.name: .*: server returned {what}; it"):
        stepped(run, first_state(run), drawn(run, [0.2, 0.3]))
