"""What clients hold as a picture, as ``mpifl data show`` and ``mpifl check`` draw it."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure

from mpifl.commands.data_text import Panel
from mpifl.commands.drawing import PLAIN, plain_ticks, save_picture
from mpifl.datasets.skew import Holdings, LabelCounts, gini, label_skew, most_frequent, size_bins
from mpifl.errors import counted

BINS = 40
HEIGHTS = (2.4, 3.4)  # of sizes and labels
CLIENTS_DRAWN = 300
LABELS_DRAWN = 64
LABELS_NAMED = 30
PANELS_A_ROW = 4
NAME_COLUMNS = 16
TITLE_COLUMNS = 40
COLOURS = "Blues"
GAMMA = 0.6  # below 1: small shares are seen too


def draw(path: Path, title: str, panels: Sequence[Panel]) -> None:
    """Write a picture in the format of the file's name (.png, .svg, .pdf).

    Panels have the same axes, so that they can be compared. The same panels give the same bytes.
    """
    rows = -(-len(panels) // PANELS_A_ROW)
    columns = -(-len(panels) // rows)
    labelled = any(panel.holdings.labels is not None for panel in panels)
    ratios = HEIGHTS if labelled else HEIGHTS[:1]
    size = (max(7.0, 3.8 * columns + 1), 1.2 * sum(ratios) * rows + 0.5)
    figure = Figure(figsize=size, layout="constrained")
    figure.suptitle(title, parse_math=False)

    grid = figure.subplots(
        len(ratios) * rows, columns, squeeze=False, height_ratios=[*ratios] * rows
    )
    sizes = grid[:: len(ratios)]
    _draw_sizes(sizes.ravel(), panels)
    if labelled:
        _draw_labels(figure, grid[1::2], panels)
    for axes in grid.ravel():
        if not axes.has_data():
            axes.set_axis_off()
    save_picture(figure, path)


def _draw_sizes(places: np.ndarray, panels: Sequence[Panel]) -> None:
    """Draw the sizes of each panel, with the same bins."""
    low = min(int(panel.holdings.sizes.min()) for panel in panels)
    high = max(int(panel.holdings.sizes.max()) for panel in panels)
    bins = size_bins(low, high, BINS)

    used = places[: len(panels)]
    for axes, panel in zip(used, panels, strict=True):
        _sizes(axes, panel, bins)
    highest = max(axes.get_ylim()[1] for axes in used)
    for axes in used:
        axes.set_ylim(0, highest)


def _sizes(axes: Axes, panel: Panel, bins: np.ndarray) -> None:
    """Draw how many clients have how many samples."""
    sizes = panel.holdings.sizes
    axes.stairs(np.histogram(sizes, bins)[0], bins - 0.5, fill=True, color=PLAIN)

    title = f"median {np.median(sizes):,.6g} samples, Gini {gini(sizes):.2f}"
    if panel.title:
        title = "\n".join([*textwrap.wrap(panel.title, TITLE_COLUMNS), title])
    axes.set_title(title, fontsize="medium", parse_math=False)
    axes.set(xlabel="samples of a client", ylabel="clients")
    axes.set_xlim(bins[0] - 0.5, bins[-1] - 0.5)
    widths = np.diff(bins)
    if widths[-1] > 2 * widths[0]:
        axes.set_xscale("log")
        plain_ticks(axes.xaxis, many=1000)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(lambda value, _: f"{value:,.6g}" if value % 1 == 0 else "")


def _draw_labels(figure: Figure, grid: np.ndarray, panels: Sequence[Panel]) -> None:
    """Draw the labels of each panel, with the same colours and one colour bar a row."""
    norm = PowerNorm(GAMMA, 0, _largest_share(panels))
    for axes, panel in zip(grid.ravel(), panels, strict=False):
        if panel.holdings.labels is not None:
            _label_map(axes, panel, panel.holdings.labels, norm)

    for row in grid:
        bar = figure.colorbar(ScalarMappable(norm, COLOURS), ax=row.tolist())
        bar.set_label("share of a client's samples")
        bar.ax.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.4g} %")


def _largest_share(panels: Sequence[Panel]) -> float:
    """Return the largest share of a label in a client's samples; 1 where there are no labels."""
    shares = [
        float((labels.count / panel.holdings.sizes[labels.client]).max())
        for panel in panels
        if (labels := panel.holdings.labels) is not None
    ]
    return max(shares, default=1.0)


def _label_map(axes: Axes, panel: Panel, labels: LabelCounts, norm: PowerNorm) -> None:
    """Draw the labels of clients: a column a client, sorted by the label that it has most of."""
    shown = most_frequent(labels.of_all(), LABELS_DRAWN)
    shares = _shares(panel.holdings, labels)[:, shown]
    axes.imshow(shares.T, norm=norm, cmap=COLOURS, aspect="auto", interpolation="nearest")

    skew = label_skew(panel.holdings)
    assert skew is not None
    distance = f"distance {skew.distance:.2f} (random {skew.distance_at_random:.2f})"
    axes.set_title(f"{skew.held:.3g} labels each, {distance}", fontsize="medium")
    drawn = counted(len(shares), "client")
    if len(shares) < panel.holdings.clients:
        drawn = f"{len(shares)} of {counted(panel.holdings.clients, 'client')}"
    axes.set_xlabel(f"{drawn}, by their most frequent label", fontsize="small")
    axes.set_xticks([])
    _name_labels(axes, panel.names, shown, labels.labels)


def _shares(holdings: Holdings, labels: LabelCounts) -> np.ndarray:
    """Return the share of each label in the samples of clients (clients drawn, labels).

    Clients are sorted by the label that they have most of, and then by its share. CLIENTS_DRAWN at
    most are drawn, evenly chosen from the sorted ones.
    """
    share = labels.count / holdings.sizes[labels.client]
    order = np.lexsort((labels.label, -share, labels.client))
    _, first = np.unique(labels.client[order], return_index=True)
    top = order[first]
    by_label = np.lexsort((-share[top], labels.label[top]))

    drawn = by_label
    if len(by_label) > CLIENTS_DRAWN:
        drawn = by_label[np.linspace(0, len(by_label) - 1, CLIENTS_DRAWN).round().astype(np.int64)]
    row = np.full(holdings.clients, -1)
    row[drawn] = np.arange(len(drawn))

    shares = np.zeros((len(drawn), labels.labels))
    entries = row[labels.client] >= 0
    shares[row[labels.client[entries]], labels.label[entries]] = share[entries]
    return shares


def _name_labels(axes: Axes, names: Sequence[str], shown: np.ndarray, labels: int) -> None:
    """Name the rows of a map: each by name or number where they are few, else some by number."""
    text = "label"
    if len(shown) < labels:
        text = f"label ({len(shown)} most frequent of {labels:,})"
    axes.set_ylabel(text)

    step = 1 if len(shown) <= LABELS_NAMED else -(-len(shown) // LABELS_NAMED)
    ticks = np.arange(0, len(shown), step)
    named = [names[shown[tick]] if len(names) else str(shown[tick]) for tick in ticks]
    short = [name if len(name) <= NAME_COLUMNS else f"{name[:NAME_COLUMNS]}…" for name in named]
    size = "small" if len(ticks) <= 12 else "x-small"
    axes.set_yticks(ticks, short, fontsize=size, parse_math=False)
