"""The jobs on which selection rules are compared, and the keys that differ from a rule's defaults."""

from __future__ import annotations

from benchmarks.algorithms.workloads import Workload
from mpifl.selection import PRESETS, REGISTRY

FEDSCALE = (
    "clock.preset=fedscale",
    "clock.latency.model_bytes=10000000",  # ShuffleNetV2 has 9 MB
    "selection.participants=10",
    "training={batch_size: 20, local_steps: 20, lr: 0.04}",
    "model={name: mlp, hidden: [64]}",
)
"""Rounds as FedScale times them. 10 of 539 writers are as many as 50 of PyramidFL's 2,618 speakers."""

WORKLOADS = {
    "digits": Workload(
        "digits",
        "digits, 100 clients, Dirichlet(0.1)",
        150,
        (
            "data.partition={name: dirichlet, alpha: 0.1, clients: 100}",
            "model={name: logreg}",
            "training={batch_size: 10, local_steps: 4, lr: 0.1}",
            "selection.participants=5",
            "evaluation.every=3",
        ),
    ),
    "qmnist": Workload(
        "qmnist",
        "QMNIST by writer, 539 clients",
        400,
        ("data.partition=natural", "evaluation.every=5", *FEDSCALE),
        needs_data=True,
    ),
    "qmnist-skewed": Workload(
        "qmnist-skewed",
        "QMNIST, 539 clients, Dirichlet(0.1)",
        400,
        (
            "data.partition={name: dirichlet, alpha: 0.1, clients: 539, min_samples: 20}",
            "evaluation.every=5",
            *FEDSCALE,
        ),
        needs_data=True,
    ),
    "shakespeare": Workload(
        "shakespeare",
        "Shakespeare, 1,319 roles",
        240,
        (
            "data.partition=natural",
            "data.split={by: samples, test: 0.2}",
            "evaluation.every=5",
            *FEDSCALE,
            "training={batch_size: 10, local_steps: 10, lr: 2.0}",
            "model={name: lstm, embedding: 8, hidden: 64, layers: 1}",
        ),
        needs_data=True,
    ),
}

RULES: dict[str, dict[str, object]] = {
    **{name: {"name": name} for name in REGISTRY if name != "poisson"},  # which needs another clock
    **{name: {"preset": name} for name in PRESETS},
    "pyramidfl": {"name": "pyramidfl", "extra_steps": 0},  # its choice alone, as for the others
}
"""The section ``selection`` of each rule, without what the workload says of it."""

PUBLISHED = {
    "oort": "1.2 to 14.1 (its abstract); 1.1, 1.6, 2.0 and 2.2 in PyramidFL's recorded curves",
    "pyramidfl": "2.8, 3.8, 18 and 20 in its recorded curves",
}
"""How many times as fast as random selection papers say that their rule reaches an accuracy."""
