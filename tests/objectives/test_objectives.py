"""What is learned and how it is scored, against scikit-learn and by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import log_softmax
from sklearn.metrics import accuracy_score, f1_score, mean_squared_error, top_k_accuracy_score
from torch.nn.functional import cross_entropy

from mpifl.objectives import REGISTRY
from mpifl.objectives.classification import Classification
from mpifl.objectives.language import Language
from mpifl.objectives.objective import IGNORED, Objective, Scores
from mpifl.objectives.regression import Regression


def metrics(objective: Objective, batches: list[Scores]) -> dict[str, float]:
    """As the aggregator: sums over batches, and the mean loss."""
    scored, correct, loss = (
        sum(float(getattr(b, name).sum()) for b in batches)
        for name in ("scored", "correct", "loss")
    )
    counts = np.sum([b.counts.numpy() for b in batches], axis=0)
    return objective.metrics(int(scored), int(correct), loss / scored, counts)


@pytest.mark.parametrize("classes", [2, 5, 6, 10])
def test_classification_scores_are_scikit_learns(classes: int) -> None:
    torch.manual_seed(classes)
    output, y = (
        torch.randn(200, classes),
        torch.randint(max(2, classes - 1), (200,)),
    )  # the last class is not there
    objective = Classification(classes)
    found = metrics(
        objective,
        [objective.score(output[rows], y[rows]) for rows in (slice(0, 70), slice(70, 200))],
    )
    predicted = output.argmax(1)
    assert found["accuracy"] == accuracy_score(y, predicted)
    assert found["f1"] == pytest.approx(f1_score(y, predicted, average="macro"))
    if classes > 5:
        assert found["top5"] == top_k_accuracy_score(y, output.numpy(), k=5, labels=range(classes))
    else:
        assert "top5" not in found
    assert found["loss"] == pytest.approx(float(objective.loss(output, y)), rel=1e-5)


def test_regression_scores_are_scikit_learns() -> None:
    torch.manual_seed(0)
    output, y = torch.randn(90, 3), torch.randn(90, 3)
    objective = Regression(3)
    found = metrics(
        objective, [objective.score(output[:50], y[:50]), objective.score(output[50:], y[50:])]
    )
    assert found["loss"] == pytest.approx(mean_squared_error(y, output), rel=1e-6)
    assert found["rmse"] == pytest.approx(math.sqrt(mean_squared_error(y, output)), rel=1e-6)
    assert float(objective.loss(output, y)) == pytest.approx(found["loss"], rel=1e-6)
    assert "accuracy" not in found


@given(st.lists(st.integers(1, 6), min_size=1, max_size=8), st.integers(0, 100))
def test_language_scores_count_tokens_that_are_there(lengths: list[int], seed: int) -> None:
    random = np.random.default_rng(seed)
    output = random.standard_normal((len(lengths), 6, 4)).astype(np.float32)
    y = random.integers(4, size=(len(lengths), 6))
    mask = np.arange(6) < np.array(lengths)[:, None]
    y[~mask] = IGNORED
    objective = Language(4)
    judged = objective.score(torch.from_numpy(output), torch.from_numpy(y))
    assert judged.scored.tolist() == lengths
    losses = [
        -log_softmax(output[i, k].astype(float))[y[i, k]]
        for i in range(len(lengths))
        for k in range(lengths[i])
    ]
    right = [
        output[i, k].argmax() == y[i, k] for i in range(len(lengths)) for k in range(lengths[i])
    ]
    found = metrics(objective, [judged])
    assert found["loss"] == pytest.approx(np.mean(losses), rel=1e-5)
    assert found["perplexity"] == pytest.approx(np.exp(np.mean(losses)), rel=1e-5)
    assert found["accuracy"] == np.mean(right)
    assert objective.scored(torch.from_numpy(y)) == sum(lengths)
    assert float(objective.loss(torch.from_numpy(output), torch.from_numpy(y))) == pytest.approx(
        np.mean(losses), rel=1e-5
    )


def test_a_perplexity_beyond_all_floats_is_infinite() -> None:
    assert Language(4).metrics(10, 0, 1e4, np.empty(0))["perplexity"] == math.inf


@pytest.mark.parametrize("name", REGISTRY)
def test_counts_are_as_long_as_said(name: str) -> None:
    objective = REGISTRY[name](7)
    output, y = {
        "classification": (torch.randn(3, 7), torch.tensor([0, 1, 6])),
        "regression": (torch.randn(3, 7), torch.randn(3, 7)),
        "language": (torch.randn(3, 2, 7), torch.tensor([[0, 1], [2, IGNORED], [3, 4]])),
    }[name]
    judged = objective.score(output, y)
    assert len(judged.counts) == objective.counted
    assert [len(column) for column in judged[:3]] == [3, 3, 3]
    assert [column.dtype for column in judged] == [
        torch.int64,
        torch.int64,
        torch.float64,
        torch.int64,
    ]


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.7])
@pytest.mark.parametrize("padded", [False, True])
def test_smoothed_labels_are_torchs(smoothing: float, padded: bool) -> None:
    """The loss, by autograd and by hand, of a batch and of several models at once."""
    torch.manual_seed(0)
    models, samples, classes = 4, 7, 5
    output = torch.randn(models, samples, classes, dtype=torch.float64)
    y = torch.randint(classes, (models, samples))
    counts = [7, 1, 4, 6] if padded else [7] * 4
    mask = torch.arange(samples) < torch.tensor(counts)[:, None]
    objective = Classification(classes, smoothing)

    for model, count in enumerate(counts):
        own = output[model].clone().requires_grad_()
        expected = cross_entropy(own[:count], y[model, :count], label_smoothing=smoothing)
        targets = torch.full((count, classes), smoothing / classes, dtype=torch.float64)
        targets[torch.arange(count), y[model, :count]] += 1 - smoothing
        by_hand = -(targets * torch.log_softmax(own[:count], 1)).sum(1).mean()
        torch.testing.assert_close(by_hand, expected)
        found = objective.loss(own, y[model], mask[model] if padded else None)
        torch.testing.assert_close(found, expected)

        (gradient,) = torch.autograd.grad(expected, own)
        share = mask / mask.double().sum(1, keepdim=True)
        losses, gradients = objective.loss_and_grad(output.clone(), y, share)
        torch.testing.assert_close(losses[model], expected.detach())
        torch.testing.assert_close(gradients[model], gradient)

    mapped = torch.func.vmap(objective.loss)(output, y, mask)
    torch.testing.assert_close(mapped, losses)


def test_scores_are_not_smoothed() -> None:
    torch.manual_seed(0)
    output, y = torch.randn(20, 4), torch.randint(4, (20,))
    plain, smoothed = Classification(4), Classification(4, 0.3)
    for found, expected in zip(smoothed.score(output, y), plain.score(output, y), strict=True):
        assert torch.equal(found, expected)
    assert float(smoothed.loss(output, y)) != pytest.approx(float(plain.loss(output, y)))
