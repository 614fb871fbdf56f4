"""What an importer reads from a source, and its completion to a trace with the help of a base."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from mpifl.errors import InputError, counted
from mpifl.io.files import shipped_names
from mpifl.io.hdf5 import check_content
from mpifl.traces.bandwidth import Bandwidth
from mpifl.traces.labels import Labels
from mpifl.traces.slots import Slots
from mpifl.traces.synthesis import find_trace, read_recipe, synthesize
from mpifl.traces.trace import FORMAT, SCHEMA_VERSION, Trace, open_trace


@dataclass(frozen=True)
class ParsedTrace:
    """What a source has of a trace; what it lacks is empty or None.

    ``devices`` holds some of ``Trace.device_columns``, all (devices,) float64. ``notes`` tell the
    user what was decided on the way, one sentence each. ``labels`` are of the source's own devices
    and slots.
    """

    source: str
    licence: str
    devices: Mapping[str, np.ndarray] = field(default_factory=dict)
    slots: Slots | None = None
    bandwidth: Bandwidth | None = None
    notes: tuple[str, ...] = ()
    labels: Labels = field(default_factory=Labels)


def read_trace(name: str) -> Trace:
    """Return the trace of a trace file, or the trace of a recipe.

    ``name`` is a path, or the name of a recipe that ships with mpifl. Raises InputError.
    """
    path = find_trace(name)
    if path is None:
        raise InputError(
            f"{name}: no such file; allowed: a trace in HDF5, a recipe (.yaml),"
            f" {', '.join(shipped_names('traces'))}"
        )
    if path.suffix == ".yaml":
        return synthesize(read_recipe(path))

    trace = open_trace(path)
    check_content(path, FORMAT, SCHEMA_VERSION)
    return trace


def completed(name: str, parsed: ParsedTrace, base: Trace) -> tuple[Trace, list[str]]:
    """Return the trace of ``parsed``, completed from ``base``, and lines that say what came whence.

    If the source has device columns, it determines the number of devices, and device k takes the
    other columns from the base's device k mod devices; if it has none, the devices are the base's.
    Patterns and curves are the source's or the base's; the base's curves only where the source has
    no speeds of its own, which they would replace. Labels are of the rows' own source.
    """
    from_base = [column for column in base.device_columns if column not in parsed.devices]
    devices = len(next(iter(parsed.devices.values()))) if parsed.devices else base.devices
    device_of_base = np.arange(devices) % base.devices
    columns = {column: getattr(base, column)[device_of_base] for column in from_base}
    columns |= dict(parsed.devices)

    slots = parsed.slots or Slots(base.offsets, base.start, base.end, base.period)
    has_speeds = not {"download_kbps", "upload_kbps"}.isdisjoint(parsed.devices)
    bandwidth = parsed.bandwidth or (Bandwidth() if has_speeds else base.bandwidth)
    labels = Labels(
        parsed.labels.devices if parsed.devices else base.labels.devices,
        parsed.labels.patterns if parsed.slots else base.labels.patterns,
    )

    lent = [*from_base, *([] if parsed.slots else ["availability"])]
    if not parsed.bandwidth and bandwidth.curves:
        lent.append("bandwidth")
    source = parsed.source
    licence = parsed.licence
    if lent:
        source += f"; {', '.join(lent)} of {base.name} ({base.source})"
        licence += f"; {base.name}: {base.licence}"

    trace = Trace(
        name=name,
        source=source,
        licence=licence,
        **columns,
        offsets=slots.offsets,
        start=slots.start,
        end=slots.end,
        period=slots.period,
        bandwidth=bandwidth,
        labels=labels,
    )
    return trace, _origins(trace, parsed, from_base, base)


def _origins(trace: Trace, parsed: ParsedTrace, from_base: list[str], base: Trace) -> list[str]:
    """Return lines that say which parts come from the source and which from the base."""
    lines = []
    source_name = "the source"
    base_name = f"the base {base.name}"

    from_source = [column for column in trace.device_columns if column in parsed.devices]
    for columns, origin in ((from_source, source_name), (from_base, base_name)):
        if columns:
            devices = counted(trace.devices, "device")
            lines.append(f"{devices}: {', '.join(columns)} from {origin}")

    patterns = counted(trace.patterns, "availability pattern")
    lines.append(f"{patterns} from {source_name if parsed.slots else base_name}")

    if trace.bandwidth.curves:
        curves = counted(trace.bandwidth.curves, "bandwidth curve")
        origin = source_name if parsed.bandwidth else base_name
        lines.append(f"{curves} from {origin}, in place of download_kbps and upload_kbps")
    return lines
