"""FedProto against the paper's algorithm written down plainly, and its identities."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from mpifl.algorithms.head import head_shape
from mpifl.errors import InputError
from mpifl.models.layout import Layout
from mpifl.rounds.experiment.ways import way_down
from tests.algorithms.personal import personal_model
from tests.algorithms.plug_ins import BATCH_NORM
from tests.algorithms.reference import Run, assert_close, prototype_gradient, representation

LAM = 2.0
CLASSES, FEATURES = 10, 16
PROTO = f"algorithm={{name: fedproto, lam: {LAM}}}"


def test_five_rounds_are_those_of_the_paper(tmp_path: Path) -> None:
    run = Run(tmp_path, PROTO, "data.partition={name: dirichlet, alpha: 0.05, clients: 12}")

    prototypes: dict[int, torch.Tensor] = {}
    models: dict[int, torch.Tensor] = {}
    fresh = []
    for number, participants in run.rounds():
        samples: dict[int, list[torch.Tensor]] = {}
        for client, _, steps in participants:
            weights = models.get(client, run.initial)
            for x, y in run.batches(number, client, steps):
                weights = weights - run.job.training.lr * prototype_gradient(
                    run, weights, x, y, prototypes, LAM
                )
            models[client] = weights
            x, y = run.samples(client)
            for feature, label in zip(representation(weights, x), y.tolist(), strict=True):
                samples.setdefault(label, []).append(feature)
        prototypes |= {label: torch.stack(rows).mean(0) for label, rows in samples.items()}
        fresh.append(len(samples))

    assert min(fresh) < CLASSES  # a round without some classes
    for label, expected in prototypes.items():
        assert_close(run.state["prototypes"][label], expected, atol=2e-6)
    known = [label in prototypes for label in range(CLASSES)]
    assert run.state["known"].bool().tolist() == known
    assert torch.equal(run.state["model"], run.initial)
    for client, expected in models.items():
        assert_close(run.kept(client)["model"], expected)
        assert torch.equal(personal_model(run, client), run.kept(client)["model"])


def test_without_a_weight_clients_train_alone_to_the_bit(tmp_path: Path) -> None:
    # A round of FedAvg with a single client is its own training; both begin at the initial model.
    one = ("rounds=1", "selection.participants=1", "training.engine=loop")
    alone = Run(tmp_path / "a", "algorithm={name: fedproto, lam: 0}", *one)
    fedavg = Run(tmp_path / "b", "algorithm=fedasync", *one)
    ((_, ((client, _, _),)),) = alone.rounds()
    assert_close(alone.kept(client)["model"], fedavg.state["model"], atol=0)


def test_only_prototypes_travel(tmp_path: Path) -> None:
    run = Run(tmp_path, PROTO, BATCH_NORM, "rounds=1")
    participants = run.results[0].plan.timeline.participants
    size = 4 * CLASSES * (FEATURES + 1)
    assert (participants["bytes_down"] == size).all()
    assert (participants["bytes_up"] == size).all()
    assert torch.equal(run.state["model"], run.initial)  # nor do statistics of batch norm


def test_the_clock_charges_the_pass_that_makes_prototypes(tmp_path: Path) -> None:
    proto, fedavg = (
        Run(tmp_path / str(number), *overrides, "rounds=1").results[0].plan.timeline.participants
        for number, overrides in enumerate([[PROTO], []])
    )
    np.testing.assert_allclose(proto["compute_seconds"], 4 / 3 * fedavg["compute_seconds"])


@pytest.mark.parametrize(
    "shapes", [{}, {"last.weight": (4, 3, 5, 5), "last.bias": (4,)}, {"last.weight": (4,)}]
)
def test_a_model_whose_last_layer_is_not_linear_is_refused(
    shapes: dict[str, tuple[int, ...]],
) -> None:
    layout = Layout(trained=10, shapes=shapes, head=tuple(shapes))
    with pytest.raises(InputError, match="'fedproto' is not allowed: it needs a model whose last"):
        head_shape(layout, "fedproto")


def test_what_is_known_reaches_clients_as_it_is(tmp_path: Path) -> None:
    """A sign of 0 would be one: classes without a prototype would count as known."""
    run = Run(tmp_path, "algorithm=fedproto", "exchange.down=sign", "rounds=1")
    way = way_down(run.job, run.layout)
    assert way is not None
    assert list(way.shapes) == ["prototypes"]
