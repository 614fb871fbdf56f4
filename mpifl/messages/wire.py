"""Every message between rank 0 and the executors of a protocol, as paired verbs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mpifl.messages.actor_files import File, write_actors
from mpifl.messages.host import Host
from mpifl.messages.letter import Effects, Handling, Key, Letter
from mpifl.messages.model_mean import ModelSum, squared_distances
from mpifl.messages.owners import owner_of
from mpifl.mpi.world import World

RESTORE, RUN, MEAN, TEST, SAVE, END = "restore", "run", "mean", "test", "save", "end"
"""What rank 0 asks the executors for."""

DISTANCE = np.dtype([("actor", "<i8"), ("squared", "<f8")])


# Orders


def aggregator_send_order(world: World, do: str, **arguments: Any) -> None:
    """Ask the executors for something."""
    if world.size > 1:
        world.broadcast_text(json.dumps({"do": do, **arguments}))


def executor_receive_order(world: World) -> dict[str, Any]:
    """Return what rank 0 asks for."""
    with world.watch("idle"):
        order: dict[str, Any] = json.loads(world.broadcast_text(None))
    return order


# Handlers


def aggregator_run(
    world: World, host: Host | None, handlings: Sequence[Handling], dropped: Sequence[Letter]
) -> list[Effects]:
    """Have handlers run by the ranks that have their actors; return what they have done.

    Args:
        world: The ranks.
        host: The actors of rank 0, when it is alone.
        handlings: The handlers.
        dropped: Messages whose arrays are not needed any more.
    """
    if host is not None:
        with world.watch("training"):
            host.forget(dropped)
            return host.run(handlings, {})
    aggregator_send_order(
        world,
        RUN,
        handlings=[handling.json() for handling in handlings],
        dropped=[letter.json() for letter in dropped],
    )
    with world.watch("wait"):
        world.exchange(np.empty(0, np.float32), *_no_counts(world))
        texts = world.gather_texts("[]")
    return [Effects.of(effects) for text in texts for effects in json.loads(text)]


def executor_run(world: World, host: Host, order: Mapping[str, Any]) -> None:
    """Run this rank's part of the handlers of an order."""
    handlings = [Handling.of(handling) for handling in order["handlings"]]
    host.forget(Letter.of(letter) for letter in order["dropped"])
    stack = host.worker.experiment.stack
    arrived = _exchange(world, host, handlings, stack)
    own = [one for one in handlings if owner_of(one.actor, stack, world.size) == world.rank]
    with world.watch("training"):
        done = host.run(own, arrived)
    with world.watch("reduce"):
        world.gather_texts(json.dumps([effects.json() for effects in done]))


def _exchange(
    world: World, host: Host, handlings: Sequence[Handling], stack: int
) -> dict[Key, dict[str, torch.Tensor]]:
    """Send the arrays of messages to the ranks of their receivers; return what has come."""
    ranks = world.size
    leaving: list[list[np.ndarray]] = [[] for _ in range(ranks)]
    coming: list[list[Letter]] = [[] for _ in range(ranks)]
    for handling in handlings:
        receiver = owner_of(handling.actor, stack, ranks)
        for letter in handling.letters:
            sender = owner_of(letter.sender, stack, ranks)
            if sender == receiver:
                continue
            if sender == world.rank:
                arrays = host.taken(letter)
                leaving[receiver] += [arrays[name].numpy().reshape(-1) for name in letter.shapes]
            elif receiver == world.rank:
                coming[sender].append(letter)

    counts = np.array([sum(map(len, arrays)) for arrays in leaving], np.int64)
    awaited = np.array([sum(map(_numbers, letters)) for letters in coming], np.int64)
    flat = [array for arrays in leaving for array in arrays]
    sent = np.concatenate(flat) if flat else np.empty(0, np.float32)
    with world.watch("broadcast"):
        received = world.exchange(sent, counts, awaited)
    return _unpacked(torch.from_numpy(received), [one for letters in coming for one in letters])


def _unpacked(
    numbers: torch.Tensor, letters: Sequence[Letter]
) -> dict[Key, dict[str, torch.Tensor]]:
    """Return the arrays of messages that came one behind the other."""
    arrived: dict[Key, dict[str, torch.Tensor]] = {}
    begin = 0
    for letter in letters:
        arrays = arrived[letter.key] = {}
        for name, shape in letter.shapes.items():
            count = int(np.prod(shape))
            arrays[name] = numbers[begin : begin + count].reshape(shape)
            begin += count
    return arrived


def _numbers(letter: Letter) -> int:
    return sum(int(np.prod(shape)) for shape in letter.shapes.values())


def _no_counts(world: World) -> tuple[np.ndarray, np.ndarray]:
    nothing = np.zeros(world.size, np.int64)
    return nothing, nothing


# Checkpoints


def aggregator_save(world: World, host: Host | None, folder: Path, moment: str) -> list[File]:
    """Have every rank write its actors; return the files. Raises DiskFull.

    ``moment`` is that of the snapshot (``Snapshot.moment``).
    """
    aggregator_send_order(world, SAVE, moment=moment)
    if host is not None:
        return [write_actors(folder, host, moment, 0, 1)]
    texts = world.gather_texts("[]")[1:]
    return [(name, digest) for name, digest in map(json.loads, texts)]


def executor_save(world: World, host: Host, folder: Path, order: Mapping[str, Any]) -> None:
    """Write this rank's actors. Raises DiskFull."""
    file = write_actors(folder, host, order["moment"], world.rank, world.size)
    world.gather_texts(json.dumps(file))


# The model of a round


@dataclass(frozen=True)
class Reports:
    """What a mean is made of.

    Attributes:
        reports: Actor and handler of the reports that are new, in their order.
        models: Of how many models it is the mean; 1 where the reports are parts of one.
        missing: How many of these have not been reported yet: they are the initial model.
    """

    reports: Sequence[Sequence[int]]
    models: int
    missing: int


def aggregator_mean(
    world: World, host: Host | None, reports: Reports, initial: np.ndarray
) -> tuple[np.ndarray, float]:
    """Return the mean of the models that actors have reported last, and their distance from it.

    The distance is the root of the mean squared Euclidean distance: 0 where all are equal.
    """
    aggregator_send_order(world, MEAN, **vars(reports))
    return _mean(world, host, reports, initial)


def executor_mean(world: World, host: Host, order: Mapping[str, Any]) -> None:
    """Add this rank's models to the mean of a round."""
    reports = Reports(order["reports"], order["models"], order["missing"])
    _mean(world, host, reports, host.worker.experiment.initial)


def _mean(
    world: World, host: Host | None, reports: Reports, initial: np.ndarray
) -> tuple[np.ndarray, float]:
    latest = {}
    if host is not None:
        host.take_reports(reports.reports)
        latest = host.latest
    first = torch.from_numpy(initial)
    total = ModelSum(len(initial), reports.models)
    with world.watch("reduce"):
        for model in latest.values():
            total.add(model)
        if world.aggregates and reports.missing:
            total.add(first, reports.missing)
        for part in total.parts:
            world.sum_to_root(part)
    mean = total.mean() if world.aggregates else np.empty(len(initial), np.float32)
    if reports.models == 1:
        return mean, 0.0

    with world.watch("broadcast"):
        world.broadcast(mean)
    rows = np.zeros(len(latest), DISTANCE)
    rows["actor"] = list(latest)
    rows["squared"] = squared_distances(latest.values(), mean)
    with world.watch("reduce"):
        gathered = np.sort(world.gather_rows(rows), order="actor")
    squared = gathered["squared"].sum() + reports.missing * squared_distances([first], mean)[0]
    return mean, float(np.sqrt(squared / reports.models))
