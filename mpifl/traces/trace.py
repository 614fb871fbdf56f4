"""Device traces in HDF5: how fast phones are, and when they are online.

Layout, schema version 1 (``docs/formats.md`` says it for users)::

    attributes             format="mpifl-trace" schema_version name source licence content_sha256
    compute_ms_per_sample  (devices,) float64  milliseconds of inference a sample, FedScale's measure
    download_kbps          (devices,) float64  kbit/s, 1 kbit = 1000 bit
    upload_kbps            (devices,) float64
    compute_watts          (devices,) float64  power while training
    download_joules_per_byte, upload_joules_per_byte  (devices,) float64  energy of the radio
    availability/offsets   (patterns + 1,) int64; pattern k has slots offsets[k] to offsets[k + 1]
    availability/start     (slots,) float64  seconds into the period; online from start ...
    availability/end       (slots,) float64  ... until just before end
    availability/period    (patterns,) float64  seconds after which the pattern repeats
    bandwidth/...          offsets, start, download_kbps, upload_kbps, period: see Bandwidth; the group may be missing
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from mpifl.errors import InputError
from mpifl.io.files import whole_file
from mpifl.io.hdf5 import content_sha256, hdf5_errors, mapped, open_hdf5, writing_hdf5
from mpifl.traces.bandwidth import COLUMNS as BANDWIDTH_COLUMNS
from mpifl.traces.bandwidth import Bandwidth, check_bandwidth
from mpifl.traces.slots import Slots, merged_slots

FORMAT = "mpifl-trace"
SCHEMA_VERSION = 1
DEVICE_COLUMNS = (
    "compute_ms_per_sample",
    "download_kbps",
    "upload_kbps",
    "compute_watts",
    "download_joules_per_byte",
    "upload_joules_per_byte",
)


@dataclass(frozen=True)
class Trace:
    """Devices and availability patterns; see the module's layout for shapes and units.

    There may be more of one than of the other: client with phone p has device p mod devices, pattern p mod patterns, and where
    there are curves of ``bandwidth`` the speeds of curve p mod curves instead of its device's.
    """

    name: str
    source: str
    licence: str
    compute_ms_per_sample: np.ndarray
    download_kbps: np.ndarray
    upload_kbps: np.ndarray
    compute_watts: np.ndarray
    download_joules_per_byte: np.ndarray
    upload_joules_per_byte: np.ndarray
    offsets: np.ndarray
    start: np.ndarray
    end: np.ndarray
    period: np.ndarray
    bandwidth: Bandwidth = field(default_factory=Bandwidth)
    content_sha256: str = ""

    @property
    def devices(self) -> int:
        """How many devices there are."""
        return len(self.compute_ms_per_sample)

    @property
    def patterns(self) -> int:
        """How many availability patterns there are."""
        return len(self.period)


def write_trace(path: Path, trace: Trace) -> None:
    """Check and write a trace; the file appears only when it is complete. Raises InputError as check_trace does, and DiskFull."""
    check_trace(path, trace)
    with whole_file(path) as partial:
        with writing_hdf5(partial) as file:
            file.attrs["format"], file.attrs["schema_version"] = FORMAT, SCHEMA_VERSION
            file.attrs["name"], file.attrs["source"], file.attrs["licence"] = trace.name, trace.source, trace.licence
            for column in DEVICE_COLUMNS:
                file[column] = getattr(trace, column).astype(np.float64)
            group = file.create_group("availability")
            group["offsets"] = trace.offsets.astype(np.int64)
            for column in ("start", "end", "period"):
                group[column] = getattr(trace, column).astype(np.float64)
            if trace.bandwidth.curves:
                group = file.create_group("bandwidth")
                group["offsets"] = trace.bandwidth.offsets.astype(np.int64)
                for column in BANDWIDTH_COLUMNS:
                    group[column] = getattr(trace.bandwidth, column).astype(np.float64)
        with writing_hdf5(partial, "r+") as file:
            file.attrs["content_sha256"] = content_sha256(file)


def open_trace(path: Path) -> Trace:
    """Map and check a trace of ``write_trace``. Raises InputError naming the file and what is wrong in it."""
    with open_hdf5(path, FORMAT, SCHEMA_VERSION) as file, hdf5_errors(path):
        slots = file["availability"]
        columns = {column: mapped(file[column], column) for column in DEVICE_COLUMNS}
        columns |= {column: mapped(slots[column], column) for column in ("offsets", "start", "end", "period")}
        curves = {}
        if "bandwidth" in file:
            group = file["bandwidth"]
            curves = {column: mapped(group[column], f"bandwidth/{column}") for column in ("offsets", *BANDWIDTH_COLUMNS)}
        attributes: dict[str, Any] = {key: file.attrs[key] for key in ("name", "source", "licence", "content_sha256")}
    for column, values in [*columns.items(), *curves.items()]:
        if values.ndim != 1 or values.dtype != (np.int64 if column == "offsets" else np.float64):
            raise InputError(f"{path}: {column} is {values.dtype} {values.shape}; expected a column of float64")
    trace = Trace(**(attributes | columns), bandwidth=Bandwidth(**curves))
    check_trace(path, trace)
    return trace


def check_trace(where: Path | str, trace: Trace) -> None:
    """Raise InputError naming trace, device or pattern, and value, for anything that the clock cannot rely on."""
    if trace.devices == 0 or trace.patterns == 0:
        raise InputError(f"{where}: {trace.devices} devices, {trace.patterns} availability patterns; each needs 1 or more")
    for column in DEVICE_COLUMNS:
        values = getattr(trace, column)
        if len(values) != trace.devices:
            raise InputError(f"{where}: {column} has {len(values)} devices, compute_ms_per_sample {trace.devices}")
        wrong = ~(np.isfinite(values) & (values > 0))
        if wrong.any():
            device = int(np.argmax(wrong))
            raise InputError(f"{where}: device {device}: {column} {values[device]}; must be finite and above 0")
    _check_slots(where, trace)
    check_bandwidth(where, trace.bandwidth)


def merged(trace: Trace, gap_seconds: float) -> Trace:
    """The trace with slots of a pattern joined where no more than ``gap_seconds`` lie between them (not across its border)."""
    slots = merged_slots(Slots(trace.offsets, trace.start, trace.end, trace.period), gap_seconds)
    return replace(trace, offsets=slots.offsets, start=slots.start, end=slots.end)


def _check_slots(where: Path | str, trace: Trace) -> None:
    offsets, start, end = trace.offsets, trace.start, trace.end
    if len(offsets) != trace.patterns + 1 or offsets[0] != 0 or offsets[-1] != len(start) or len(start) != len(end):
        raise InputError(f"{where}: availability offsets do not span its {len(start)} slots and {trace.patterns} patterns")
    if (np.diff(offsets) < 0).any():
        raise InputError(f"{where}: pattern {int(np.argmax(np.diff(offsets) < 0))}: availability offsets fall")
    wrong = ~(np.isfinite(trace.period) & (trace.period > 0))
    if wrong.any():
        pattern = int(np.argmax(wrong))
        raise InputError(f"{where}: pattern {pattern}: period {trace.period[pattern]}; must be finite and above 0")
    pattern_of = np.repeat(np.arange(trace.patterns), np.diff(offsets))
    same = pattern_of[1:] == pattern_of[:-1]
    checks = (
        (~(np.isfinite(start) & np.isfinite(end)), "is not finite"),
        (start < 0, "begins before 0"),
        (end > trace.period[pattern_of], "ends after the period"),
        (end <= start, "is empty or runs backwards"),
        (np.concatenate([[False], same & (start[1:] < end[:-1])]) if len(start) else start < 0, "overlaps the slot before it"),
    )
    for wrong, what in checks:
        if wrong.any():
            slot = int(np.argmax(wrong))
            raise InputError(f"{where}: pattern {pattern_of[slot]}: slot [{start[slot]}, {end[slot]}) {what}")
