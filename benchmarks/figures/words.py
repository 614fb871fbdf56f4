"""What a figure's command prints: quantiles of its series, for the README beside the picture."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

PER_CENT = (0, 5, 25, 50, 75, 95, 100)


def print_quantiles(title: str, series: Mapping[str, np.ndarray]) -> None:
    """A row for each series: how many values, their quantiles, and how many times the 5 % one the 95 % one is."""
    print(f"\n{title}")
    width = max(map(len, series))
    print(
        " " * width,
        *(f"{head:>9}" for head in ("n", *(f"{p} %" for p in PER_CENT), "mean", "p95/p5")),
    )
    for name, values in series.items():
        found = np.percentile(values, PER_CENT)
        spread = found[-2] / found[1] if found[1] else np.nan
        print(
            name.ljust(width),
            f"{len(values):>9,}",
            *(_figure(value) for value in (*found, values.mean(), spread)),
        )


def _figure(value: float) -> str:
    return f"{value:>9,.0f}" if value >= 1000 else f"{value:>9.4g}"
