"""A data set, and what its clients hold, as text for the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console, RenderableType
from rich.filesize import decimal
from rich.table import Table

from mpifl.commands.bars import bars
from mpifl.commands.output import without_escapes
from mpifl.datasets.dataset import Dataset
from mpifl.datasets.skew import (
    Holdings,
    LabelCounts,
    gini,
    label_skew,
    most_frequent,
    share_of_largest,
    size_bins,
)
from mpifl.errors import counted

SIZE_BINS = 12
MOST_LABELS = 20
MOST_TARGETS = 5
QUANTILES = {"min": 0, "25 %": 25, "median": 50, "75 %": 75, "max": 100}


@dataclass(frozen=True)
class Panel:
    """What clients hold, under a title; ``names`` (labels,) of str name the labels, if any do."""

    title: str
    holdings: Holdings
    names: Sequence[str] = ()


def print_dataset(
    console: Console, path: Path, data: Dataset, content: str, held: Mapping[str, Holdings]
) -> None:
    """Print a data set. ``content`` says what its hash is; ``held`` has the holdings of parts."""
    train = held["train"]
    console.print(without_escapes(data.name), style="bold")
    console.print(_heading(path, data, content))
    console.print()
    console.print(_parts(held))

    console.print("\nSamples of a client of the train part:")
    console.print(_sizes(train))
    if train.labels is not None:
        console.print(f"\nLabels, bars of the train part{_cut(train.labels)}:")
        console.print(_labels(data, held))

    console.print("\nHow unlike the clients of the train part are:")
    for line in skew_lines(train):
        console.print(f"- {line}")


def skew_lines(holdings: Holdings) -> list[str]:
    """Return in words how many samples and which labels clients hold, one line each."""
    sizes = holdings.sizes
    low, middle, high = np.percentile(sizes, [0, 50, 100])
    lines = [
        f"{counted(holdings.clients, 'client')} with {_range(low, high)} each (median"
        f" {middle:,.6g}, mean {sizes.mean():,.4g}): the largest tenth hold"
        f" {share_of_largest(sizes):.0%} of all, Gini {gini(sizes):.2f}"
    ]
    skew = label_skew(holdings)
    if skew is not None:
        lines.append(
            f"a client holds {skew.held:.3g} labels on average, effectively {skew.effective:.3g}"
            f" (all together: {skew.effective_of_all:.3g}); total variation distance of its labels"
            f" from those of all: {skew.distance:.2f} (if drawn at random:"
            f" {skew.distance_at_random:.2f})"
        )
    return lines


def skew_table(titles: Sequence[str], held: Sequence[Holdings]) -> list[str]:
    """Return the measures of several jobs as a table in plain text, one line each."""
    headings = ("clients", "median", "largest tenth", "Gini", "labels", "effective", "distance")
    rows: list[tuple[str, ...]] = [("", *headings, "(random)")]
    for title, holdings in zip(titles, held, strict=True):
        cells = [
            f"{holdings.clients:,}",
            f"{np.median(holdings.sizes):,.6g}",
            f"{share_of_largest(holdings.sizes):.0%}",
            f"{gini(holdings.sizes):.2f}",
        ]
        skew = label_skew(holdings)
        if skew is not None:
            cells += [f"{skew.held:.3g}", f"{skew.effective:.3g}", f"{skew.distance:.2f}"]
            cells.append(f"({skew.distance_at_random:.2f})")
        rows.append((title, *cells, *["-"] * (len(rows[0]) - 1 - len(cells))))

    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(
            cell.rjust(width) if column else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]


def _heading(path: Path, data: Dataset, content: str) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column()
    rows = {
        "file": f"{path} ({decimal(path.stat().st_size)})",
        "task": _task(data),
        "samples": _samples(data),
        **_lengths(data),
        **_targets(data),
        "source": data.source,
        "licence": data.licence,
        "content": content,
    }
    for name, text in rows.items():
        table.add_row(name, without_escapes(text))
    return table


def _task(data: Dataset) -> str:
    tasks = {
        "classification": f"classification, {data.outputs:,} labels",
        "multi_label": f"multi_label, any of {data.outputs:,} labels",
        "regression": f"regression of {counted(data.outputs, 'number')}",
        "preference": f"preference between two texts, {counted(data.vocabulary, 'token id')}",
        "segmentation": f"segmentation, {data.outputs:,} classes of pixels",
        "transcription": f"transcription, {data.outputs:,} symbols",
        "detection": f"detection of boxes of {counted(data.outputs, 'class')}",
        "control": f"control with {counted(data.outputs, 'action')}",
        "language": f"language: the next of {data.vocabulary:,} tokens is predicted",
        "none": "none: sizes only",
    }
    return tasks[data.task]


def _samples(data: Dataset) -> str:
    """Return shape and type of a sample, and how a feature follows from it."""
    x = data.train.x
    shape = " x ".join(str(length) for length in x.shape[1:])
    if data.train.begin is not None:
        shape = f"length x {shape}" if shape else "sequences"
    if 0 in x.shape[1:]:
        return "no features"

    kind = f"{shape or 'one number'}, {x.dtype}"
    if data.vocabulary:
        return f"{kind}, token ids of a vocabulary of {data.vocabulary:,}"
    if np.ndim(data.feature_scale) or np.ndim(data.feature_shift):
        return f"{kind}; feature = x * scale + shift, of each channel"
    if (data.feature_scale, data.feature_shift) == (1, 0):
        return kind
    sign = "-" if data.feature_shift < 0 else "+"
    return f"{kind}; feature = x * {data.feature_scale:.6g} {sign} {abs(data.feature_shift):.6g}"


def _lengths(data: Dataset) -> dict[str, str]:
    begin = data.train.begin
    if begin is None:
        return {}
    low, middle, high = np.percentile(np.diff(begin), [0, 50, 100])
    return {"lengths": f"{low:,.0f} to {high:,.0f}, median {middle:,.6g} (train)"}


def _targets(data: Dataset) -> dict[str, str]:
    """Return a line on the numbers of a regression."""
    y = data.train.y
    if data.task != "regression" or y is None:
        return {}
    texts = [
        f"{column.min():.4g} to {column.max():.4g}, mean {column.mean(dtype=float):.4g}"
        for column in y.T[:MOST_TARGETS]
    ]
    more = "; ..." if y.shape[1] > MOST_TARGETS else ""
    return {"targets": "; ".join(texts) + more + " (train)"}


def _parts(held: Mapping[str, Holdings]) -> Table:
    """Return a table of the parts: clients, samples, and the sizes of clients."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("part", no_wrap=True)
    for heading in ("clients", "samples", *QUANTILES, "mean"):
        table.add_column(heading, justify="right", no_wrap=True)
    for name, holdings in held.items():
        quantiles = np.percentile(holdings.sizes, list(QUANTILES.values()))
        cells = [f"{value:,.6g}" for value in (*quantiles, round(holdings.sizes.mean(), 1))]
        table.add_row(name, f"{holdings.clients:,}", f"{holdings.samples:,}", *cells)
    return table


def _sizes(holdings: Holdings) -> RenderableType:
    """Return the histogram of sizes."""
    most = int(holdings.sizes.max())
    bins = size_bins(int(holdings.sizes.min()), most, SIZE_BINS)
    counts = np.histogram(holdings.sizes, bins)[0]
    rows = [
        ((_between(low, min(most, high - 1)), f"{count:,}"), float(count))
        for low, high, count in zip(bins[:-1], bins[1:], counts, strict=True)
    ]
    return bars(rows, ("samples", "clients"))


def _labels(data: Dataset, held: Mapping[str, Holdings]) -> RenderableType:
    """Return the histogram of labels: samples of each part, and clients of train that hold it."""
    counted_parts = {name: one.labels for name, one in held.items() if one.labels is not None}
    of_all = {name: labels.of_all() for name, labels in counted_parts.items()}
    holders = counted_parts["train"].holders()
    rows = []
    for label in most_frequent(of_all["train"], MOST_LABELS).tolist():
        counts = [f"{counts[label]:,}" for counts in of_all.values()]
        rows.append(
            (
                (label_name(data, label), *counts, f"{holders[label]:,}"),
                float(of_all["train"][label]),
            )
        )
    return bars(rows, ("label", *of_all, "clients"))


def _cut(labels: LabelCounts) -> str:
    if labels.labels <= MOST_LABELS:
        return ""
    return f", the {MOST_LABELS} most frequent of {labels.labels:,}"


def label_name(data: Dataset, label: int) -> str:
    """Return a label's number, and its name if it has another one, without control characters."""
    name = ""
    if label < len(data.labels):
        name = data.labels[label].decode(errors="replace")
    text = without_escapes(name)
    return str(label) if text in ("", str(label)) else f"{label} {text}"


def _range(low: float, high: float) -> str:
    if low == high:
        return counted(int(low), "sample")
    return f"{low:,.0f} to {high:,.0f} samples"


def _between(low: int, high: int) -> str:
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"
