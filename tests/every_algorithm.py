"""A short job for every registered algorithm."""

from __future__ import annotations

from importlib.util import find_spec

from mpifl.algorithms import REGISTRY
from tests.normed import HERE

ALGORITHMS = [name for name in sorted(REGISTRY) if name != "flora" or find_spec("peft")]
"""Those whose library is there."""

PUBLIC = "data.split={by: samples, test: 0.3, validation: 0.2}"

OPTIONS = {
    "cfl": ("algorithm={name: cfl, first_rounds: 1, eps_1: 2, eps_2: 0.1}",),
    "dqn": (
        "data={name: cartpole, split: {by: samples, test: 0.3}}",
        "objective={name: q_learning, steps: 8}",
        "training={batch_size: 4, local_steps: 3, lr: 0.01}",
        "algorithm={name: dqn, memory: 100}",
    ),
    "fedamp": ("algorithm={name: fedamp, sigma: 20}",),
    "fedasync": (
        "clock={mode: async, concurrency: 20}",
        "selection.participants=1",
        "rounds=40",
        "evaluation.every=20",
        "checkpoint.every=15",
    ),
    "fedbn": (f"model={{name: {HERE}:Normed, hidden: [32]}}",),
    "feddf": (PUBLIC, "algorithm={name: feddf, distil_steps: 20, public_samples: 50}"),
    "fedmd": (PUBLIC, "algorithm={name: fedmd, public_samples: 50}"),
    "fedfomo": (PUBLIC, "algorithm={name: fedfomo, models: 3, remembered: 20}"),
    "fednas": (
        "model={name: darts, channels: 4, cells: 1, nodes: 1}",
        "training.epochs=1",
        "selection.participants=3",
    ),
    "fjord": ("algorithm={name: fjord, alpha: 0.5, temperature: 2}",),
    "flora": ("model={name: mlp, hidden: [32], lora: {rank: 2, alpha: 2}}", "training.lr=0.1"),
    "gbdt": (
        "model={name: trees, trees: 3, depth: 2}",
        "algorithm={name: gbdt, bins: 8}",
        "evaluation.fine_tune_steps=null",
    ),
    "ifca": ("algorithm.clusters=3", "algorithm.spread=0.2"),
    "scaffold": ("algorithm.option=I",),
}
"""What an algorithm needs in a job, or what shows more of it."""

PERSONAL = (
    "data.split={by: samples, test: 0.3}",
    "evaluation={personal: true, personal_clients: 20, fine_tune_steps: 2, every: 3}",
)


def with_algorithm(algorithm: str, rounds: int = 6) -> list[str]:
    """Return a job of so many rounds (fedasync: of 40 updates) with a checkpoint in every other."""
    base = ["quickstart", f"rounds={rounds}", "checkpoint.every=2", *PERSONAL]
    return [*base, f"algorithm={algorithm}", *OPTIONS.get(algorithm, ())]
