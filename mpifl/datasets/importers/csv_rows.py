"""Rows of CSV files, and which of their columns is what."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mpifl.datasets.importers.streams import text_lines
from mpifl.errors import InputError

BEYOND = (2 - 2**-24) * 2.0**127  # from here on float32 rounds to infinity
TAB_ENDINGS = (".tsv", ".tab")
MOST_NAMES = 30  # in a message


@dataclass(frozen=True)
class Form:
    """How rows are written. An empty delimiter means a tab in files that end in ``.tsv`` or ``.tab``, else a comma."""

    delimiter: str = ""
    header: bool = True
    comment: str = ""
    encoding: str = "utf-8"

    def rows(self, path: Path) -> Iterator[tuple[int, list[str]]]:
        """The rows of a file, its header too, as line numbers and cells without white space around them.

        Empty lines and comments are passed over. Raises InputError naming file and line.
        """
        last = 0

        def lines() -> Iterator[str]:
            nonlocal last
            for number, line in text_lines(path, self.encoding):
                last = number
                if not (self.comment and line.startswith(self.comment)):
                    yield line + "\n"

        plain = path.name.removesuffix(".gz").removesuffix(".xz")
        delimiter = self.delimiter or ("\t" if plain.endswith(TAB_ENDINGS) else ",")
        try:
            for row in csv.reader(lines(), delimiter=delimiter, skipinitialspace=delimiter != "\t", strict=True):
                if row:
                    yield last, [cell.strip() for cell in row]
        except csv.Error as error:
            raise InputError(f"{path}: line {last}: {error}") from error

    def columns(self, path: Path) -> list[str]:
        """The names of the columns; "1" and so on where there is no header. Raises InputError for an empty file."""
        number, first = next(self.rows(path), (0, []))
        if not first:
            raise InputError(f"{path}: no rows")
        if not self.header:
            return [str(column) for column in range(1, len(first) + 1)]
        twice = next((name for name in first if first.count(name) > 1), None)
        if twice is not None:
            raise InputError(f"{path}: line {number}: column {twice!r} is there twice; --no-header takes columns by number")
        return first

    def samples(self, path: Path, columns: list[str]) -> Iterator[tuple[int, list[str]]]:
        """The rows without the header. Raises InputError for other columns, a row with more or fewer of them, or no rows."""
        rows = self.rows(path)
        row: list[str] = []
        if self.header:
            number, found = next(rows, (0, []))
            if found != columns:
                raise InputError(f"{path}: line {number}: columns {', '.join(found)}; the first file has {', '.join(columns)}")
        for number, row in rows:
            if len(row) != len(columns):
                raise InputError(f"{path}: line {number}: {len(row)} cells; there are {len(columns)} columns")
            yield number, row
        if not row:
            raise InputError(f"{path}: no rows")


def column_of(text: str, columns: list[str], option: str) -> int:
    """The place (from 0) of a column that is given by name, or by number from 1. Raises InputError when there is none."""
    if text in columns:
        return columns.index(text)
    if text.isascii() and text.isdigit() and 1 <= int(text) <= len(columns):
        return int(text) - 1
    names = ", ".join(columns[:MOST_NAMES]) + (", ..." if len(columns) > MOST_NAMES else "")
    raise InputError(f"{option}: {text!r}: no such column; there are: {names}, or 1 to {len(columns)}")


def columns_of(texts: list[str], columns: list[str], option: str) -> list[int]:
    """The places of columns, some of which may stand in one text with commas between. Raises InputError, also for one twice."""
    names = [name for text in texts for name in ([text] if text in columns else text.split(","))]
    found = [column_of(name.strip(), columns, option) for name in names]
    for name, column in zip(names, found, strict=True):
        if found.count(column) > 1:
            raise InputError(f"{option}: {name.strip()!r}: given twice")
    return found


def finite(cell: str) -> float:
    """A number that float32 holds. Raises ValueError for anything else (``nan`` and ``1_000`` too)."""
    found = float(cell)
    if not -BEYOND < found < BEYOND or "_" in cell:
        raise ValueError(cell)
    return found


def finite_or_nan(cell: str) -> float:
    """The same, or NaN."""
    try:
        return finite(cell)
    except ValueError:
        return math.nan


@dataclass(frozen=True)
class Missing:
    """What stands for a missing value: texts, and numbers however they are written, in all columns or (by place) in one."""

    everywhere: frozenset[str]
    inside: dict[int, frozenset[str]]

    def among(self, column: int, cells: list[str]) -> np.ndarray:
        """Which cells of a column are missing, (cells,) bool."""
        texts = self.everywhere | self.inside.get(column, frozenset())
        numbers = {value for value in map(finite_or_nan, texts) if not math.isnan(value)}
        if not texts:
            return np.zeros(len(cells), bool)
        if not numbers:
            return np.fromiter((cell in texts for cell in cells), bool, len(cells))
        return np.fromiter((cell in texts or finite_or_nan(cell) in numbers for cell in cells), bool, len(cells))


def missing_of(markers: list[str], columns: list[str]) -> Missing:
    """Markers as the user gives them: a text, or COLUMN=TEXT where that is a column's name or number."""
    everywhere: set[str] = set()
    inside: dict[int, frozenset[str]] = {}
    for marker in markers:
        column, equals, text = marker.rpartition("=")
        if not equals:
            everywhere.add(marker.strip())
            continue
        place = column_of(column, columns, "--missing")
        inside[place] = inside.get(place, frozenset()) | {text.strip()}
    return Missing(frozenset(everywhere), inside)
