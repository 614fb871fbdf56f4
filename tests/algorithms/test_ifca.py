"""IFCA against the paper's algorithm written down plainly, and its identities."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from mpifl.algorithms.ifca import Ifca
from mpifl.algorithms.requests import Evaluated, Train
from mpifl.seeds import Purpose, generator
from tests.algorithms.modules import trained
from tests.algorithms.personal import personal_model
from tests.algorithms.plug_ins import BATCH_NORM
from tests.algorithms.reference import Run, assert_close
from tests.known import added

CLUSTERS = 3
THREE = f"algorithm={{name: ifca, clusters: {CLUSTERS}, spread: 0.2}}"


def first_models(run: Run, clusters: int, spread: float) -> list[torch.Tensor]:
    """Return the models before the first round."""
    size = run.experiment.layout.trained
    noise = generator(run.job.seed, Purpose.SERVER, 0).standard_normal((clusters - 1, size))
    models = [run.initial.clone() for _ in range(clusters)]
    for model, row in zip(models[1:], noise, strict=True):
        model[:size] += torch.from_numpy(spread * row)
    return models


def test_five_rounds_are_those_of_the_paper(tmp_path: Path) -> None:
    run = Run(tmp_path, THREE)

    models = first_models(run, CLUSTERS, 0.2)
    taken: set[int] = set()
    for number, participants in run.rounds():
        sums, weights = [torch.zeros_like(run.initial) for _ in models], [0.0] * CLUSTERS
        for client, share, steps in participants:
            nearest = int(np.argmin([run.loss(model, client) for model in models]))
            update = run.sgd(models[nearest], number, client, steps, CLUSTERS) - models[nearest]
            sums[nearest] += share * update
            weights[nearest] += share
            taken.add(nearest)
        for k in range(CLUSTERS):
            if weights[k]:
                models[k] = models[k] + sums[k] / weights[k]
        mean = added(weight * model for weight, model in zip(weights, models, strict=True))

    assert len(taken) > 1
    assert_close(run.state["models"], torch.stack(models))
    assert_close(run.state["model"], mean)


def test_a_client_is_tested_with_the_model_that_fits_its_samples_best(tmp_path: Path) -> None:
    run = Run(tmp_path, THREE)
    models = run.state["models"]
    nearest = [
        int(np.argmin([run.loss(model, client) for model in models]))
        for client in range(run.clients)
    ]
    assert len(set(nearest)) > 1
    for client, cluster in enumerate(nearest):
        assert torch.equal(personal_model(run, client), models[cluster])


def test_with_one_cluster_it_is_fedavg_to_the_bit(tmp_path: Path) -> None:
    for model in ("model={name: mlp, hidden: [16]}", BATCH_NORM):
        one = Run(tmp_path / "a", "algorithm={name: ifca, clusters: 1}", model)
        fedavg = Run(tmp_path / "b", model)
        assert torch.equal(one.state["model"], fedavg.state["model"])
        assert torch.equal(one.state["models"][0], fedavg.state["model"])


def test_statistics_of_batch_norm_are_averaged_cluster_by_cluster(tmp_path: Path) -> None:
    run = Run(tmp_path, THREE, BATCH_NORM, "rounds=1")
    models, averages = first_models(run, CLUSTERS, 0.2), run.experiment.layout.averages

    ((number, participants),) = run.rounds()
    rows = run.results[0].metrics
    slots = dict(zip(rows["client"].tolist(), rows["slot"].tolist(), strict=True))
    for cluster in range(CLUSTERS):
        own = [row for row in participants if slots[row[0]] == cluster]
        weight = sum(share for _, share, _ in own)
        expected = models[cluster][averages] * (not own)
        for client, share, steps in own:
            after = trained(run, models[cluster], number, client, steps, CLUSTERS)
            expected = expected + share / weight * after[averages]
        assert_close(run.state["models"][cluster][averages], expected)
    assert len(set(slots.values())) > 1


def test_the_clock_charges_all_models_down_and_the_passes_that_compare_them(tmp_path: Path) -> None:
    ifca, fedavg = (
        Run(tmp_path / str(number), *overrides, "rounds=1").results[0].plan.timeline.participants
        for number, overrides in enumerate([[THREE], []])
    )
    assert (ifca["bytes_down"] == CLUSTERS * fedavg["bytes_down"]).all()
    assert (ifca["bytes_up"] == fedavg["bytes_up"]).all()
    # One epoch of training costs as much as three passes that compute a loss.
    np.testing.assert_allclose(ifca["compute_seconds"], 2 * fedavg["compute_seconds"])


def test_a_model_whose_loss_is_no_number_is_the_farthest() -> None:
    """A cluster that has diverged (``runtime.on_divergence: record``) would get all clients."""
    c: Any = SimpleNamespace(received={"models": torch.zeros(3, 4)})
    program = Ifca(clusters=3).client(c)
    next(program)
    program.send(Evaluated(math.nan, 0, 1))
    program.send(Evaluated(3.0, 0, 1))
    request = program.send(Evaluated(2.0, 0, 1))
    assert isinstance(request, Train)
    assert request.start.data_ptr() == c.received["models"][2].data_ptr()
