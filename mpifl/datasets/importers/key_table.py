"""A table in CSV beside the files of the samples: a row says what is known of some of them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mpifl.errors import InputError, counted
from mpifl.io.text import csv_rows

TABS = re.compile(r"\.(tsv|tab)(\.gz|\.xz)?$")


@dataclass(frozen=True)
class KeyTable:
    """The rows of a table by the value of one column, the key. All of it is held."""

    path: Path
    key: str
    rows: Mapping[str, tuple[int, Mapping[str, str]]]
    """By key: the number of the line, and the cells by column."""

    def value(self, key: str, column: str, option: str, location: str) -> str:
        """Return a cell without white space around it.

        Raise InputError for a key without a row, a column that is not there, and an empty cell.
        """
        if key not in self.rows:
            raise InputError(f"{location}: {self.path} has no row whose {self.key} is {key!r}")
        number, cells = self.rows[key]
        if column not in cells:
            raise InputError(
                f"{option}: {column!r}: {self.path} has no such column; it has {', '.join(cells)}"
            )
        if not cells[column]:
            raise InputError(f"{self.path}: line {number}: no {column}")
        return cells[column]


def read_key_table(path: Path, key: str) -> KeyTable:
    """Read a table whose first row names the columns, tabs between them in a .tsv or .tab.

    ``key`` is the column of the keys; "" for the first one. Raise InputError naming file and line.
    """
    lines = csv_rows(path, "\t" if TABS.search(path.name) else ",", whole=True)
    _, header = next(lines, (0, []))
    header = [name.strip() for name in header]
    if not header:
        raise InputError(f"{path}: no rows")
    key = key or header[0]
    if key not in header:
        raise InputError(f"--key: {key!r}: {path} has no such column; it has {', '.join(header)}")

    rows: dict[str, tuple[int, Mapping[str, str]]] = {}
    for number, values in lines:
        if len(values) != len(header):
            raise InputError(
                f"{path}: line {number}: {counted(len(values), 'column')}; the header has"
                f" {len(header)}"
            )
        cells = dict(zip(header, map(str.strip, values), strict=True))
        if cells[key] in rows:
            raise InputError(f"{path}: line {number}: {key} {cells[key]!r} is there already")
        rows[cells[key]] = (number, cells)
    return KeyTable(path, key, rows)
