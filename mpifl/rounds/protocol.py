"""What aggregator and executors say to each other: a batch of rounds, and the model versions that it trains from and tests.

A batch holds the rounds that can be trained at once, because all their base versions are known: one with a synchronous clock,
several with an asynchronous one. Both sides keep the versions that are still needed, by number, and no others.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from mpifl.mpi.world import World
from mpifl.rounds.plan import TASK

Version = dict[str, np.ndarray]
"""The vectors (float32) of one version of the server's state that participants are sent, by name."""

Versions = dict[int, Version]

HEADER = np.dtype([(name, "<i8") for name in ("first_round", "rounds", "tasks", "tests", "kept", "fresh", "oldest")])


@dataclass(frozen=True)
class Assignment:
    """``rounds`` rounds from ``first_round`` on: their tasks (structured TASK), and the versions to test (int64).

    ``oldest`` is the round after which the run might be taken up again: what clients had then has to be kept.
    """

    first_round: int
    rounds: int
    tasks: np.ndarray
    tests: np.ndarray
    oldest: int


def send(world: World, assignment: Assignment | None, kept: np.ndarray, fresh: Versions) -> None:
    """Rank 0: a batch, the numbers (int64) of the versions to keep, and the versions that are new; None says it is over."""
    if assignment is None:
        world.broadcast(np.zeros(1, HEADER))
        return
    counts = (
        assignment.first_round,
        assignment.rounds,
        len(assignment.tasks),
        len(assignment.tests),
        len(kept),
        len(fresh),
        assignment.oldest,
    )
    parts = (assignment.tasks, assignment.tests, kept, np.array(list(fresh), np.int64))
    vectors = [vector for version in fresh.values() for vector in version.values()]
    world.broadcast(np.array([counts], HEADER), np.concatenate([part.view(np.uint8) for part in parts]), *vectors)


def receive(world: World, versions: Versions, names: tuple[str, ...], length: int) -> Assignment | None:
    """The other ranks: the next batch, None when it is over; brings ``versions`` up to date."""
    header = np.zeros(1, HEADER)
    with world.watch("idle"):  # while rank 0 is at what only it can do
        world.broadcast(header)
    counts = header[0]
    if counts["first_round"] == 0:
        return None
    kinds = {"tasks": TASK, "tests": np.dtype(np.int64), "kept": np.dtype(np.int64), "fresh": np.dtype(np.int64)}
    ends = np.cumsum([counts[name] * kind.itemsize for name, kind in kinds.items()])
    whole = np.empty(int(ends[-1]), np.uint8)
    vectors = [[np.empty(length, np.float32) for _ in names] for _ in range(int(counts["fresh"]))]
    world.broadcast(whole, *itertools.chain(*vectors))
    pieces = zip(np.split(whole, ends[:-1]), kinds.values(), strict=True)
    tasks, tests, kept, fresh = (piece.view(kind) for piece, kind in pieces)
    keep_only(versions, kept)
    for number, version in zip(fresh.tolist(), vectors, strict=True):
        versions[number] = dict(zip(names, version, strict=True))
    return Assignment(int(counts["first_round"]), int(counts["rounds"]), tasks, tests, int(counts["oldest"]))


def keep_only(versions: Versions, kept: np.ndarray) -> None:
    """Let go of every version that is not among ``kept``."""
    for number in versions.keys() - set(kept.tolist()):
        del versions[number]
