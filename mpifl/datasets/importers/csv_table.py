"""From the rows of CSV files to features, classes and clients."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from mpifl.datasets.importers.csv_rows import Form, Missing, finite, numbered, one_spelling
from mpifl.datasets.importers.patterns import group_in_value, matched_group
from mpifl.errors import InputError, counted

Fill = Literal["refuse", "mean", "drop"]
CELLS = 1 << 15
"""About how many cells and features are held at once."""


@dataclass(frozen=True)
class Table:
    """The columns of CSV files and their roles, by index.

    ``features`` are all columns that are neither client nor label nor dropped. ``client_pattern``
    finds the client in the cell of ``client``, or in a file's path if there is no such column.
    """

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
    decimal: str

    def chunks(self, files: list[Path], rows: int) -> Iterator[Chunk]:
        """Yield the rows of files in chunks of at most ``rows``, each of one file.

        With ``fill`` drop, rows with missing values are left out.
        """
        for path in files:
            client = None
            if self.client_pattern is not None and self.client is None:
                client = matched_group(self.client_pattern, "client", path.as_posix())
            samples = self.form.samples(path, self.columns)
            while block := list(itertools.islice(samples, rows)):
                yield self._kept(self._chunk(path, client, block))

    def _chunk(self, path: Path, client: str | None, block: list[tuple[int, list[str]]]) -> Chunk:
        for _, row in block:
            for column in self.label:
                row[column] = row[column].removesuffix(self.label_suffix)

        used = [*self.features, *self.label, *([] if self.client is None else [self.client])]
        missing = {
            column: self.missing.mask(column, [row[column] for _, row in block]) for column in used
        }
        lines = [line for line, _ in block]
        return Chunk(path, client, lines, [row for _, row in block], missing)

    def _kept(self, chunk: Chunk) -> Chunk:
        """Return the rows of a chunk that are kept.

        Raise InputError for a missing value that ``fill`` does not allow.
        """
        if self.fill == "drop":
            keep = ~np.logical_or.reduce(list(chunk.missing.values()))
            has_client = np.ones(len(keep), bool)
            if self.client is not None:
                has_client = ~chunk.missing[self.client]
            return Chunk(
                chunk.path,
                chunk.client,
                list(itertools.compress(chunk.lines, keep)),
                list(itertools.compress(chunk.rows, keep)),
                {column: missing[keep] for column, missing in chunk.missing.items()},
                int((~keep).sum()),
                frozenset(itertools.compress(self.clients(chunk), ~keep & has_client)),
            )

        for column, missing in chunk.missing.items():
            if missing.any() and (self.fill == "refuse" or column not in self.features):
                row = int(np.argmax(missing))
                remedy = "only --fill drop helps"
                if self.fill == "refuse":
                    remedy = "--fill says what to do"
                location = self.location(chunk, row, column)
                raise InputError(f"{location}: {chunk.rows[row][column]!r} is missing; {remedy}")
        return chunk

    def location(self, chunk: Chunk, row: int, column: int) -> str:
        """File, line and column, for messages."""
        return f"{chunk.path}: line {chunk.lines[row]}: column {self.columns[column]}"

    def clients(self, chunk: Chunk) -> list[str]:
        """Return the client of each row: its cell, or what the pattern finds in it.

        A row that misses its client keeps the marker. Raise InputError for an empty name, and for a
        cell in which the pattern is not found.
        """
        if self.client is None:
            return [chunk.client or "all"] * len(chunk.rows)
        names = chunk.cells(self.client)
        missing = chunk.missing[self.client]
        if "" in names and not missing[names.index("")]:
            raise InputError(f"{self.location(chunk, names.index(''), self.client)}: no client")
        if self.client_pattern is None:
            return names

        for row in np.flatnonzero(~missing).tolist():
            where = self.location(chunk, row, self.client)
            names[row] = group_in_value(self.client_pattern, "client", names[row], where)
        return names

    def numbers(self, chunk: Chunk, column: int) -> np.ndarray:
        """Return a column of numbers, (rows,) float64, NaN where one is missing.

        Raise InputError naming the first cell that is no finite number.
        """
        cells = chunk.cells(column)
        missing = chunk.missing[column].tolist()
        values = np.empty(len(cells))
        for row, (cell, is_missing) in enumerate(zip(cells, missing, strict=True)):
            try:
                values[row] = np.nan if is_missing else finite(cell.replace(self.decimal, "."))
            except ValueError as error:
                remedy = "--decimal , reads a decimal comma, " if "," in cell else ""
                raise InputError(
                    f"{self.location(chunk, row, column)}: {cell!r} is no finite number; {remedy}"
                    "--categorical makes features of values, --drop leaves the column out,"
                    " --missing declares what stands for a missing value"
                ) from error
        return values

    def values(self, chunk: Chunk, column: int) -> list[str]:
        """Return the cells of a categorical column, each number in one spelling.

        Raise InputError for an empty cell that is not a marker of a missing value.
        """
        cells = chunk.cells(column)
        if "" in cells and not chunk.missing[column][cells.index("")]:
            location = self.location(chunk, cells.index(""), column)
            raise InputError(f"{location}: empty; --missing '' says that it is missing")
        return [one_spelling(cell) for cell in cells]

    def labels(self, chunk: Chunk) -> list[str]:
        """Return the label of each row, each number in one spelling.

        Raise InputError for an empty label, and for a number that is not whole.
        """
        cells = chunk.cells(self.label[0])
        for row, cell in enumerate(cells):
            try:
                is_wrong = not float(cell).is_integer()
            except ValueError:
                is_wrong = not cell
            if is_wrong:
                raise InputError(
                    f"{self.location(chunk, row, self.label[0])}: {cell!r} names no class;"
                    " --task regression and --threshold take numbers"
                )
        return [one_spelling(cell) for cell in cells]


@dataclass(frozen=True)
class Chunk:
    """Rows of one file, with their line numbers.

    ``missing`` holds, by column, which rows miss a value, (rows,) bool. ``dropped`` is the number
    of rows that were left out because of missing values, ``dropped_clients`` are their clients.
    """

    path: Path
    client: str | None
    lines: list[int]
    rows: list[list[str]]
    missing: dict[int, np.ndarray]
    dropped: int = 0
    dropped_clients: frozenset[str] = frozenset()

    def cells(self, column: int) -> list[str]:
        """Return the cells of a column."""
        return [row[column] for row in self.rows]


@dataclass(frozen=True)
class Learned:
    """What is learned from the train part and applied to all parts.

    By column: the numbering of the values of categorical columns, and the means of the others; and
    the numbering of the labels.
    """

    table: Table
    categories: dict[int, dict[str, int]]
    labels: dict[str, int]
    means: dict[int, float]

    @classmethod
    def of(cls, table: Table, files: list[Path], with_labels: bool) -> Learned:
        """Read the train part once. Categories and labels are sorted, numbers by value."""
        values: dict[int, set[str]] = {column: set() for column in table.categorical}
        labels: set[str] = set()
        numeric = [column for column in table.features if column not in table.categorical]
        sums = dict.fromkeys(numeric, 0.0)
        counts = dict.fromkeys(numeric, 0)
        needs_means = table.fill == "mean"

        for chunk in table.chunks(files, max(1, CELLS // len(table.columns))):
            if with_labels:
                labels.update(table.labels(chunk))
            for column, seen in values.items():
                cells = table.values(chunk, column)
                seen.update(itertools.compress(cells, ~chunk.missing[column]))
            for column in numeric if needs_means else []:
                present = ~chunk.missing[column]
                sums[column] += float(table.numbers(chunk, column)[present].sum())
                counts[column] += int(present.sum())

        for column in table.features if needs_means else []:
            if not values.get(column, counts.get(column)):
                raise InputError(
                    f"{files[0]}: column {table.columns[column]}: each value is missing;"
                    " --drop leaves it out"
                )
        categories = {column: numbered(seen) for column, seen in values.items()}
        means = {column: sums[column] / max(1, counts[column]) for column in numeric}
        return cls(table, categories, numbered(labels), means)

    @property
    def widths(self) -> list[int]:
        """Number of features of each of the table's feature columns."""
        return [len(self.categories.get(column, "1")) for column in self.table.features]

    def features(self, chunk: Chunk) -> np.ndarray:
        """Return features (rows, features) float32.

        A number is one feature. A categorical value is one-hot, all 0 if it is missing.
        """
        x = np.zeros((len(chunk.rows), sum(self.widths)), np.float32)
        start = 0
        for column, width in zip(self.table.features, self.widths, strict=True):
            if column in self.categories:
                rows, values = self._values(chunk, column)
                x[rows, start + values] = 1
            else:
                values = self.table.numbers(chunk, column)
                x[:, start] = np.where(chunk.missing[column], self.means[column], values)
            start += width
        return x

    def _values(self, chunk: Chunk, column: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the rows that have a categorical value, and the number of each value."""
        cells = self.table.values(chunk, column)
        rows = np.flatnonzero(~chunk.missing[column])
        known = self.categories[column]
        numbers = np.array([known.get(cells[row], -1) for row in rows], np.int64)
        if (numbers < 0).any():
            row = int(rows[np.argmax(numbers < 0)])
            raise InputError(
                f"{self.table.location(chunk, row, column)}: {cells[row]!r} is not among"
                f" the train part's {counted(len(known), 'value')};"
                f" --missing '{self.table.columns[column]}={cells[row]}' with --fill mean"
                " makes it none of them"
            )
        return rows, numbers

    def classes(self, chunk: Chunk) -> np.ndarray:
        """Return classes (rows,) int64. Raise InputError for a label that train does not have."""
        labels = self.table.labels(chunk)
        numbers = np.array([self.labels.get(label, -1) for label in labels], np.int64)
        if (numbers < 0).any():
            row = int(np.argmax(numbers < 0))
            location = self.table.location(chunk, row, self.table.label[0])
            raise InputError(
                f"{location}: label {labels[row]!r} is not among the"
                f" {len(self.labels)} of the train part"
            )
        return numbers
