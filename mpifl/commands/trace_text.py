"""A trace as text: what ``mpifl traces show`` prints."""

from __future__ import annotations

import shutil
import sys

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from mpifl.errors import counted
from mpifl.traces.summary import PER_CENT, Summary
from mpifl.traces.trace import Trace

PIPE_COLUMNS = 100  # where the output is no terminal
BAR_COLUMNS = 40
LABELS: dict[str, tuple[str, float | None]] = {
    "compute_ms_per_sample": ("compute, ms", 1),
    "download_kbps": ("download, kbit/s", 1),
    "upload_kbps": ("upload, kbit/s", 1),
    "compute_watts": ("compute, W", 1),
    "download_joules_per_byte": ("download, µJ/B", 1e6),
    "upload_joules_per_byte": ("upload, µJ/B", 1e6),
    "stay_seconds": ("stay online", None),
    "gap_seconds": ("gap", None),
    "online_share": ("time online, %", 100),
    "period_days": ("period, days", 1),
    "curve_download_kbps": ("curve down, kb/s", 1),
    "curve_upload_kbps": ("curve up, kb/s", 1),
    "curve_seconds": ("curve, length", None),
}
"""How a quantile is called, and the factor to its unit; a time has none."""
SECONDS = {"s": 1, "min": 60, "h": 3600, "d": 86_400}


def print_summary(trace: Trace, summary: Summary) -> None:
    """Print it to standard output, as wide as the terminal."""
    width = shutil.get_terminal_size((PIPE_COLUMNS, 24)).columns
    console = Console(width=width if sys.stdout.isatty() else max(width, PIPE_COLUMNS), highlight=False)
    title, hours = _hours(summary)
    console.print(_heading(trace, summary), "", _quantiles(summary), "", title, hours, sep="\n")


def _heading(trace: Trace, summary: Summary) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column()
    rows = {
        "name": trace.name,
        "source": trace.source,
        "licence": trace.licence,
        "content": trace.content_sha256 or "not written yet",
        "devices": f"{summary.devices:,}",
        "patterns": f"{summary.patterns:,} with {counted(summary.slots, 'slot')}; "
        f"{summary.never_online:,} never online, {summary.always_online:,} always",
        "curves": f"{summary.curves:,} of bandwidth" if summary.curves else "none: speeds are constant",
        "online": f"{summary.online:.1%} of the time",
    }
    for name, text in rows.items():
        table.add_row(name, text)
    return table


def _quantiles(summary: Summary) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("quantile", no_wrap=True)
    for per_cent in PER_CENT:
        table.add_column(f"{per_cent} %", justify="right", no_wrap=True)
    for name, values in summary.quantiles.items():
        label, factor = LABELS[name]
        table.add_row(label, *(_time(value) if factor is None else _number(factor * value) for value in values))
    return table


def _number(value: float) -> str:
    """Four digits; whole numbers with commas from there on."""
    return f"{value:,.0f}" if 1000 <= value < 1e7 else f"{value:.4g}"


def _time(seconds: float) -> str:
    """Seconds in the largest unit of which they are two or more, with three digits."""
    unit = next((name for name in ("d", "h", "min") if seconds >= 2 * SECONDS[name]), "s")
    return f"{seconds / SECONDS[unit]:.3g} {unit}"


def _hours(summary: Summary) -> tuple[str, Table]:
    """A bar for each hour, the longest for the hour with most online."""
    day = "day" if summary.whole_days else "pattern's day (periods that are not whole days: no hour of all phones')"
    table = Table.grid(padding=(0, 1))
    table.add_column(justify="right")
    table.add_column(justify="right")
    table.add_column(no_wrap=True)
    most = float(np.max(summary.online_by_hour))
    for hour, share in enumerate(summary.online_by_hour):
        table.add_row(f"{hour:02}", f"{share:.1%}", "█" * round(BAR_COLUMNS * share / most) if most else "")
    return f"Online by hour of the {day}:", table
