"""q-FedAvg against the paper's algorithm 2, and its identity.

Flower's QFedAvg (1.28) takes one loss for all clients, that of the server's own evaluation, and sums Delta_k / h over them;
the paper has the loss of each client. With one loss for all, a step on random updates agrees to 1e-6.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.algorithms.reference import Run, assert_close

EQUAL = ("data.partition={name: iid, clients: 2}", "selection.participants=2")
"""1,438 samples: two clients have the same number."""


@pytest.mark.parametrize("q", [0.0, 0.5, 2.0])
def test_five_rounds_are_those_of_the_paper(tmp_path: Path, q: float) -> None:
    run = Run(tmp_path, f"algorithm={{name: qfedavg, q: {q}}}")
    lipschitz = 1 / run.job.training.lr

    model = run.initial
    for number, participants in run.rounds():
        deltas = torch.zeros_like(model)
        h = 0.0
        for client, _, steps in participants:
            loss = run.loss(model, client)
            trained = run.sgd(model, number, client, steps, request=1 if q else 0)
            moved = lipschitz * (model - trained)
            deltas += loss**q * moved
            h += q * loss ** (q - 1) * float(moved.norm()) ** 2 + lipschitz * loss**q
        model = model - deltas / h

    assert_close(run.state["model"], model)


def test_with_q_0_it_is_fedavg_to_the_bit_among_clients_of_one_size(tmp_path: Path) -> None:
    fair = Run(tmp_path / "a", "algorithm={name: qfedavg, q: 0}", *EQUAL)
    fedavg = Run(tmp_path / "b", *EQUAL)
    assert torch.equal(fair.state["model"], fedavg.state["model"])


def test_the_clock_charges_the_loss_of_the_received_model(tmp_path: Path) -> None:
    fair, unfair, fedavg = (
        Run(tmp_path / name, f"algorithm={{{options}}}").results[0].plan.timeline.participants
        for name, options in (
            ("a", "name: qfedavg, q: 1"),
            ("b", "name: qfedavg, q: 0"),
            ("c", "name: fedavg"),
        )
    )
    # One epoch is three times a forward pass, so a pass for the loss adds a third.
    assert fair["compute_seconds"] == pytest.approx(4 / 3 * fedavg["compute_seconds"])
    assert (unfair["compute_seconds"] == fedavg["compute_seconds"]).all()
    assert (fair["bytes_up"] == fedavg["bytes_up"] + 4).all()
    assert (fair["bytes_down"] == fedavg["bytes_down"]).all()
