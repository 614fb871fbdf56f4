"""Passes over all samples of one client: its loss, the gradient of its loss."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from mpifl.models.flat import FlatModel
from mpifl.objectives.objective import Objective
from mpifl.training.evaluate import score_samples
from mpifl.training.samples import Samples


def loss_on(
    model: FlatModel, weights: torch.Tensor, objective: Objective, samples: Samples, at_once: int
) -> tuple[float, int, int]:
    """Return the mean loss of ``weights`` (size,) on samples, the right and all predictions.

    In evaluation mode. ``at_once`` samples are in memory with their activations.
    """
    loss = 0.0
    correct = 0
    scored = 0
    for block in _blocks(samples, at_once):
        scores = score_samples(model, weights, objective, block)
        loss += float(scores.loss.sum())
        correct += int(scores.correct.sum())
        scored += int(scores.scored.sum())
    return loss / max(scored, 1), correct, scored


def gradient_on(
    model: FlatModel, weights: torch.Tensor, objective: Objective, samples: Samples, at_once: int
) -> tuple[torch.Tensor, float, torch.Tensor]:
    """Return the gradient (size,) of the mean loss of ``weights`` on samples, and that loss.

    In training mode. The gradient is 0 in the averaged segment; third comes that segment as the
    passes left it, (averaged,).
    """
    model.load(weights)
    model.module.train()
    total = torch.zeros_like(weights)
    pieces = model.split(total)[: len(model.parameters)]
    mean = 0.0
    predictions = float(objective.scored(samples[1]))

    for x, y in _blocks(samples, at_once):
        share = float(objective.scored(y)) / max(predictions, 1.0)
        if not share:
            continue  # a mean over no predictions is NaN
        loss = objective.loss(model.module(x), y)
        gradients = torch.autograd.grad(loss, model.parameters, allow_unused=True)
        for piece, gradient in zip(pieces, gradients, strict=True):
            if gradient is not None:
                piece.add_(gradient, alpha=share)
        mean += float(loss.detach()) * share

    model.check_trained()
    return total, mean, model.moving[model.averages].clone()


def _blocks(samples: Samples, at_once: int) -> Iterator[Samples]:
    """Yield samples in blocks of at most ``at_once``, as few and as equal as can be.

    With a rest of one sample in a block of its own batch norm would fail.
    """
    x, y = samples
    blocks = -(-len(x) // at_once)
    yield from zip(x.tensor_split(blocks), y.tensor_split(blocks), strict=True)
