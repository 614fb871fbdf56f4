"""``exchange`` at work: what arrives of an upload, and of what the server sends.

Clients code each upload, with generators of their own. The server codes a model version once:
all who train from it begin with what arrives of it. The version itself goes to the executors too,
for its test.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from mpifl.algorithms.arrays import Arrays, read_only
from mpifl.exchange.way import Sent, Way
from mpifl.rounds.experiment.experiment import Experiment
from mpifl.rounds.experiment.ways import ARRIVED, bytes_of_steering
from mpifl.seeds import KeyedGenerator, Purpose
from mpifl.training.device import CPU


@dataclass(frozen=True)
class Uplink:
    """The way of uploads; ``names`` are those of the summed arrays, in their order."""

    way: Way
    generator: KeyedGenerator
    names: tuple[str, ...]

    def send(
        self,
        round_number: int,
        client: int,
        arrays: list[torch.Tensor],
        kept: Mapping[str, np.ndarray],
        number: float,
        part: float = 1.0,
    ) -> tuple[list[torch.Tensor], Sent]:
        """Return what arrives of a client's arrays, and what else came of sending them.

        Args:
            round_number: From 1 on.
            client: Its number.
            arrays: The entries that are summed, in the order of ``names``, each (size,) float32.
            kept: What the client has kept for the stages, by name; empty the first time.
            number: What the server says to the stage that it steers.
            part: The share of the upload that it is to send.
        """
        by_name = dict(zip(self.names, arrays, strict=True))
        values = {
            name: read_only(by_name[name].detach().to(CPU).numpy()) for name in self.way.shapes
        }
        way = self.way.part(part)
        sent = way.send(values, self.generator, round_number, client, kept, number)
        arrived = {
            name: torch.from_numpy(np.require(values, requirements="W")).to(by_name[name].device)
            for name, values in sent.arrived.items()
        }
        return [arrived.get(name, by_name[name]) for name in self.names], sent


def make_uplink(experiment: Experiment) -> Uplink | None:
    """Return the way of uploads; None where nothing happens to them."""
    if experiment.up is None:
        return None
    names = tuple(array.name for array in experiment.sums.arrays)
    return Uplink(experiment.up, KeyedGenerator(experiment.job.seed, Purpose.UP), names)


def arrived(experiment: Experiment, version: int, state: Arrays) -> tuple[Arrays, int]:
    """Return what arrives of a model version where it is coded, and the bytes that are received.

    The arrays have the names of the version's, with ARRIVED before them.

    Args:
        experiment: The job and its model.
        version: Its number.
        state: The server's arrays by name.
    """
    way = experiment.down
    if way is None:
        return {}, experiment.workload.bytes_down

    values = {name: _trained(state[name], shape.count) for name, shape in way.shapes.items()}
    sent = _coded(experiment, way, version, values)
    found = {
        ARRIVED + name: _with_trained(state[name], array) for name, array in sent.arrived.items()
    }
    return found, sent.bytes + bytes_of_steering(experiment.up)


def caught_up(
    experiment: Experiment, version: int, state: Arrays, before: Arrays | None
) -> tuple[Arrays, int]:
    """Return what a client has that has downloaded all differences up to a version.

    And the bytes of this version's difference, without what goes through no stage.

    Args:
        experiment: A job with ``exchange.delta``.
        version: Its number.
        state: The server's arrays by name.
        before: The arrays of the version before; None of the first one, which is sent whole.
    """
    way = experiment.down
    assert way is not None
    if before is None:
        return {ARRIVED + name: state[name].copy() for name in way.shapes}, 0

    held = {
        name: _trained(before[ARRIVED + name], shape.count) for name, shape in way.shapes.items()
    }
    changes = {name: _trained(state[name], len(own)) - own for name, own in held.items()}
    sent = _coded(experiment, way, version, changes)
    found = {
        ARRIVED + name: _with_trained(state[name], held[name] + array)
        for name, array in sent.arrived.items()
    }
    return found, sent.bytes - way.beside


def _coded(experiment: Experiment, way: Way, version: int, values: Arrays) -> Sent:
    """Return what arrives of a version's arrays, (count,) float32 each."""
    generator = KeyedGenerator(experiment.job.seed, Purpose.DOWN)
    arrays = {name: read_only(array) for name, array in values.items()}
    return way.send(arrays, generator, version, 0, {})


def _with_trained(whole: np.ndarray, trained: np.ndarray) -> np.ndarray:
    """Return a copy of an array with other ``trained`` numbers, (count,)."""
    copy = whole.copy()
    width = copy.shape[-1] * len(trained) // copy.size
    copy[..., :width] = trained.reshape(*copy.shape[:-1], width)
    return copy


def _trained(array: np.ndarray, count: int) -> np.ndarray:
    """Return the ``count`` numbers of an array that go through the stages, (count,)."""
    trained = array.shape[-1] * count // array.size
    return np.ascontiguousarray(array[..., :trained]).reshape(-1)
