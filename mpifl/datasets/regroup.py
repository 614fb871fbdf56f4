"""Samples in another order, without holding them: what partitions, splits and imports are written from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from mpifl.datasets.dataset import BLOCK_BYTES, Part

CHUNK_SAMPLES = 1 << 20


@dataclass(frozen=True)
class Rows:
    """``values[order]`` (Values), gathered block by block."""

    values: np.ndarray
    order: np.ndarray

    @property
    def shape(self) -> tuple[int, ...]:
        """As an array's."""
        return (len(self.order), *self.values.shape[1:])

    @property
    def dtype(self) -> np.dtype:
        """As an array's."""
        return self.values.dtype

    def blocks(self) -> Iterator[np.ndarray]:
        """Its rows, in blocks of about BLOCK_BYTES."""
        size = max(1, BLOCK_BYTES // max(1, self.dtype.itemsize * int(np.prod(self.shape[1:]))))
        for start in range(0, len(self.order), size):
            yield self.values[self.order[start : start + size]]


@dataclass(frozen=True)
class Sequences:
    """The samples ``order`` (Values) of sequences that begin at ``old`` in ``values`` and at ``begin`` here."""

    values: np.ndarray
    old: np.ndarray
    order: np.ndarray
    begin: np.ndarray

    @property
    def shape(self) -> tuple[int, ...]:
        """As an array's."""
        return (int(self.begin[-1]), *self.values.shape[1:])

    @property
    def dtype(self) -> np.dtype:
        """As an array's."""
        return self.values.dtype

    def blocks(self) -> Iterator[np.ndarray]:
        """Its rows, in blocks of about BLOCK_BYTES, a sample at least."""
        size = max(1, BLOCK_BYTES // (8 + self.dtype.itemsize * int(np.prod(self.shape[1:]))))
        start = 0
        while start < len(self.order):
            stop = max(start + 1, int(np.searchsorted(self.begin, self.begin[start] + size, side="right")) - 1)
            lengths = np.diff(self.begin[start : stop + 1])
            shift = self.old[self.order[start:stop]] - (self.begin[start:stop] - self.begin[start])
            yield self.values[np.repeat(shift, lengths) + np.arange(lengths.sum())]
            start = stop


def by_client(client: np.ndarray, clients: int, order: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """The samples of each client side by side, in their old order: (order (samples,), offsets (clients + 1,)), both int64.

    ``client`` (samples,) holds numbers from 0 to clients - 1; both it and ``order``, which is filled when given, may be memory
    maps: what is held beside them is O(clients).
    """
    offsets = np.zeros(clients + 1, np.int64)
    for start in range(0, len(client), CHUNK_SAMPLES):
        offsets[1:] += np.bincount(client[start : start + CHUNK_SAMPLES], minlength=clients)
    offsets = np.cumsum(offsets)
    free = offsets[:-1].copy()
    order = np.empty(len(client), np.int64) if order is None else order
    for start in range(0, len(client), CHUNK_SAMPLES):
        chunk = client[start : start + CHUNK_SAMPLES]
        sequence = np.argsort(chunk, kind="stable")
        owner = chunk[sequence]
        first = np.searchsorted(owner, owner, side="left")
        order[free[owner] + np.arange(len(owner)) - first] = start + sequence
        free += np.bincount(chunk, minlength=clients)
    return order, offsets


def regrouped(part: Part, order: np.ndarray, offsets: np.ndarray, names: np.ndarray) -> Part:
    """The part whose sample k is sample ``order[k]`` of ``part``, to be written; x is gathered only then."""
    y, coarse = (None if column is None else column[order] for column in (part.y, part.coarse))
    if part.begin is None:
        return Part(Rows(part.x, order), y, offsets, names, None, coarse)
    begin = np.concatenate([[0], np.cumsum(np.diff(part.begin)[order])]).astype(np.int64)
    return Part(Sequences(part.x, part.begin[:-1], order, begin), y, offsets, names, begin, coarse)
