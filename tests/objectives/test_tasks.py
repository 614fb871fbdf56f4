"""Scores of recommendation, anomaly detection, segmentation and speech are those of the libraries."""

from __future__ import annotations

from typing import Any

import jiwer
import numpy as np
import pytest
import torch
from sklearn.metrics import jaccard_score, ndcg_score, roc_auc_score
from torch.nn.functional import binary_cross_entropy_with_logits, ctc_loss

from mpifl.datasets.dataset import DataShape
from mpifl.errors import InputError
from mpifl.models.autoencoder import Autoencoder
from mpifl.models.mlp import Mlp
from mpifl.models.unet import Unet
from mpifl.objectives.make import objective_of
from mpifl.objectives.objective import Objective, Scores
from tests.objectives.test_objectives import metrics

HALVES = (slice(0, 37), slice(37, None))


def halves(objective: Objective, output: torch.Tensor, y: torch.Tensor) -> list[Scores]:
    return [objective.score(output[rows], y[rows]) for rows in HALVES]


def test_recommendation_is_scikit_learns_over_whole_lists() -> None:
    torch.manual_seed(0)
    lists, items = 12, 20
    chosen = torch.zeros(lists, items)
    chosen[torch.arange(lists - 1), torch.randint(items, (lists - 1,))] = 1  # the last has none
    output = torch.randn(lists, items)
    number = 1000 + torch.arange(lists)[:, None].expand(lists, items)
    order = torch.randperm(lists * items)  # a list is spread over batches and ranks
    y = torch.stack([chosen, number.float()], -1).view(-1, 2)[order]
    flat = output.reshape(-1, 1)[order]

    objective = objective_of("recommendation", 2)
    found = metrics(objective, halves(objective, flat, y))
    assert found["ndcg"] == pytest.approx(ndcg_score(chosen[:-1], output[:-1], k=10))
    best = [(output[k] > output[k][chosen[k] == 1]).sum() < 10 for k in range(lists - 1)]
    assert found["hit_rate"] == np.mean(best)
    assert found["loss"] == pytest.approx(
        float(binary_cross_entropy_with_logits(flat[:, 0], y[:, 0])), rel=1e-6
    )
    alike = torch.zeros_like(flat)  # a model that has learned nothing recommends nobody's choice
    assert metrics(objective, halves(objective, alike, y))["hit_rate"] == 0


def test_lists_of_any_length_are_scored_one_by_one() -> None:
    torch.manual_seed(1)
    lengths = [1, 2, 7, 2, 30, 7]
    output = [torch.randn(length).round(decimals=1) for length in lengths]  # some are equal
    chosen = [(torch.rand(length) < 0.5).float() for length in lengths]
    chosen[3][:], chosen[1][:] = 0, 1
    number = torch.repeat_interleave(torch.arange(6), torch.tensor(lengths)).float()
    y = torch.stack([torch.cat(chosen), number], 1)

    objective = objective_of("recommendation", 2, k=3)
    found = metrics(objective, [objective.score(torch.cat(output)[:, None], y)])
    counted = [k for k in range(6) if lengths[k] > 1 and chosen[k].any()]
    gains = [ndcg_score(chosen[k][None], output[k][None], k=3) for k in counted]
    assert found["ndcg"] == pytest.approx(np.mean(gains))
    best = [output[k][chosen[k] == 1].max() for k in counted]
    before = [
        (output[k][chosen[k] == 0] >= one).sum() for k, one in zip(counted, best, strict=True)
    ]
    assert found["hit_rate"] == pytest.approx(np.mean([number < 3 for number in before]))


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
@pytest.mark.parametrize(
    "name", ["anomaly", "binary", "contrastive", "recommendation", "survival", "generation"]
)
def test_what_ranks_samples_is_no_number_where_an_output_is_none(name: str, wrong: float) -> None:
    """As in a run that records that it has diverged."""
    objective = objective_of(name, 2)
    rows = np.random.default_rng(0).random((12, objective.gathered))
    rows[:, 1] = np.arange(1, 13) % 2
    rows[:, -1] = np.arange(12) % 2
    counts = np.zeros(objective.counted, np.int64)
    found = objective.metrics(12, 0, 1.0, counts, rows)
    assert all(np.isfinite(found[measure]) for measure in objective.measures)

    rows[0, 0] = wrong
    found = objective.metrics(12, 0, 1.0, counts, rows)
    assert all(np.isnan(found[measure]) for measure in objective.measures)


def test_anomalies_are_ranked_by_scikit_learn_and_are_in_no_loss() -> None:
    torch.manual_seed(0)
    output, y = torch.randn(90, 7), (torch.rand(90) < 0.2).long()
    objective = objective_of("anomaly", 2)
    found = metrics(objective, halves(objective, output, y))
    errors = output.square().mean(1)
    assert found["auc"] == pytest.approx(roc_auc_score(y, errors))
    assert found["loss"] == pytest.approx(float(errors[y == 0].mean()), rel=1e-6)
    assert float(objective.loss(output, y)) == pytest.approx(found["loss"], rel=1e-6)
    assert objective.scored(y) == (y == 0).sum()
    only = torch.ones(3, dtype=torch.int64)
    assert float(objective.loss(output[:3], only)) == 0
    assert np.isnan(metrics(objective, [objective.score(output[:3], only)])["auc"])

    model = Autoencoder(hidden=[3, 2])
    shape = objective.model_shape(DataShape("classification", (5, 1), 2))
    module: Any = model.build_checked(shape)
    x = torch.randn(4, 5, 1)
    torch.testing.assert_close(module(x), module.layers(x.flatten(1)) - x.flatten(1))
    assert [layer.out_features for layer in module.layers[::2]] == [3, 2, 3, 5]


def test_segmentation_is_scikit_learns() -> None:
    torch.manual_seed(0)
    output = torch.randn(60, 4, 3, 5)
    y = torch.randint(-1, 3, (60, 15)).float()  # nothing is of the last class
    objective = objective_of("segmentation", 4)
    found = metrics(objective, halves(objective, output, y))
    predicted, there = output.argmax(1).view(60, 15), y >= 0
    assert found["miou"] == pytest.approx(
        jaccard_score(y[there], predicted[there], average="macro")
    )
    assert found["accuracy"] == pytest.approx(float((predicted == y)[there].float().mean()))
    assert found["loss"] == pytest.approx(float(objective.loss(output, y)), rel=1e-5)


def test_error_rates_are_jiwers() -> None:
    torch.manual_seed(0)
    symbols, blank = " ab", 3
    y = torch.full((60, 9), -1.0)
    for row, length in zip(y, torch.randint(2, 9, (60,)).tolist(), strict=True):
        row[:length] = torch.randint(3, (length,))
        row[0] = 1  # jiwer refuses a transcript without words
    output = torch.randn(60, 20, 4)
    objective = objective_of("transcription", 3)
    found = metrics(objective, halves(objective, output, y))

    said = ["".join(symbols[int(k)] for k in row if k >= 0) for row in y]
    heard = []
    for frames in output.argmax(-1).tolist():
        kept = [k for place, k in enumerate(frames) if place == 0 or frames[place - 1] != k]
        heard.append("".join(symbols[k] for k in kept if k != blank))
    assert found["wer"] == pytest.approx(jiwer.wer(said, heard))
    plain = jiwer.Compose([jiwer.ReduceToListOfListOfChars()])  # jiwer would strip spaces
    expected = jiwer.cer(said, heard, reference_transform=plain, hypothesis_transform=plain)
    assert found["cer"] == pytest.approx(expected)

    lengths = (y >= 0).sum(1)
    probabilities = output.log_softmax(-1).transpose(0, 1)
    frames = torch.full((60,), 20)
    theirs = ctc_loss(probabilities, y.clamp(min=0).long(), frames, lengths, blank=3)
    assert float(objective.loss(output, y)) == pytest.approx(float(theirs), rel=1e-6)
    assert found["loss"] == pytest.approx(float(theirs), rel=1e-6)
    both = objective.sample_losses(torch.stack([output, output]), torch.stack([y, y]))
    torch.testing.assert_close(both[1], objective.sample_losses(output, y))


def test_models_are_for_their_tasks() -> None:
    pixels = DataShape("segmentation", (3, 8, 8), 5)
    assert Unet(width=4).build_checked(pixels)(torch.zeros(2, 3, 8, 8)).shape == (2, 5, 8, 8)
    with pytest.raises(InputError, match=r"^model.name: 'mlp' is not allowed for segmentation: it"):
        Mlp().build_checked(pixels)
    with pytest.raises(InputError, match=r"^model.name: 'unet' is not allowed for classification"):
        Unet().build_checked(DataShape("classification", (8, 8), 2))
    with pytest.raises(InputError, match=r"^model.depth: 4 is not allowed: images of \(8, 8\)"):
        Unet(depth=4).build_checked(pixels)
