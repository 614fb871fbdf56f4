"""All updates of a round, spread over the ranks by columns.

An update is a row. A rank that trained a client has its whole row; for a rule every executor gets
whole columns instead, in fixed blocks of BLOCK coordinates, a few at a time. A block is computed
alike whichever rank has it, so results do not depend on the ranks. A rank needs O(updates x BLOCK)
memory for columns, besides the rows that it holds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from mpifl.aggregation.column_exchange import exchanged
from mpifl.aggregation.exact_products import from_limbs, limbs
from mpifl.errors import Diverged, TrainingError, counted

if TYPE_CHECKING:
    from mpifl.mpi.world import World  # reading a job, which imports its rule, needs no MPI

BLOCK = 4096
"""Coordinates of a block of columns."""

STEP_BYTES = 1 << 25
"""About how much of the columns a rank gets at a time."""

ROUNDING = 1e-9
"""The sum of the updates' weights may be that much above 1."""


Change = Callable[[slice, np.ndarray], np.ndarray]
"""What a view makes of a block: from its place and columns (rows, width) to (other rows, width)."""


@dataclass(frozen=True)
class Weights:
    """What updates become: their sum with new ``weights`` (n,) float64."""

    weights: np.ndarray

    @property
    def taken(self) -> np.ndarray:
        """Which updates count, (n,) bool."""
        return self.weights > 0


@dataclass(frozen=True)
class Columns:
    """What updates become: ``values`` (size,) float64, 0 in the columns that other ranks have.

    ``taken`` (n,) bool says which updates count, None where a rule decides by coordinate.
    """

    values: np.ndarray
    taken: np.ndarray | None = None


Aggregate = Weights | Columns


@dataclass(frozen=True)
class Rows:
    """Where the updates of a round are.

    Attributes:
        held: This rank's own, by row: (size,) float32.
        rank_of: The rank that holds each row (n,) int64.
        size: Entries of an update: all arrays that are summed, and the averaged buffers.
        compared: How many of them count in distances: those of the first array.
        averaged: How many of them, the last ones, are averaged buffers.
        reference: Whether the last row is no update but the rule's reference.
    """

    held: Mapping[int, np.ndarray]
    rank_of: np.ndarray
    size: int
    compared: int
    averaged: int = 0
    reference: bool = False


@dataclass(frozen=True)
class Updates:
    """The updates of a round as an aggregation rule sees them: rows in the order of the clients.

    Every method is collective: all ranks call it, in the same order.

    Attributes:
        world: The ranks.
        rows: Where the updates are.
        weights: Their weights in the mean (n,) float64. They add up to 1, or to less where late
            updates count less or an algorithm has several sums. That of a reference is 0.
        changes: What is made of each block before the rule sees it.
        origin: The row that stands for each update, (updates,); None where that is its own.
        histories: The sums of all updates that these clients have sent so far, this one included
            (rows as of the updates), of a rule that remembers; else None.
        staleness: How many versions each update is late (n,) int; None where none is.
    """

    world: World
    rows: Rows
    weights: np.ndarray
    changes: tuple[Change, ...] = ()
    origin: np.ndarray | None = None
    histories: Updates | None = None
    staleness: np.ndarray | None = None

    @property
    def late(self) -> np.ndarray:
        """``staleness``, or zeros."""
        return np.zeros(len(self), np.int64) if self.staleness is None else self.staleness

    def __len__(self) -> int:
        """Return how many rows there are."""
        return len(self.weights)

    def weighted(self, weights: np.ndarray) -> Aggregate:
        """Return the updates' sum with other weights (n,), each from 0 to 1, together 1 or less.

        Raises TrainingError for weights of another shape, or of which one is NaN.
        """
        if weights.shape != self.weights.shape or np.isnan(weights).any():
            raise TrainingError(
                f"aggregation: updates.weighted was given weights of shape {weights.shape},"
                f" {np.isnan(weights).sum()} of them NaN; expected a number for each of"
                f" {counted(len(self), 'update')}"
            )
        if not (self.changes or self.rows.reference):
            rounded = np.where(weights < 1 + ROUNDING, np.minimum(weights, 1.0), weights)
            return Weights(rounded)
        return self.combined(weights / self.weights.sum(), averaged=weights)

    def combined(self, factors: np.ndarray, averaged: np.ndarray | None = None) -> Columns:
        """Return the sum of the rows times ``factors`` (n,), which may be any numbers.

        Averaged buffers, which are values, become their mean with the weights ``averaged`` (n,)
        instead; default: their own.
        """
        means = self.weights if averaged is None or not averaged.any() else averaged
        columns = self.columns(
            lambda block: summed(block, factors),
            averaged=lambda block: summed(block, means / means.sum()),
        )
        return Columns(columns.values, self._taken(factors != 0))

    def everywhere(self) -> np.ndarray:
        """Return all rows (n, size) float32, on every rank: whole models, as many as updates."""
        size = self.rows.size
        whole = np.zeros((len(self), size + size % 2), np.float32)
        for place, block in self._blocks(size):
            whole[:, place] = block
        self.world.sum_to_all(whole.view(np.int64))  # every other rank has 0
        return whole[:, :size]

    def columns(
        self,
        function: Callable[[np.ndarray], np.ndarray],
        among: np.ndarray | None = None,
        averaged: Callable[[np.ndarray], np.ndarray] | None = None,
    ) -> Columns:
        """Return what a function makes of each column.

        Args:
            function: Takes columns (n, any) float32 or float64 and returns a value for each,
                (any,). It must make the same of a column whichever others come with it.
            among: The rows that the function gets, (m,) integers or (n,) bool; default: all.
            averaged: The same for the columns of averaged buffers, which are values and no
                differences; default: ``function``.
        """
        values = np.zeros(self.rows.size)
        stop = self.rows.size - self.rows.averaged
        for place, block in self._blocks(self.rows.size):
            rows = block if among is None else block[among]
            if averaged is None or place.stop <= stop:
                values[place] = function(rows)
                continue
            before = max(0, stop - place.start)
            if before:
                values[place.start : stop] = function(rows[:, :before])
            values[place.start + before : place.stop] = averaged(rows[:, before:])
        if among is None:
            return Columns(values)
        taken = np.zeros(len(self), bool)
        taken[among] = True
        return Columns(values, self._taken(taken))

    @cached_property
    def products(self) -> np.ndarray:
        """The inner products of the updates (n, n) float64, of the first array that is uploaded.

        Those of a block are float64, and the blocks' are added exactly.
        """
        total = limbs(np.zeros((len(self), len(self))))
        for _, block in self._blocks(self.rows.compared):
            wide = block.astype(np.float64)
            try:
                total += limbs(wide @ wide.T)
            except ValueError as error:
                raise Diverged(
                    f"aggregation: updates are too long to be compared: {error}"
                ) from error
        self.world.sum_to_all(total)
        return from_limbs(total)

    @property
    def distances(self) -> np.ndarray:
        """The squared Euclidean distances of the updates, (n, n) float64."""
        norms = self.products.diagonal()
        squared = norms[:, None] + norms[None, :] - 2 * self.products
        distances: np.ndarray = np.maximum(squared, 0.0)
        return distances

    @cached_property
    def norms(self) -> np.ndarray:
        """The Euclidean norms of the updates, (n,) float64, of the first array that is uploaded.

        Each is computed by the rank that holds the row: no columns are exchanged, unless this is a
        view.
        """
        if self.changes:
            lengths: np.ndarray = np.sqrt(self.products.diagonal())
            return lengths
        norms = np.zeros(len(self))
        for row, vector in self.rows.held.items():
            compared = vector[: self.rows.compared]
            norms[row] = np.sqrt(np.square(compared, dtype=np.float64).sum())
        self.world.sum_to_all(norms.view(np.int64))  # every other rank has 0
        return norms

    def changed(
        self, change: Change, weights: np.ndarray, origin: np.ndarray | None = None
    ) -> Updates:
        """Return a view in which each block is changed when it is looked at.

        Args:
            change: What is made of a block; it has to depend on the block and its place only.
            weights: Those of the rows that it makes.
            origin: The row that stands for each update, (updates,); default: as before.
        """
        where = self.origin if origin is None else origin
        return replace(self, weights=weights, changes=(*self.changes, change), origin=where)

    def _taken(self, rows: np.ndarray) -> np.ndarray:
        """Return which updates count, given which rows do (n,) bool."""
        there = len(self) - self.rows.reference
        taken: np.ndarray = rows[:there] if self.origin is None else rows[self.origin]
        return taken

    def _blocks(self, stop: int) -> Iterator[tuple[slice, np.ndarray]]:
        """Yield this rank's blocks of the columns before ``stop``: where each lies, and (n, width).

        With the changes of a view.

        All ranks take the same number of steps. Executors have the blocks in turn.
        """
        world = self.world
        begins = np.arange(0, stop, BLOCK)
        count = len(self.rows.rank_of)
        at_once = world.executors * max(1, STEP_BYTES // (4 * BLOCK * count))
        by_rank = np.argsort(self.rows.rank_of, kind="stable")
        place = np.argsort(by_rank, kind="stable")

        for first in range(0, len(begins), at_once):
            blocks = [
                slice(begin, min(begin + BLOCK, stop))
                for begin in begins[first : first + at_once].tolist()
            ]
            owners = world.size - world.executors + np.arange(len(blocks)) % world.executors
            received = exchanged(world, self.rows.held, self.rows.rank_of, blocks, owners)
            for block, values in zip(
                (block for block, rank in zip(blocks, owners, strict=True) if rank == world.rank),
                received,
                strict=True,
            ):
                columns = values[place]
                for change in self.changes:
                    columns = change(block, columns)
                yield block, columns


def summed(columns: np.ndarray, factors: np.ndarray) -> np.ndarray:
    """Return the sum (width,) float64 of rows (n, width) times ``factors`` (n,), in their order."""
    total: np.ndarray = (columns.astype(np.float64) * factors[:, None]).sum(axis=0)
    return total
