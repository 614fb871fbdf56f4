"""Rows of CSV files, the columns that options name, and missing values."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import numpy as np

from mpifl.errors import InputError, counted
from mpifl.io.text import csv_rows

BEYOND = (2 - 2**-24) * 2.0**127  # from here on float32 rounds to infinity
EXACT = 2.0**53  # from here on float64 does not tell neighbouring whole numbers apart
TAB_ENDINGS = (".tsv", ".tab")
MOST_NAMES = 30  # in a message


@dataclass(frozen=True)
class Form:
    """The syntax of the rows.

    An empty delimiter is a tab in files that end in ``.tsv`` or ``.tab``, and a comma in others.
    """

    delimiter: str = ""
    header: bool = True
    comment: str = ""
    encoding: str = "utf-8"

    def rows(self, path: Path) -> Iterator[tuple[int, list[str]]]:
        """Yield the rows of a file with its header: line number, and cells without outer spaces.

        Empty lines and comments are skipped. Raise InputError naming file and line.
        """
        name = path.name.removesuffix(".gz").removesuffix(".xz")
        delimiter = self.delimiter or ("\t" if name.endswith(TAB_ENDINGS) else ",")
        rows = csv_rows(path, delimiter, self.comment, self.encoding, delimiter != "\t")
        for number, row in rows:
            yield number, [cell.strip() for cell in row]

    def columns(self, path: Path) -> list[str]:
        """Return the names of the columns; "1", "2", ... if there is no header.

        Raise InputError for an empty file, and for two columns with one name.
        """
        number, first = next(self.rows(path), (0, []))
        if not first:
            raise InputError(f"{path}: no rows")
        if not self.header:
            return [str(column) for column in range(1, len(first) + 1)]
        duplicate = next((name for name in first if first.count(name) > 1), None)
        if duplicate is not None:
            raise InputError(
                f"{path}: line {number}: two columns are named {duplicate!r};"
                " --no-header takes columns by number"
            )
        return first

    def samples(self, path: Path, columns: list[str]) -> Iterator[tuple[int, list[str]]]:
        """Yield the rows without the header.

        Raise InputError for a header with other columns, a row with another number of cells, and a
        file without samples.
        """
        rows = self.rows(path)
        if self.header:
            number, header = next(rows, (0, []))
            if header != columns:
                raise InputError(
                    f"{path}: line {number}: columns {', '.join(header)};"
                    f" the first file has {', '.join(columns)}"
                )

        row: list[str] = []
        for number, row in rows:
            if len(row) != len(columns):
                raise InputError(
                    f"{path}: line {number}: {counted(len(row), 'cell')}; there are"
                    f" {counted(len(columns), 'column')}"
                )
            yield number, row
        if not row:
            raise InputError(f"{path}: no rows")


def column_of(text: str, columns: list[str], option: str) -> int:
    """Return the index (from 0) of a column given by name, or by number from 1.

    Raise InputError naming the option if there is no such column.
    """
    if text in columns:
        return columns.index(text)
    if text.isascii() and text.isdigit() and 1 <= int(text) <= len(columns):
        return int(text) - 1

    names = ", ".join(columns[:MOST_NAMES]) + (", ..." if len(columns) > MOST_NAMES else "")
    raise InputError(
        f"{option}: {text!r}: no such column; there are: {names}, or 1 to {len(columns)}"
    )


def columns_of(texts: list[str], columns: list[str], option: str) -> list[int]:
    """Return the indices of columns; one text may name several, with commas between.

    Raise InputError if there is no such column, or if one is given twice.
    """
    names = [name for text in texts for name in ([text] if text in columns else text.split(","))]
    indices = [column_of(name.strip(), columns, option) for name in names]
    for name, column in zip(names, indices, strict=True):
        if indices.count(column) > 1:
            raise InputError(f"{option}: {name.strip()!r}: given twice")
    return indices


def finite(cell: str) -> float:
    """Return a number that is finite in float32.

    Raise ValueError for anything else, also for ``nan`` and ``1_000``.
    """
    value = float(cell)
    if not -BEYOND < value < BEYOND or "_" in cell:
        raise ValueError(cell)
    return value


def finite_or_nan(cell: str) -> float:
    """Return the number of ``finite``, or NaN where that raises."""
    try:
        return finite(cell)
    except ValueError:
        return math.nan


def exact(cell: str) -> float | int:
    """Return the number of ``finite``; a whole one that a float may miss as int. As it raises."""
    value = finite(cell)
    if abs(value) < EXACT:
        return value
    whole = Decimal(cell)
    return int(whole) if whole == int(whole) else value


def one_spelling(cell: str) -> str:
    """Return a number in one spelling, so that 1.0 and 1 are the same; other text unchanged."""
    try:
        value = exact(cell)
    except ValueError:
        return cell
    if isinstance(value, float) and abs(value) >= EXACT:  # a float would make one of several ids
        return cell
    return str(int(value)) if value == int(value) else repr(value)


def numbered(texts: set[str]) -> dict[str, int]:
    """Number texts from 0: by value if all are numbers, else by text."""
    try:
        in_order = sorted(texts, key=lambda text: (exact(text), text))
    except ValueError:
        in_order = sorted(texts)
    return {text: k for k, text in enumerate(in_order)}


@dataclass(frozen=True)
class Missing:
    """The markers of missing values: in all columns, and by column index.

    A marker that is a number also matches other spellings of that number.
    """

    everywhere: frozenset[str]
    by_column: dict[int, frozenset[str]]

    def mask(self, column: int, cells: list[str]) -> np.ndarray:
        """Return which cells of a column are missing, (cells,) bool."""
        markers = self.everywhere | self.by_column.get(column, frozenset())
        numbers = {value for value in map(finite_or_nan, markers) if not math.isnan(value)}
        if not markers:
            return np.zeros(len(cells), bool)
        if not numbers:
            return np.fromiter((cell in markers for cell in cells), bool, len(cells))
        is_missing = (cell in markers or finite_or_nan(cell) in numbers for cell in cells)
        return np.fromiter(is_missing, bool, len(cells))


def missing_of(markers: list[str], columns: list[str]) -> Missing:
    """Return the markers as the user gives them: TEXT, or COLUMN=TEXT by name or number."""
    everywhere: set[str] = set()
    by_column: dict[int, frozenset[str]] = {}
    for marker in markers:
        column, equals, text = marker.rpartition("=")
        if not equals:
            everywhere.add(marker.strip())
            continue
        index = column_of(column, columns, "--missing")
        by_column[index] = by_column.get(index, frozenset()) | {text.strip()}
    return Missing(frozenset(everywhere), by_column)
