"""What a source says of phones, and the trace that it makes with a base for the rest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from mpifl.errors import InputError, counted
from mpifl.io.files import shipped_names
from mpifl.io.hdf5 import check_content
from mpifl.traces.bandwidth import Bandwidth
from mpifl.traces.slots import Slots
from mpifl.traces.synthesis import find_trace, read_recipe, synthesize
from mpifl.traces.trace import DEVICE_COLUMNS, FORMAT, SCHEMA_VERSION, Trace, open_trace


@dataclass(frozen=True)
class ParsedTrace:
    """What a source has; what it has not is empty or None.

    ``devices`` holds columns of ``DEVICE_COLUMNS``, all of the same length, float64. ``notes`` say what was decided on the way,
    one sentence each.
    """

    source: str
    licence: str
    devices: Mapping[str, np.ndarray] = field(default_factory=dict)
    slots: Slots | None = None
    bandwidth: Bandwidth | None = None
    notes: tuple[str, ...] = ()


def read_trace(name: str) -> Trace:
    """A trace file, or the trace of a recipe: of a file, or of one that ships with mpifl. Raises InputError."""
    path = find_trace(name)
    if path is None:
        raise InputError(
            f"{name}: no such file; allowed: a trace in HDF5, a recipe (.yaml), {', '.join(shipped_names('traces'))}"
        )
    if path.suffix == ".yaml":
        return synthesize(read_recipe(path))
    trace = open_trace(path)
    check_content(path, FORMAT, SCHEMA_VERSION)
    return trace


def completed(name: str, found: ParsedTrace, base: Trace) -> tuple[Trace, list[str]]:
    """The trace of ``found``, with what it lacks from ``base``; and a line for each part that says where it comes from.

    With device columns of its own the source says how many devices there are, and device k takes the rest from the base's
    device k mod devices; without, the devices are the base's. Patterns and curves are the source's or the base's.
    """
    theirs = [column for column in DEVICE_COLUMNS if column not in found.devices]
    devices = len(next(iter(found.devices.values()))) if found.devices else base.devices
    columns = {
        column: getattr(base, column)[np.arange(devices) % base.devices] for column in theirs
    } | dict(found.devices)
    slots = found.slots or Slots(base.offsets, base.start, base.end, base.period)
    bandwidth = found.bandwidth or base.bandwidth
    lent = [*theirs, *([] if found.slots else ["availability"])]
    if not found.bandwidth and base.bandwidth.curves:
        lent.append("bandwidth")
    source = found.source + (f"; {', '.join(lent)} of {base.name} ({base.source})" if lent else "")
    trace = Trace(
        name=name,
        source=source,
        licence=found.licence if not lent else f"{found.licence}; {base.name}: {base.licence}",
        **columns,
        offsets=slots.offsets,
        start=slots.start,
        end=slots.end,
        period=slots.period,
        bandwidth=bandwidth,
    )
    return trace, _origins(trace, found, theirs, base)


def _origins(trace: Trace, found: ParsedTrace, theirs: list[str], base: Trace) -> list[str]:
    lines = []
    own = [column for column in DEVICE_COLUMNS if column in found.devices]
    for columns, where in ((own, "the source"), (theirs, f"the base {base.name}")):
        if columns:
            lines.append(f"{counted(trace.devices, 'device')}: {', '.join(columns)} from {where}")
    lender = f"the base {base.name}"
    lines.append(
        f"{counted(trace.patterns, 'availability pattern')} from {'the source' if found.slots else lender}"
    )
    if trace.bandwidth.curves:
        where = "the source" if found.bandwidth else lender
        curves = counted(trace.bandwidth.curves, "bandwidth curve")
        lines.append(f"{curves} from {where}, in place of download_kbps and upload_kbps")
    return lines
