"""From the rows of CSV files to features, classes and clients."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from mpifl.datasets.importers.csv_rows import Form, Missing, finite, finite_or_nan
from mpifl.datasets.importers.patterns import group_of
from mpifl.errors import InputError

Fill = Literal["refuse", "mean", "drop"]
CELLS = 1 << 15
"""About how many cells and features are held at once."""


@dataclass(frozen=True)
class Table:
    """What the columns of CSV files are, by their place: features are those neither named here nor dropped."""

    form: Form
    columns: list[str]
    client: int | None
    client_pattern: str | None
    label: list[int]
    features: list[int]
    categorical: frozenset[int]
    missing: Missing
    fill: Fill
    label_suffix: str

    def chunks(self, files: list[Path], rows: int) -> Iterator[Chunk]:
        """The rows of files in chunks of at most ``rows``, each of one file; with ``fill`` drop, those that miss nothing."""
        for path in files:
            client = None if self.client_pattern is None else group_of(self.client_pattern, "client", path.as_posix())
            samples = self.form.samples(path, self.columns)
            while block := list(itertools.islice(samples, rows)):
                yield self._kept(self._chunk(path, client, block))

    def _chunk(self, path: Path, client: str | None, block: list[tuple[int, list[str]]]) -> Chunk:
        for _, row in block:
            for column in self.label:
                row[column] = row[column].removesuffix(self.label_suffix)
        used = [*self.features, *self.label, *([] if self.client is None else [self.client])]
        missing = {column: self.missing.among(column, [row[column] for _, row in block]) for column in used}
        return Chunk(path, client, [line for line, _ in block], [row for _, row in block], missing)

    def _kept(self, chunk: Chunk) -> Chunk:
        """What is kept of a chunk. Raises InputError where something is missing that cannot be."""
        if self.fill == "drop":
            keep = ~np.logical_or.reduce(list(chunk.missing.values()))
            named = np.ones(len(keep), bool) if self.client is None else ~chunk.missing[self.client]
            return Chunk(
                chunk.path,
                chunk.client,
                list(itertools.compress(chunk.lines, keep)),
                list(itertools.compress(chunk.rows, keep)),
                {column: gone[keep] for column, gone in chunk.missing.items()},
                int((~keep).sum()),
                frozenset(itertools.compress(self.clients(chunk), ~keep & named)),
            )
        for column, gone in chunk.missing.items():
            if gone.any() and (self.fill == "refuse" or column not in self.features):
                row = int(np.argmax(gone))
                remedy = "--fill says what to do" if self.fill == "refuse" else "only --fill drop helps"
                raise InputError(f"{self.where(chunk, row, column)}: {chunk.rows[row][column]!r} is missing; {remedy}")
        return chunk

    def where(self, chunk: Chunk, row: int, column: int) -> str:
        """File, line and column, for messages."""
        return f"{chunk.path}: line {chunk.lines[row]}: column {self.columns[column]}"

    def clients(self, chunk: Chunk) -> list[str]:
        """The client of each row."""
        if self.client is None:
            return [chunk.client or "all"] * len(chunk.rows)
        names = chunk.cells(self.client)
        if "" in names and not chunk.missing[self.client][names.index("")]:
            raise InputError(f"{self.where(chunk, names.index(''), self.client)}: no client")
        return names

    def numbers(self, chunk: Chunk, column: int) -> np.ndarray:
        """A column of numbers, (rows,) float64, NaN where one is missing. Raises InputError naming the cell that is none."""
        cells, missing = chunk.cells(column), chunk.missing[column].tolist()
        found = np.empty(len(cells))
        for row, (cell, gone) in enumerate(zip(cells, missing, strict=True)):
            try:
                found[row] = np.nan if gone else finite(cell)
            except ValueError as error:
                remedy = "--categorical makes features of values, --drop leaves the column out, --missing names what is none"
                raise InputError(f"{self.where(chunk, row, column)}: {cell!r} is no finite number; {remedy}") from error
        return found

    def values(self, chunk: Chunk, column: int) -> list[str]:
        """A categorical column, numbers in one writing. Raises InputError for an empty cell that is not said to be missing."""
        cells = chunk.cells(column)
        if "" in cells and not chunk.missing[column][cells.index("")]:
            raise InputError(f"{self.where(chunk, cells.index(''), column)}: empty; --missing '' says that it is missing")
        return [_one_writing(cell) for cell in cells]

    def labels(self, chunk: Chunk) -> list[str]:
        """The label of each row, numbers in one writing. Raises InputError for numbers that are not whole, and for nothing."""
        cells = chunk.cells(self.label[0])
        for row, cell in enumerate(cells):
            try:
                wrong = not float(cell).is_integer()
            except ValueError:
                wrong = not cell
            if wrong:
                remedy = "--task regression and --threshold take numbers"
                raise InputError(f"{self.where(chunk, row, self.label[0])}: {cell!r} names no class; {remedy}")
        return [_one_writing(cell) for cell in cells]


def _one_writing(cell: str) -> str:
    """Text as it is, but 1.0 and 1 as the same."""
    value = finite_or_nan(cell)
    if value != value:
        return cell
    return str(int(value)) if value.is_integer() else repr(value)


@dataclass(frozen=True)
class Chunk:
    """Rows of one file, with their line numbers. ``missing`` (rows,) bool says by column which are.

    ``dropped`` rows with missing values have been left out; they were of the clients ``losers``.
    """

    path: Path
    client: str | None
    lines: list[int]
    rows: list[list[str]]
    missing: dict[int, np.ndarray]
    dropped: int = 0
    losers: frozenset[str] = frozenset()

    def cells(self, column: int) -> list[str]:
        """The cells of a column."""
        return [row[column] for row in self.rows]


@dataclass(frozen=True)
class Learned:
    """What both parts take from the train part: values of categorical columns, labels, sums of the other columns."""

    table: Table
    categories: dict[int, dict[str, int]]
    labels: dict[str, int]
    means: dict[int, float]

    @classmethod
    def of(cls, table: Table, files: list[Path], with_labels: bool) -> Learned:
        """Read the train part once. Categories and labels are in sorted order, numbers by value."""
        values: dict[int, set[str]] = {column: set() for column in table.categorical}
        labels: set[str] = set()
        numbers = [column for column in table.features if column not in table.categorical]
        sums, counts = dict.fromkeys(numbers, 0.0), dict.fromkeys(numbers, 0)
        for chunk in table.chunks(files, max(1, CELLS // len(table.columns))):
            if with_labels:
                labels.update(table.labels(chunk))
            for column, found in values.items():
                found.update(itertools.compress(table.values(chunk, column), ~chunk.missing[column]))
            for column in numbers if table.fill == "mean" else []:
                there = ~chunk.missing[column]
                sums[column] += float(table.numbers(chunk, column)[there].sum())
                counts[column] += int(there.sum())
        for column in table.features if table.fill == "mean" else []:
            if not values.get(column, counts.get(column)):
                raise InputError(f"{files[0]}: column {table.columns[column]}: each value is missing; --drop leaves it out")
        means = {column: sums[column] / max(1, counts[column]) for column in numbers}
        return cls(table, {column: _numbered(found) for column, found in values.items()}, _numbered(labels), means)

    @property
    def widths(self) -> list[int]:
        """How many features each of the table's feature columns makes."""
        return [len(self.categories.get(column, "1")) for column in self.table.features]

    def features(self, chunk: Chunk) -> np.ndarray:
        """(rows, features) float32: a number as it is, a value of a categorical column as 0s and a 1 (all 0 where missing)."""
        found = np.zeros((len(chunk.rows), sum(self.widths)), np.float32)
        start = 0
        for column, width in zip(self.table.features, self.widths, strict=True):
            if column in self.categories:
                rows, values = self._values(chunk, column)
                found[rows, start + values] = 1
            else:
                values = self.table.numbers(chunk, column)
                found[:, start] = np.where(chunk.missing[column], self.means[column], values)
            start += width
        return found

    def _values(self, chunk: Chunk, column: int) -> tuple[np.ndarray, np.ndarray]:
        """The rows where a categorical value is there, and which it is."""
        cells, rows = self.table.values(chunk, column), np.flatnonzero(~chunk.missing[column])
        known = self.categories[column]
        found = np.array([known.get(cells[row], -1) for row in rows], np.int64)
        if (found < 0).any():
            row = int(rows[np.argmax(found < 0)])
            raise InputError(
                f"{self.table.where(chunk, row, column)}: {cells[row]!r} is not among the train part's {len(known)} values;"
                f" --missing '{self.table.columns[column]}={cells[row]}' with --fill mean makes it none of them"
            )
        return rows, found

    def classes(self, chunk: Chunk) -> np.ndarray:
        """(rows,) int64. Raises InputError for a label that train has not."""
        labels = self.table.labels(chunk)
        found = np.array([self.labels.get(label, -1) for label in labels], np.int64)
        if (found < 0).any():
            row = int(np.argmax(found < 0))
            where = self.table.where(chunk, row, self.table.label[0])
            raise InputError(f"{where}: label {labels[row]!r} is not among the {len(self.labels)} of the train part")
        return found


def _numbered(texts: set[str]) -> dict[str, int]:
    """Numbers from 0 by value where all texts are numbers, else by text."""
    values = {text: finite_or_nan(text) for text in texts}
    numeric = all(value == value for value in values.values())
    return {text: k for k, text in enumerate(sorted(texts, key=lambda text: (values[text] if numeric else 0, text)))}
