"""The data of a workload, drawn from one seed and written once, for all frameworks.

A folder of plain arrays that are mapped and not read: ``x.npy`` (samples, *shape) float32 features, or (samples, length + 1)
int32 tokens, ``y.npy`` (samples,) int64 classes (0 where tokens are learned), ``offsets.npy`` (clients + 1,) int64; the samples
of client k are offsets[k] to offsets[k + 1]. ``test_x.npy``, ``test_y.npy``: the first samples again, on which every final
model is judged.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from benchmarks.peers.workloads import Workload
from mpifl.seeds import Purpose, generator

SEED = 2026
WRONG_LABELS = 0.2  # so that the loss does not go to 0, where its ratio would say nothing
FOLLOWERS = 6  # characters that come often after a character


def write_data(folder: Path, workload: Workload) -> None:
    """Draw a workload's data into a folder that is there."""
    offsets = np.concatenate([[0], np.cumsum(sizes(workload))]).astype(np.int64)
    draw = _text if workload.vocabulary else _features
    x, y = draw(workload, int(offsets[-1]))
    columns = {
        "x": x,
        "y": y,
        "offsets": offsets,
        "test_x": x[: workload.evaluated],
        "test_y": y[: workload.evaluated],
    }
    for name, values in columns.items():
        np.save(folder / f"{name}.npy", values)


def sizes(workload: Workload) -> np.ndarray:
    """Samples of each client (clients,) int64, 2 or more where they differ; their mean is the workload's."""
    if not workload.sigma:
        return np.full(workload.clients, workload.samples_per_client)
    spread = generator(SEED, Purpose.PARTITION).lognormal(0, workload.sigma, workload.clients)
    return np.maximum(2, np.rint(spread / spread.mean() * workload.samples_per_client)).astype(
        np.int64
    )


def _features(workload: Workload, samples: int) -> tuple[np.ndarray, np.ndarray]:
    """Classes around means of their own, means and noise both standard normal; some labels are drawn anew. Clients are iid."""
    random = generator(SEED, Purpose.TRACE)
    width = math.prod(workload.shape)
    means = random.standard_normal((workload.classes, width), np.float32)
    y = random.integers(workload.classes, size=samples)
    x = random.standard_normal((samples, width), np.float32)
    x += means[y]
    wrong = random.random(samples) < WRONG_LABELS
    y[wrong] = random.integers(workload.classes, size=int(wrong.sum()))
    return x.reshape(samples, *workload.shape), y


def _text(workload: Workload, samples: int) -> tuple[np.ndarray, np.ndarray]:
    """A chain in which every character has a few that come after it four times of five."""
    random = generator(SEED, Purpose.TRACE)
    after = random.integers(workload.vocabulary, size=(workload.vocabulary, FOLLOWERS))
    x = random.integers(workload.vocabulary, size=(samples, workload.shape[0] + 1)).astype(np.int32)
    usual = random.random(x.shape) < 0.8
    choice = random.integers(FOLLOWERS, size=x.shape)
    for k in range(1, x.shape[1]):
        x[:, k] = np.where(usual[:, k], after[x[:, k - 1], choice[:, k]], x[:, k])
    return x, np.zeros(samples, np.int64)
