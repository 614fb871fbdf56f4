"""The loss is NT-Xent pair by pair; neighbours are scikit-learn's; views are what their options say."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score
from sklearn.neighbors import KNeighborsClassifier
from torch import nn
from torch.nn.functional import cosine_similarity

from mpifl.datasets.dataset import DataShape
from mpifl.errors import InputError
from mpifl.objectives.contrastive import class_of_neighbours
from mpifl.objectives.make import objective_of
from mpifl.objectives.views import Views
from mpifl.rounds.experiment.build_experiment import check_job
from tests.known import known
from tests.objectives.test_objectives import metrics


def test_the_loss_is_nt_xent_pair_by_pair() -> None:
    torch.manual_seed(0)
    objective = objective_of("contrastive", 3, temperature=0.3)
    output = torch.nn.functional.normalize(torch.randn(4, 2, 6, dtype=torch.float64), dim=-1)
    views = [(sample, view) for sample in range(4) for view in range(2)]
    expected = torch.zeros(4, dtype=torch.float64)
    for sample, view in views:
        alike = {
            other: (cosine_similarity(output[sample, view], output[other], dim=0) / 0.3).exp()
            for other in views
            if other != (sample, view)
        }
        expected[sample] -= torch.log(alike[sample, 1 - view] / sum(alike.values())) / 2
    y = torch.arange(4)
    torch.testing.assert_close(objective.sample_losses(output, y), expected)
    assert float(objective.loss(output[:1], y[:1])) == pytest.approx(0)


@pytest.mark.parametrize("most", [1, 4, 50])
def test_neighbours_are_scikit_learns(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mpifl.objectives.contrastive.AT_ONCE", 7)
    random = np.random.default_rng(0)
    embedded = random.normal(size=(30, 5))
    embedded /= np.linalg.norm(embedded, axis=1, keepdims=True)
    classes = random.integers(3, size=30)
    found = class_of_neighbours(embedded, classes, most)
    for place in range(30):
        rest = np.arange(30) != place
        theirs = KNeighborsClassifier(min(most, 29), metric="cosine")
        theirs.fit(embedded[rest], classes[rest])
        assert found[place] == theirs.predict(embedded[[place]])[0]


def test_a_test_looks_at_samples_as_they_are() -> None:
    objective = objective_of("contrastive", 3, features=4, neighbours=3)
    torch.manual_seed(0)
    module: Any = objective.wrapped(nn.Sequential(nn.Flatten(), nn.Linear(6, 4)))
    x, y = torch.randn(40, 2, 3), torch.randint(3, (40,))
    with torch.no_grad():
        batches = [objective.test(module, x[r], y[r]) for r in (slice(13), slice(13, 40))]
    found = metrics(objective, batches)
    embedded = torch.nn.functional.normalize(module.network(x), dim=-1).detach().double().numpy()
    expected = accuracy_score(y, class_of_neighbours(embedded, y.numpy(), 3))
    assert found["neighbour_accuracy"] == expected
    assert found["loss"] > 0
    assert known(batches[0].rows).shape == (13, objective.gathered)


def test_views_are_what_their_options_say() -> None:
    torch.manual_seed(0)
    image = torch.arange(1.0, 13).view(1, 3, 4).expand(300, 3, 4)
    same = Views(scale=0, drop=0, noise=0)
    assert torch.equal(same.view(image), image)

    moved = same.model_copy(update={"shift": 1}).view(image)
    padded = torch.nn.functional.pad(image[0], (1, 1, 1, 1))
    cuts = {
        tuple(padded[r : r + 3, c : c + 4].flatten().tolist()) for r in range(3) for c in range(3)
    }
    assert {tuple(one.flatten().tolist()) for one in moved} == cuts
    in_colour = same.model_copy(update={"shift": 1}).view(image.unsqueeze(1).expand(300, 2, 3, 4))
    assert torch.equal(in_colour[:, 0], in_colour[:, 1])

    mirrored = same.model_copy(update={"flip": True}).view(image)
    share = (mirrored[:, 0, 0] == 4).double().mean()
    assert 0.4 < float(share) < 0.6
    scaled = same.model_copy(update={"scale": 0.1}).view(image) / image
    torch.testing.assert_close(scaled, scaled[:, :1, :1].expand(300, 3, 4))
    assert 0.9 <= float(scaled.min()) < 0.91 < 1.09 < float(scaled.max()) <= 1.1
    dropped = same.model_copy(update={"drop": 0.25}).view(image)
    assert set((dropped / image).unique().tolist()) == {0, 1}
    assert 0.2 < float((dropped == 0).double().mean()) < 0.3
    noisy = same.model_copy(update={"noise": 0.5}).view(image) - image
    assert 0.47 < float(noisy.std()) < 0.53


@pytest.mark.parametrize(
    "key", [("algorithm.name=fedlc",), ("protocol.name=split", "selection.participants=null")]
)
def test_what_works_on_outputs_of_the_model_itself_is_refused(key: tuple[str, ...]) -> None:
    said = key[0].replace("=", " ")
    with pytest.raises(
        InputError, match=f"^objective.name: 'contrastive' is not allowed with {said}"
    ):
        check_job("quickstart", ["objective=contrastive", "selection.participants=5", *key])


MADE = ("objective=generation", "model=gan", "data.split={by: samples, validation: 0.1}")


LOGITS = ("ccvr", "fedgen", "fedlc", "fedntd", "fedproto", "fedrod", "heterofl", "feddf", "fedmd")


@pytest.mark.parametrize("algorithm", [*LOGITS, "{name: fjord, alpha: 1}"])
def test_what_works_on_logits_of_classes_is_refused_where_a_model_has_none(algorithm: str) -> None:
    name = algorithm.strip("{}").removeprefix("name: ").split(",")[0]
    with pytest.raises(
        InputError,
        match=rf"^objective\.name: 'generation' is not allowed with algorithm\.name {name}, which",
    ):
        check_job("quickstart", [*MADE, f"algorithm={algorithm}"])


@pytest.mark.parametrize(
    "algorithm", ["{name: fedlc, tau: 0}", "{name: heterofl, masked: false}", "fjord", "moon"]
)
def test_what_does_without_logits_of_classes_takes_other_outputs(algorithm: str) -> None:
    check_job("quickstart", [*MADE, f"algorithm={algorithm}"])


def test_data_without_views_are_refused() -> None:
    with pytest.raises(
        InputError, match=r"^objective.name: 'contrastive' is not allowed: the data"
    ):
        objective_of("contrastive", 3).check(DataShape("classification", (5,), 3, 7))
    with pytest.raises(InputError, match=r"^objective.views: shift and flip are not allowed for"):
        objective_of("contrastive", 3, views={"flip": True}).check(
            DataShape("classification", (5,), 3)
        )
