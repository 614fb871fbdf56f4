"""What adding one update costs: the exact sum beside float sums. ``python -m benchmarks.micro.exact_sum [parameters]``.

Each way is timed in turn in every repetition, so that whatever else the machine does falls on all of them.
"""

from __future__ import annotations

import sys
from statistics import median
from time import perf_counter

import numpy as np

from benchmarks.micro.table import machine, show, versions
from mpifl.aggregation.exact_sum import accumulate

PARAMETERS = 1_700_000
WARM_UP, REPETITIONS = 5, 51
WEIGHT = 1 / 64


def main() -> None:
    """Time and print."""
    length = int(sys.argv[1]) if len(sys.argv) > 1 else PARAMETERS
    values = np.random.default_rng(0).normal(0, 0.01, length).astype(np.float32)
    fixed, single, double = (
        np.zeros(length, np.int64),
        np.zeros(length, np.float32),
        np.zeros(length),
    )
    scratch = np.empty(length)

    def exact() -> None:
        if accumulate(fixed, values, WEIGHT) is not None:
            raise ValueError("these values fit")

    def float32() -> None:
        np.add(single, values, out=single)

    def float32_weighted() -> None:
        np.add(single, values * np.float32(WEIGHT), out=single)

    def float64() -> None:
        np.add(double, values, out=double)

    def float64_weighted() -> None:
        np.multiply(values, WEIGHT, out=scratch, dtype=np.float64)
        np.add(double, scratch, out=double)

    ways = {
        "exact: += weight * values, int64, checked": exact,
        "numpy float32: += values": float32,
        "numpy float32: += weight * values": float32_weighted,
        "numpy float64: += values": float64,
        "numpy float64: += weight * values": float64_weighted,
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for repetition in range(WARM_UP + REPETITIONS):
        for name, add in ways.items():
            begun = perf_counter()
            add()
            if repetition >= WARM_UP:
                seconds[name].append(perf_counter() - begun)
    base = median(seconds["exact: += weight * values, int64, checked"])
    rows = [("one update added", "ms, median", "ms, least", "of exact")]
    rows += [
        (name, f"{median(s) * 1e3:.3f}", f"{min(s) * 1e3:.3f}", f"{median(s) / base:.2f}")
        for name, s in seconds.items()
    ]
    show(
        f"{length:,} parameters, {REPETITIONS} repetitions in turn",
        rows,
        machine(),
        versions("numpy", "numba"),
    )


if __name__ == "__main__":
    main()
