"""FedAdagrad against the paper's algorithm 2.

Flower's FedAdagrad (1.28) begins at v = 0 where the paper asks for tau^2 or more, and has beta_1 = 0. With its v set to
tau^2, a step on random updates agrees to 1e-6.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.algorithms.adaptive_cases import assert_costs_of_fedavg, assert_five_rounds


@pytest.mark.parametrize("beta_1", [0.0, 0.6])
def test_five_rounds_are_those_of_the_paper(tmp_path: Path, beta_1: float) -> None:
    assert_five_rounds(
        tmp_path, "fedadagrad", "", beta_1, 0.01, 0.03, lambda v, delta: v + delta**2
    )


def test_it_costs_what_fedavg_costs(tmp_path: Path) -> None:
    assert_costs_of_fedavg(tmp_path, "fedadagrad")
