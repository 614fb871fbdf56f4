"""FedScale's two pickles: client_device_capacity and client_behave_trace (Lai et al., ICML 2022)."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from mpifl.errors import InputError
from mpifl.io.restricted_pickle import read_pickle
from mpifl.traces.importers.importer import TraceImporter
from mpifl.traces.importers.parsed_trace import ParsedTrace
from mpifl.traces.importers.parsing import only, shown
from mpifl.traces.slots import Slots, check_slots, merged_slots, of_counts, without_empty

CAPACITY = {"compute_ms_per_sample": "computation", "download_kbps": "communication"}
BEHAVE = ("active", "inactive", "finish_time")


class Fedscale(TraceImporter):
    """FedScale's client_device_capacity, and client_behave_trace where there is one, in the order of their entries.

    CAPACITY is {client: {"computation": inference ms a sample, "communication": kbit/s}}; FedScale has one bandwidth for both
    ways. BEHAVE is {client: {"active": [s], "inactive": [s], "finish_time": s, ...}}: online from active[i] until inactive[i],
    repeated every finish_time. Slots of no length, of which the real file has some, are left out; slots that touch, of which it
    has many, become one. Raises InputError naming file, client, key and value.
    """

    files: ClassVar[str] = "CAPACITY [BEHAVE]"

    def read(self, paths: Sequence[Path]) -> ParsedTrace:
        """See TraceImporter."""
        only(paths, 1, 2, "CAPACITY, or CAPACITY and BEHAVE")
        entries = _entries(paths[0], tuple(CAPACITY.values()), "client_device_capacity")
        devices = {column: _column(paths[0], entries, key) for column, key in CAPACITY.items()}
        for column, key in CAPACITY.items():
            wrong = ~(devices[column] > 0)
            if wrong.any():
                client = list(entries)[int(np.argmax(wrong))]
                raise InputError(
                    f"{paths[0]}: client {client}: {key} {entries[client][key]}; must be above 0"
                )
        devices["upload_kbps"] = devices["download_kbps"]
        notes = [f"{paths[0].name} has one bandwidth for both ways: upload_kbps is download_kbps"]
        slots = None
        if len(paths) == 2:
            slots, more = _slots(paths[1])
            notes += more
        return ParsedTrace(
            source=f"FedScale's {' and '.join(path.name for path in paths)}",
            licence="Apache-2.0 (FedScale)",
            devices=devices,
            slots=slots,
            notes=tuple(notes),
        )


def _entries(path: Path, keys: tuple[str, ...], wanted: str) -> dict[Any, dict[str, Any]]:
    """The pickle's entries, each a dictionary that has ``keys``."""
    entries = read_pickle(path)
    if not isinstance(entries, dict) or not entries:
        raise InputError(
            f"{path}: {shown(entries)} at its top; expected {{client: {{{', '.join(map(repr, keys))}}}}}, not empty"
        )
    for client, entry in entries.items():
        if not isinstance(client, int | np.integer | str) or isinstance(client, bool):
            raise InputError(f"{path}: client {shown(client)}; expected a number or a name")
        if not isinstance(entry, dict):
            raise InputError(
                f"{path}: client {client}: {shown(entry)}; expected a dictionary with {', '.join(keys)}"
            )
        for key in keys:
            if key not in entry:
                has = ", ".join(sorted(map(str, entry)))[:80] or "nothing"
                raise InputError(
                    f"{path}: client {client}: no {key!r}, it has {has}; is this a {wanted}?"
                )
    return entries


def _column(path: Path, entries: dict[Any, dict[str, Any]], key: str) -> np.ndarray:
    """One number of every entry, finite, (clients,) float64."""
    values = [entry[key] for entry in entries.values()]
    for client, value in zip(entries, values, strict=True):
        if not _is_number(value):
            raise InputError(f"{path}: client {client}: {key} {shown(value)}; must be a number")
    found = np.array(values, dtype=np.float64)
    wrong = ~np.isfinite(found)
    if wrong.any():
        client = list(entries)[int(np.argmax(wrong))]
        raise InputError(f"{path}: client {client}: {key} {entries[client][key]}; must be finite")
    return found


def _is_number(value: object) -> bool:
    return (
        type(value) is float
        or (type(value) is int and abs(value) < 2**63)
        or isinstance(value, np.integer | np.floating)
    )


def _slots(path: Path) -> tuple[Slots, list[str]]:
    entries = _entries(path, BEHAVE, "client_behave_trace")
    period = _column(path, entries, "finish_time")
    for client, entry in entries.items():
        lists = [entry["active"], entry["inactive"]]
        for key, times in zip(BEHAVE, lists, strict=False):
            if not isinstance(times, list | tuple | np.ndarray) or not all(map(_is_number, times)):
                raise InputError(
                    f"{path}: client {client}: {key} {shown(times)}; must be a list of seconds"
                )
        if len(lists[0]) != len(lists[1]):
            raise InputError(
                f"{path}: client {client}: {len(lists[0])} times in active, {len(lists[1])} in inactive"
            )
    counts = np.array([len(entry["active"]) for entry in entries.values()])
    start, end = (
        np.fromiter(
            itertools.chain.from_iterable(entry[key] for entry in entries.values()),
            np.float64,
            int(counts.sum()),
        )
        for key in ("active", "inactive")
    )
    slots = of_counts(counts, start, end, period)
    check_slots(path, list(entries), slots)
    lasting = without_empty(slots)
    kept = merged_slots(lasting, 0.0)
    empty, touching = len(start) - len(lasting.start), len(lasting.start) - len(kept.start)
    notes = [
        f"{path.name}: {empty} slots of no length left out, {touching} gaps of 0 s closed (slots that touch are one stay),"
        f" {len(kept.start)} slots kept"
    ]
    said = [
        (entry["duration"], entry)
        for entry in entries.values()
        if _is_number(entry.get("duration"))
    ]
    other = sum(
        duration != sum(entry["inactive"]) - sum(entry["active"]) for duration, entry in said
    )
    if other:
        notes.append(
            f"{path.name}: in {other} of {len(said)} entries duration is not the sum of the slots; the slots count"
        )
    return kept, notes
