"""FedScale's mappings of samples to clients: a table in CSV, or a pickle {file name: client}."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mpifl.datasets.importers.numbered import Named, Numbered
from mpifl.datasets.importers.patterns import group_of
from mpifl.datasets.importers.streams import text_lines
from mpifl.errors import InputError
from mpifl.io.restricted_pickle import read_pickle

TABLE = re.compile(r"\.csv(\.gz|\.xz)?$")


@dataclass(frozen=True)
class Row:
    """A sample. ``label`` is None where the mapping has no labels, ``label_name`` where it has no names of them."""

    where: str
    client: str
    path: str
    label: str | None
    label_name: str | None = None


@dataclass(frozen=True)
class Columns:
    """What the columns of a table are called; names that are "" are not looked for."""

    client: str
    path: str
    label: str
    label_name: str


@dataclass(frozen=True)
class SampleMap:
    """The rows of one file. ``label_pattern`` finds the label in the path; ``all_one`` lets a table lack clients."""

    path: Path
    columns: Columns
    label_pattern: str | None
    all_one: bool = False
    _pickled: dict[str, Any] = field(default_factory=dict, init=False)

    def rows(self) -> Iterator[Row]:
        """All rows in the order of the source. Raises InputError naming line or key for what is wrong."""
        for row in self._table() if TABLE.search(self.path.name) else self._pickle():
            if self.label_pattern is None:
                yield row
                continue
            try:
                label = group_of(self.label_pattern, "label", row.path)
            except InputError as error:
                raise InputError(f"{row.where}: {error}") from error
            yield Row(row.where, row.client, row.path, label)

    def _table(self) -> Iterator[Row]:
        lines = csv.reader((line for _, line in text_lines(self.path)), strict=True)
        header: list[str] | None = None
        try:
            for values in lines:
                where = f"{self.path}: line {lines.line_num}"
                if header is None:
                    header = values
                    places = self._places(header)
                    continue
                if len(values) != len(header):
                    raise InputError(f"{where}: {len(values)} columns; the header has {len(header)}")
                found = {column: values[place] for column, place in places.items()}
                client = found.get("client", "all")
                if not client:
                    raise InputError(f"{where}: no {self.columns.client}")
                yield Row(where, client, found["path"], found.get("label"), found.get("label_name"))
        except csv.Error as error:
            raise InputError(f"{self.path}: line {lines.line_num}: {error}") from error

    def _places(self, header: list[str]) -> dict[str, int]:
        """Where the columns are."""
        places = {}
        for column, required in (("client", not self.all_one), ("path", True), ("label", False), ("label_name", False)):
            name = getattr(self.columns, column)
            if name in header:
                places[column] = header.index(name)
            elif required:
                there = ", ".join(header)
                raise InputError(f"--{column}: {name!r}: {self.path} has no such column; its header says: {there[:200]}")
        return places

    def _pickle(self) -> Iterator[Row]:
        if not self._pickled:
            found = read_pickle(self.path)
            if not isinstance(found, dict) or not found:
                raise InputError(f"{self.path}: holds {type(found).__name__}; expected a dict of file names and their clients")
            self._pickled.update(found)
        for path, client in self._pickled.items():
            if not isinstance(path, str) or type(client) not in (int, str) or client == "":
                raise InputError(f"{self.path}: {path!r}: {client!r}; expected a file name and its client, a number or a text")
            yield Row(f"{self.path}: {path!r}", str(client), path, None)


class Labels:
    """The classes of a mapping: the source's own numbers where all of train's are whole, else its names in sorted order."""

    def __init__(self, train: Iterable[Row]) -> None:
        found: dict[str, str | None] = {}
        for row in train:
            if row.label is None:
                raise InputError(f"{row.where}: no label; --label names the column, or --label-pattern finds it in the path")
            if found.setdefault(row.label, row.label_name) != row.label_name:
                raise InputError(
                    f"{row.where}: label {row.label} is {row.label_name!r}, and {found[row.label]!r} before;"
                    " --label-name '' leaves names out"
                )
        if not found:
            raise InputError("SOURCE: no samples in the mapping")
        self._numbers = all(label.isdecimal() and len(label) < 10 for label in found)
        self._classes: Numbered | Named = Named([np.array(list(found))])
        if self._numbers:
            names = {int(label): name for label, name in found.items() if name is not None}
            known = [names.get(k, str(k)).encode() for k in range(max(map(int, found)) + 1)] if names else []
            self._classes = Numbered(max(map(int, found)) + 1, np.array(known, "S"))

    @property
    def outputs(self) -> int:
        """How many classes there are."""
        return self._classes.outputs

    @property
    def names(self) -> np.ndarray:
        """(classes,) bytes; empty where they have none."""
        return self._classes.names

    def check(self, part: str, rows: list[Row]) -> np.ndarray:
        """The classes (rows,) int64. Raises InputError naming the row whose label train has not."""
        for row in rows:
            if row.label is None or (self._numbers and not (row.label.isdecimal() and len(row.label) < 10)):
                raise InputError(f"{row.where}: label {row.label!r}; the train part's are whole numbers")
        found = np.array([int(row.label or 0) if self._numbers else row.label for row in rows])
        try:
            return self._classes.check(part, found, rows[0].where)
        except InputError:
            for row, one in zip(rows, found, strict=True):
                self._classes.check(part, np.array([one]), row.where)
            raise
