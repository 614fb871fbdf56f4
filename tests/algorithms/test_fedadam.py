"""FedAdam against the paper's algorithm 2.

Flower's FedAdam (1.28) begins at v = 0 where the paper asks for tau^2 or more, and corrects the bias of m and v as Adam
does, which algorithm 2 does not: in round t its eta is eta sqrt(1 - beta_2^(t+1)) / (1 - beta_1^(t+1)). With its v set to
tau^2, and our eta multiplied by that, a step on random updates agrees to 1e-6.
"""

from __future__ import annotations

from pathlib import Path

from tests.algorithms.adaptive_cases import assert_costs_of_fedavg, assert_five_rounds


def test_five_rounds_are_those_of_the_paper(tmp_path: Path) -> None:
    assert_five_rounds(
        tmp_path,
        "fedadam",
        ", beta_2: 0.8",
        0.7,
        0.01,
        0.03,
        lambda v, delta: 0.8 * v + (1 - 0.8) * delta**2,
    )


def test_it_costs_what_fedavg_costs(tmp_path: Path) -> None:
    assert_costs_of_fedavg(tmp_path, "fedadam")
