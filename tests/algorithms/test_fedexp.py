"""FedExP against the paper's algorithm 1, and its identity."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.algorithms.reference import Run, assert_close

EQUAL = ("data.partition={name: iid, clients: 2}", "selection.participants=2")
"""1,438 samples: two clients have the same number."""


@pytest.mark.parametrize(("eps", "steps_above_1"), [(1e-3, 5), (0.5, 0)])
def test_five_rounds_are_those_of_the_paper(tmp_path: Path, eps: float, steps_above_1: int) -> None:
    run = Run(tmp_path, f"algorithm={{name: fedexp, eps: {eps}}}")

    model = run.initial
    etas = []
    for number, participants in run.rounds():
        updates = [
            run.sgd(model, number, client, steps) - model for client, _, steps in participants
        ]
        mean = torch.stack(updates).mean(0)
        squares = sum(float(update.norm()) ** 2 for update in updates)
        etas.append(max(1, squares / (2 * len(updates) * (float(mean.norm()) ** 2 + eps))))
        model = model + etas[-1] * mean

    assert sum(eta > 1 for eta in etas) == steps_above_1
    assert_close(run.state["model"], model)


def test_where_eta_is_1_it_is_fedavg_to_the_bit_among_clients_of_one_size(tmp_path: Path) -> None:
    # With so large an eps eta_g is 1.
    fedexp = Run(tmp_path / "a", "algorithm={name: fedexp, eps: 1e6}", *EQUAL)
    fedavg = Run(tmp_path / "b", *EQUAL)
    assert torch.equal(fedexp.state["model"], fedavg.state["model"])


def test_a_participant_uploads_one_number_more(tmp_path: Path) -> None:
    fedexp, fedavg = (
        Run(tmp_path / name, f"algorithm={name}").results[0].plan.timeline.participants
        for name in ("fedexp", "fedavg")
    )
    assert (fedexp["bytes_up"] == fedavg["bytes_up"] + 4).all()
    assert (fedexp["bytes_down"] == fedavg["bytes_down"]).all()
    assert (fedexp["compute_seconds"] == fedavg["compute_seconds"]).all()
