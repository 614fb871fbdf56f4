"""Random numbers of an app: the generators that apps use, seeded by what is computed with them."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator

import numpy as np
import torch

from mpifl.seeds import Purpose, generator, number
from mpifl.training.device import seed_everything

LAST_ID = 2**63 - 1


def node_ids(seed: int, nodes: int) -> list[int]:
    """Return the ids of all nodes, in the order of their partitions: different, 2 to 2**63 - 1."""
    ids: dict[int, None] = {}
    draws = generator(seed, Purpose.NODES)
    while len(ids) < nodes:  # a repeat is so rare that it may never have happened
        ids |= dict.fromkeys(draws.integers(2, LAST_ID, nodes - len(ids), endpoint=True).tolist())
    return list(ids)


def seed_server(seed: int) -> None:
    """Seed random, numpy and torch for the ServerApp."""
    seed_everything(number(seed, Purpose.SERVER))


def seed_client(seed: int, message: int, partition: int) -> None:
    """Seed random, numpy and torch for the ClientApp of a node, by the number of its message."""
    seed_everything(number(seed, Purpose.CLIENT, message, partition))


@contextlib.contextmanager
def kept() -> Iterator[None]:
    """Restore the generators' states after the block.

    A rank 0 that runs clients too leaves the ServerApp's random numbers as they were.
    """
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])  # noqa: NPY002
        torch.set_rng_state(states[2])
