"""FedScale's mappings of samples to clients: a CSV table, or a pickle {file name: client}."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mpifl.datasets.importers.numbered import Named, Numbered, are_class_numbers, is_number
from mpifl.datasets.importers.patterns import matched_group
from mpifl.errors import InputError, counted
from mpifl.io.restricted_pickle import read_pickle
from mpifl.io.text import csv_rows

TABLE = re.compile(r"\.csv(\.gz|\.xz)?$")


@dataclass(frozen=True)
class Row:
    """A sample. ``label`` and ``label_name`` are None if the mapping has none."""

    location: str
    client: str
    path: str
    label: str | None
    label_name: str | None = None


@dataclass(frozen=True)
class Columns:
    """The names of a table's columns; "" for a column that is not read."""

    client: str
    path: str
    label: str
    label_name: str


@dataclass(frozen=True)
class SampleMap:
    """The mapping in one file.

    ``label_pattern`` finds the label in the path. ``all_one`` allows a table without clients.
    """

    path: Path
    columns: Columns
    label_pattern: str | None
    all_one: bool = False
    _pickled: dict[str, Any] = field(default_factory=dict, init=False)

    def rows(self) -> Iterator[Row]:
        """Yield all rows in the order of the source. Raise InputError naming line or key."""
        for row in self._table() if TABLE.search(self.path.name) else self._pickle():
            if self.label_pattern is None:
                yield row
                continue
            try:
                label = matched_group(self.label_pattern, "label", row.path)
            except InputError as error:
                raise InputError(f"{row.location}: {error}") from error
            yield Row(row.location, row.client, row.path, label)

    def _table(self) -> Iterator[Row]:
        rows = csv_rows(self.path)
        _, header = next(rows, (0, []))
        if not header:
            raise InputError(f"{self.path}: no rows")
        indices = self._indices(header)

        for number, values in rows:
            location = f"{self.path}: line {number}"
            if len(values) != len(header):
                raise InputError(
                    f"{location}: {counted(len(values), 'column')}; the header has {len(header)}"
                )

            cells = {column: values[index] for column, index in indices.items()}
            client = cells.get("client", "all")
            if not client:
                raise InputError(f"{location}: no {self.columns.client}")
            yield Row(location, client, cells["path"], cells.get("label"), cells.get("label_name"))

    def _indices(self, header: list[str]) -> dict[str, int]:
        """Return the index of each column that the header has."""
        indices = {}
        for column, required in (
            ("client", not self.all_one),
            ("path", True),
            ("label", False),
            ("label_name", False),
        ):
            name = getattr(self.columns, column)
            if name in header:
                indices[column] = header.index(name)
            elif required:
                names = ", ".join(header)[:200]
                raise InputError(
                    f"--{column}: {name!r}: {self.path} has no such column; its header is: {names}"
                )
        return indices

    def _pickle(self) -> Iterator[Row]:
        if not self._pickled:
            content = read_pickle(self.path)
            if not isinstance(content, dict) or not content:
                raise InputError(
                    f"{self.path}: holds {type(content).__name__};"
                    " expected a dict of file names and their clients"
                )
            self._pickled.update(content)

        for path, client in self._pickled.items():
            if not isinstance(path, str) or type(client) not in (int, str) or client == "":
                raise InputError(
                    f"{self.path}: {path!r}: {client!r};"
                    " expected a file name and its client, a number or a text"
                )
            yield Row(f"{self.path}: {path!r}", str(client), path, None)


class Labels:
    """The classes of a mapping.

    They are the source's own numbers if all of train's are whole, and its sorted names otherwise.
    """

    def __init__(self, train: Iterable[Row]) -> None:
        names_by_label: dict[str, str | None] = {}
        for row in train:
            if row.label is None:
                raise InputError(
                    f"{row.location}: no label; --label names the column,"
                    " or --label-pattern finds it in the path"
                )
            first_name = names_by_label.setdefault(row.label, row.label_name)
            if first_name != row.label_name:
                raise InputError(
                    f"{row.location}: label {row.label} is {row.label_name!r},"
                    f" and {first_name!r} before; --label-name '' leaves names out"
                )
        if not names_by_label:
            raise InputError("SOURCE: no samples in the mapping")

        self._are_numbers = are_class_numbers(names_by_label)
        self._classes: Numbered | Named = Named([np.array(list(names_by_label))])
        if self._are_numbers:
            count = max(map(int, names_by_label)) + 1
            names = {int(label): name for label, name in names_by_label.items() if name is not None}
            known = [names.get(k, str(k)).encode() for k in range(count)] if names else []
            self._classes = Numbered(count, np.array(known, "S"))

    @property
    def outputs(self) -> int:
        """Number of classes."""
        return self._classes.outputs

    @property
    def names(self) -> np.ndarray:
        """(classes,) bytes; empty if they have no names."""
        return self._classes.names

    def check(self, part: str, rows: list[Row]) -> np.ndarray:
        """Return the classes (rows,) int64.

        Raise InputError naming the row whose label train does not have.
        """
        for row in rows:
            if row.label is None or (self._are_numbers and not is_number(row.label)):
                raise InputError(
                    f"{row.location}: label {row.label!r}; the train part's are whole numbers"
                )

        labels = np.array([int(row.label or 0) if self._are_numbers else row.label for row in rows])
        try:
            return self._classes.check(part, labels, rows[0].location)
        except InputError:
            # check row by row, to name the wrong one
            for row, label in zip(rows, labels, strict=True):
                self._classes.check(part, np.array([label]), row.location)
            raise
