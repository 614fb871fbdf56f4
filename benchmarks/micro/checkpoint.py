"""What checkpoints cost a round. ``python -m benchmarks.micro.checkpoint [pairs [rounds [participants]]]``.

The convolutional network on QMNIST's writers (qmnist.h5 here, or noise of the same shape), on three ranks: a run with a
checkpoint after each round and one with none, in turn, each pair in the other order. A round is timed from line to line of the
progress.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np

from benchmarks.micro.table import machine, show, versions
from mpifl.datasets.dataset import Dataset, grouped, write_dataset
from mpifl.mpi.launch import command

PAIRS, ROUNDS, PARTICIPANTS = 5, 10, 100
RANKS = 3
EVERY, NEVER = 1, 1000
WRITERS = {"train": 539, "test": 297}
SAMPLES = {"train": 60_000, "test": 10_000}


def main() -> None:
    """Print a row for each of the two, and what one is of the other."""
    given = [int(argument) for argument in sys.argv[1:]]
    pairs, rounds, participants = given + [PAIRS, ROUNDS, PARTICIPANTS][len(given) :]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = Path("qmnist.h5").resolve()
        if not data.is_file():
            data = folder / "noise.h5"
            write_dataset(data, _noise())
        seconds: dict[int, list[float]] = {EVERY: [], NEVER: []}
        for pair in range(pairs):
            for every in sorted(seconds, reverse=bool(pair % 2)):
                seconds[every].append(
                    _round_seconds(folder / f"{pair}-{every}", data, every, rounds, participants)
                )
        bytes_each = max(
            path.stat().st_size for path in folder.glob(f"*-{EVERY}/checkpoint/round-*.h5")
        )
    rows = [("a checkpoint", "s a round, median", "least", "most")]
    for label, every in (("after each round", EVERY), ("never", NEVER)):
        rows.append((label, *(f"{found:.3f}" for found in _spread(seconds[every]))))
    ratios = [
        with_it / without for with_it, without in zip(seconds[EVERY], seconds[NEVER], strict=True)
    ]
    rows.append(("one of the other", *(f"{found:.4f}" for found in _spread(ratios))))
    title = f"{pairs} pairs of {rounds} rounds of {participants} writers, {RANKS} ranks, checkpoints of {bytes_each / 1e6:.1f} MB"
    show(title, rows, machine(), versions("torch", "h5py", "mpi4py"))


def _spread(values: list[float]) -> tuple[float, float, float]:
    return median(values), min(values), max(values)


def _round_seconds(out: Path, data: Path, every: int, rounds: int, participants: int) -> float:
    """Seconds a round of a run, without the first, in which a program warms up."""
    job = [
        "qmnist",
        f"data.name={data}",
        f"rounds={rounds}",
        f"selection.participants={participants}",
    ]
    line = command(RANKS, [*job, f"checkpoint.every={every}", "--out", str(out)], os.environ)
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        times = [perf_counter() for text in run.stdout if text.startswith("round ")]
    if run.returncode or len(times) != rounds:
        raise SystemExit(f"{' '.join(line)}: ended with {run.returncode} after {len(times)} rounds")
    return (times[-1] - times[0]) / (rounds - 1)


def _noise() -> Dataset:
    random = np.random.default_rng(0)
    parts = {
        part: grouped(
            random.integers(0, 256, (samples, 28, 28), dtype=np.uint8),
            random.integers(0, 10, samples),
            random.integers(0, WRITERS[part], samples),
        )
        for part, samples in SAMPLES.items()
    }
    return Dataset(
        name="noise", outputs=10, source="drawn", licence="none", feature_scale=1 / 255, **parts
    )


if __name__ == "__main__":
    main()
