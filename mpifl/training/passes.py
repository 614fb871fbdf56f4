"""Passes over all samples of one client: its loss, the gradient of its loss."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from mpifl.models.flat import FlatModel
from mpifl.objectives.objective import Objective
from mpifl.training.samples import Samples


def loss_on(
    model: FlatModel, weights: torch.Tensor, objective: Objective, samples: Samples, at_once: int
) -> tuple[float, int, int]:
    """Return the mean loss of ``weights`` (size,) on samples, the right and all predictions.

    In evaluation mode. ``at_once`` samples are in memory with their activations.
    """
    model.load(weights)
    model.module.eval()
    loss = 0.0
    correct = 0
    scored = 0
    with torch.inference_mode():
        for x, y in _blocks(samples, at_once):
            scores = objective.score(model.module(x), y)
            loss += float(scores.loss.sum())
            correct += int(scores.correct.sum())
            scored += int(scores.scored.sum())
    return loss / max(scored, 1), correct, scored


def gradient_on(
    model: FlatModel, weights: torch.Tensor, objective: Objective, samples: Samples, at_once: int
) -> tuple[torch.Tensor, float]:
    """Return the gradient (size,) of the mean loss of ``weights`` on samples, and that loss.

    In training mode. The gradient is 0 in the averaged segment.
    """
    model.load(weights)
    model.module.train()
    total = torch.zeros_like(weights)
    pieces = model.split(total)[: len(model.parameters)]
    mean = 0.0
    predictions = float(objective.scored(samples[1]))

    for x, y in _blocks(samples, at_once):
        share = float(objective.scored(y)) / predictions
        loss = objective.loss(model.module(x), y)
        gradients = torch.autograd.grad(loss, model.parameters, allow_unused=True)
        for piece, gradient in zip(pieces, gradients, strict=True):
            if gradient is not None:
                piece.add_(gradient, alpha=share)
        mean += float(loss.detach()) * share

    model.check_trained()
    return total, mean


def _blocks(samples: Samples, at_once: int) -> Iterator[Samples]:
    x, y = samples
    for begin in range(0, len(x), at_once):
        block = slice(begin, begin + at_once)
        yield x[block], y[block]
