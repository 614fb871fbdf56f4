"""CSV tables of the user's own, told apart by their headers: devices, slots, bandwidth curves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from mpifl.errors import InputError, counted
from mpifl.io.text import csv_rows
from mpifl.traces.bandwidth import Bandwidth
from mpifl.traces.importers.importer import TraceImporter
from mpifl.traces.importers.parsed_trace import ParsedTrace
from mpifl.traces.importers.parsing import numbers, only, shown
from mpifl.traces.labels import LABELS, Labels, check_labels, encoded, name_labels
from mpifl.traces.on_off import DAY_SECONDS
from mpifl.traces.slots import Slots, check_slots, of_counts, without_empty
from mpifl.traces.trace import DEVICE_COLUMNS, MEMORY

SLOTS = ("pattern", "start", "end")
CURVES = ("curve", "start", "download_kbps", "upload_kbps", "period")
NUMBERS = (*DEVICE_COLUMNS, MEMORY)
TABLES = {"devices": (*NUMBERS, *LABELS), "slots": (*SLOTS, "period"), "curves": CURVES}
"""The columns that each kind of table may have."""


@dataclass(frozen=True)
class Table:
    """A CSV file: its columns as text, and the line number of each row."""

    path: Path
    columns: dict[str, list[str]]
    lines: list[int]

    def numbers(self, column: str) -> np.ndarray:
        """Return a column as float64. Raises InputError for values that are not finite numbers."""
        return numbers(self.path, self.columns[column], self.lines, column)


class Csv(TraceImporter):
    """Tables of your own: devices, slots, bandwidth curves.

    Each has a header and is in UTF-8, comma-separated; files and columns may be in any order.

    - devices: one row a phone, columns such as compute_ms_per_sample, named as in a trace; beside
      them texts if you have them: name (of this phone alone), model, country;
    - slots: pattern, start, end, and optionally period, all in seconds. A pattern's rows are
      contiguous and sorted; one row without start and end is a pattern that is never online.
      Without a period it is the smallest number of whole days that holds all ends;
    - curves: curve, start, download_kbps, upload_kbps, period, as in a trace.

    Raises InputError naming file, line or client, column and value.
    """

    files: ClassVar[str] = "TABLE"

    def read(self, paths: Sequence[Path]) -> ParsedTrace:
        only(paths, 1, 3, "a table of devices, of slots, of bandwidth curves, or several of them")

        path_of: dict[str, Path] = {}
        devices: dict[str, np.ndarray] = {}
        slots: Slots | None = None
        bandwidth: Bandwidth | None = None
        labels: dict[str, dict[str, np.ndarray]] = {}
        notes: list[str] = []
        for path in paths:
            table = read_table(path)
            kind = _kind(table)
            if kind in path_of:
                raise InputError(f"{path}: a second table of {kind}; the first is {path_of[kind]}")
            path_of[kind] = path
            if kind == "slots":
                slots, notes = _slots(table)
                labels["patterns"] = name_labels(_groups(table, "pattern")[0])
            elif kind == "curves":
                bandwidth = _curves(table)
            else:
                devices = _devices(table)
                labels["devices"] = _device_labels(table)

        return ParsedTrace(
            f"tables {', '.join(path.name for path in paths)}",
            "as their source says",
            devices,
            slots,
            bandwidth,
            tuple(notes),
            Labels(**labels),
        )


def read_table(path: Path) -> Table:
    """Return a CSV file with a header.

    Raises InputError for rows of different lengths and for a column that occurs twice.
    """
    rows = list(csv_rows(path, whole=True))
    header = [name.strip() for name in rows[0][1]] if rows else []
    if len(rows) < 2:
        raise InputError(
            f"{path}: {counted(len(rows), 'line')}; expected a header and one row or more"
        )
    if len(set(header)) < len(header):
        twice = next(name for name, count in Counter(header).items() if count > 1)
        raise InputError(f"{path}: column {shown(twice)} stands twice")
    for line, row in rows[1:]:
        if len(row) != len(header):
            values = counted(len(row), "value")
            raise InputError(
                f"{path}: line {line}: {values} under {counted(len(header), 'column')}"
            )

    columns = zip(*(row for _, row in rows[1:]), strict=True)
    by_name = dict(zip(header, map(list, columns), strict=True))
    return Table(path, by_name, [line for line, _ in rows[1:]])


def _kind(table: Table) -> str:
    """Return the key of TABLES: "devices" if there are no other columns, else the best match.

    Raises InputError when no kind, or more than one, matches best.
    """
    shared = {kind: len(set(columns) & set(table.columns)) for kind, columns in TABLES.items()}
    if shared["devices"] == len(table.columns):
        return "devices"

    best = [kind for kind, count in shared.items() if count == max(shared.values())]
    if any(shared.values()) and len(best) == 1:
        return best[0]
    known = "; ".join(f"{kind}: {', '.join(columns)}" for kind, columns in TABLES.items())
    raise InputError(
        f"{table.path}: columns {shown(', '.join(table.columns))}: of no known table;"
        f" allowed are {known}"
    )


def _check_columns(table: Table, needed: Sequence[str], allowed: Sequence[str]) -> None:
    for name in table.columns:
        if name not in allowed:
            raise InputError(
                f"{table.path}: column {name!r} is not known; allowed: {', '.join(allowed)}"
            )
    for name in needed:
        if name not in table.columns:
            raise InputError(f"{table.path}: no column {name!r}; needed: {', '.join(needed)}")


def _devices(table: Table) -> dict[str, np.ndarray]:
    """Return the device columns of a table, those of numbers."""
    _check_columns(table, (), TABLES["devices"])
    columns = [column for column in table.columns if column in NUMBERS]
    if not columns:
        raise InputError(
            f"{table.path}: no column of numbers; needed: one or more of {', '.join(NUMBERS)}"
        )
    devices = {column: table.numbers(column) for column in columns}
    for column, values in devices.items():
        _refuse(table, column, ~(values > 0), "must be above 0")
    return devices


def _device_labels(table: Table) -> dict[str, np.ndarray]:
    """Return the labels of a table of devices."""
    texts = [name for name in LABELS if name in table.columns]
    labels = {name: encoded(table.columns[name]) for name in texts}
    check_labels(table.path, Labels(labels), len(table.lines), 0)
    return labels


def _slots(table: Table) -> tuple[Slots, list[str]]:
    """Return the slots of a table, and notes for the user."""
    _check_columns(table, SLOTS, TABLES["slots"])
    names, number = _groups(table, "pattern")
    blank = _blank(table, number)

    filled = np.flatnonzero(~blank)
    lines = [table.lines[row] for row in filled]
    start, end = (
        numbers(table.path, [table.columns[name][row] for row in filled], lines, name)
        for name in ("start", "end")
    )

    notes = []
    if "period" in table.columns:
        period = _of_group(table, "period", number)
    else:
        days = max(1.0, np.ceil(end.max(initial=0.0) / DAY_SECONDS))
        period = np.full(len(names), days * DAY_SECONDS)
        notes.append(
            f"{table.path.name}: no column period; it is {counted(int(days), 'day')},"
            " up to after the last end"
        )

    slots = of_counts(np.bincount(number[filled], minlength=len(names)), start, end, period)
    check_slots(table.path, names, slots)
    kept = without_empty(slots)
    empty = len(start) - len(kept.start)
    if empty:
        notes.append(f"{table.path.name}: {counted(empty, 'slot')} of no length left out")
    return kept, notes


def _blank(table: Table, number: np.ndarray) -> np.ndarray:
    """Return which rows (rows,) have no start and no end.

    ``number`` (rows,) is the pattern of each row. Raises InputError unless such a row is the only
    one of its pattern.
    """
    pairs = zip(table.columns["start"], table.columns["end"], strict=True)
    blank = np.array([not (start.strip() or end.strip()) for start, end in pairs])
    alone = np.bincount(number)[number] == 1
    if (blank & ~alone).any():
        line = table.lines[int(np.argmax(blank & ~alone))]
        raise InputError(
            f"{table.path}: line {line}: no start and no end;"
            " only in the one row of a pattern that is never online"
        )
    return blank


def _curves(table: Table) -> Bandwidth:
    """Return the bandwidth curves of a table."""
    _check_columns(table, CURVES, CURVES)
    names, number = _groups(table, "curve")
    start = table.numbers("start")
    speeds = {name: table.numbers(name) for name in ("download_kbps", "upload_kbps")}
    for name, values in speeds.items():
        _refuse(table, name, ~(values >= 0), "must not be negative")
        most = np.zeros(len(names))
        np.maximum.at(most, number, values)
        if not most.all():
            curve = names[int(np.argmin(most))]
            raise InputError(
                f"{table.path}: curve {curve}: {name} 0 at all times: nothing would ever arrive"
            )

    offsets = np.concatenate([[0], np.cumsum(np.bincount(number))]).astype(np.int64)
    period = _of_group(table, "period", number)
    return Bandwidth(offsets, start, speeds["download_kbps"], speeds["upload_kbps"], period)


def _groups(table: Table, column: str) -> tuple[list[str], np.ndarray]:
    """Return the names in a column, in the order of their first row, and each row's (rows,) name.

    The latter is an index into the names. Raises InputError unless rows of a name are contiguous.
    """
    names: list[str] = []
    number = np.empty(len(table.lines), np.int64)
    seen: set[str] = set()
    for row, text in enumerate(table.columns[column]):
        name = text.strip()
        if not names or name != names[-1]:
            if name in seen:
                raise InputError(
                    f"{table.path}: line {table.lines[row]}: {column} {name} again;"
                    " its rows must stand together"
                )
            seen.add(name)
            names.append(name)
        number[row] = len(names) - 1
    return names, number


def _of_group(table: Table, column: str, number: np.ndarray) -> np.ndarray:
    """Return a value that all rows of a group share, (groups,)."""
    values = table.numbers(column)
    first = values[np.flatnonzero(np.diff(number, prepend=-1))]
    differs = values != first[number]
    _refuse(table, column, differs, f"differs from the rows above it; a group has one {column}")
    _refuse(table, column, ~(values > 0), "must be above 0")
    return first


def _refuse(table: Table, column: str, wrong: np.ndarray, problem: str) -> None:
    """Raise InputError for the first row that is ``wrong`` (rows,)."""
    if wrong.any():
        row = int(np.argmax(wrong))
        value = shown(table.columns[column][row])
        raise InputError(f"{table.path}: line {table.lines[row]}: {column} {value}; {problem}")
