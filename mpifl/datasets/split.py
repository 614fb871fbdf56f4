"""Which clients, or which of their samples, are kept from training: for validation and for the test."""

from __future__ import annotations

import numpy as np

from mpifl.datasets.dataset import Dataset, Part
from mpifl.datasets.regroup import by_client, regrouped
from mpifl.errors import InputError, counted
from mpifl.job.schema import Split

TRAIN, VALIDATION, TEST = range(3)


def split_samples(split: Split, client: np.ndarray, clients: int, random: np.random.Generator) -> np.ndarray:
    """TRAIN, VALIDATION or TEST (uint8) of each sample of ``client`` (samples,), whose numbers run from 0 to clients - 1.

    Shares are rounded, and of samples rounded down: every client keeps one for training. Raises InputError when a share rounds
    to no client, or leaves none for training.
    """
    if split.by == "clients":
        counts = [round(share * clients) for share in (split.validation, split.test)]
        of_all = f"of {counted(clients, 'client')}"
        for key, share, count in zip(("validation", "test"), (split.validation, split.test), counts, strict=True):
            if share and not count:
                raise InputError(f"data.split.{key}: {share:g} {of_all} is none; allowed: {1 / clients:.2g} or more")
        if sum(counts) >= clients:
            raise InputError(f"data.split: {counts[0]} + {counts[1]} {of_all} kept back leave none for training")
        part = np.zeros(clients, np.uint8)
        drawn = random.permutation(clients)
        part[drawn[: counts[0]]], part[drawn[counts[0] : sum(counts)]] = VALIDATION, TEST
        return part[client]
    # Of each client's samples in a random order, the first go to validation, the next to the test.
    order, offsets = by_client(client, clients)
    sizes = np.diff(offsets)
    shuffled = order[np.lexsort((random.random(len(client)), client[order]))]
    place = np.arange(len(client)) - np.repeat(offsets[:-1], sizes)
    validation = np.floor(sizes * split.validation).astype(np.int64)
    test = np.floor(sizes * split.test).astype(np.int64)
    part = np.empty(len(client), np.uint8)
    until = np.repeat(validation, sizes)
    part[shuffled] = np.where(place < until, VALIDATION, np.where(place < until + np.repeat(test, sizes), TEST, TRAIN))
    if not (part == TEST).any() and split.test:
        raise InputError(f"data.split.test: {split.test:g} of each client's samples is none: the largest has {sizes.max()}")
    return part


def arranged(data: Dataset, client: np.ndarray, names: np.ndarray, part: np.ndarray) -> dict[str, Part]:
    """The parts, to be written, in which the train samples belong to ``client`` (samples,) and go where ``part`` says.

    Parts that nothing goes to stay as they are; clients without samples in a part are not in it.
    """
    parts = data.parts
    for number, name in ((TRAIN, "train"), (VALIDATION, "validation"), (TEST, "test")):
        rows = np.flatnonzero(part == number)
        if len(rows):
            there, index = np.unique(client[rows], return_inverse=True)
            order, offsets = by_client(index, len(there))
            parts[name] = regrouped(data.train, rows[order], offsets, names[there])
    return parts
