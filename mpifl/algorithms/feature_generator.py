"""A generator, which makes features of a class out of noise, and the heads that it learns from."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch

MOMENTUM = 0.1
"""Share of a minibatch in the running mean and variance, torch's default."""

EPS = 1e-5
"""Added to variances, torch's default."""


@dataclass(frozen=True)
class FeatureGenerator:
    """Noise and a class, a linear layer, batch norm, ReLU, a linear layer: features.

    Its numbers are a vector: the parameters, and behind them the running mean and variance of batch
    norm.

    Attributes:
        classes: How many classes there are; one goes in as a row with a 1 among zeros.
        features: How many features come out.
        hidden: Units between.
        noise: How many numbers of noise go in, each uniform from 0 to 1.
    """

    classes: int
    features: int
    hidden: int
    noise: int

    @cached_property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of each parameter, by name, in the order of the vector."""
        return {
            "first.weight": (self.hidden, self.noise + self.classes),
            "first.bias": (self.hidden,),
            "norm.weight": (self.hidden,),
            "norm.bias": (self.hidden,),
            "last.weight": (self.features, self.hidden),
            "last.bias": (self.features,),
        }

    @property
    def parameters(self) -> int:
        """How many numbers of the vector are trained."""
        return sum(math.prod(shape) for shape in self.shapes.values())

    @property
    def size(self) -> int:
        """How many numbers the vector has."""
        return self.parameters + 2 * self.hidden

    @property
    def flops(self) -> float:
        """FLOPs of the linear layers, for the features of one sample."""
        return 2.0 * self.hidden * (self.noise + self.classes + self.features)

    def start(self, random: np.random.Generator) -> np.ndarray:
        """Return the first vector, (size,) float32: linear layers as torch begins them."""
        pieces = []
        for name, shape in self.shapes.items():
            layer, _, kind = name.partition(".")
            bound = self.shapes[f"{layer}.weight"][-1] ** -0.5
            if layer == "norm":
                pieces.append(np.full(shape, float(kind == "weight")))
            else:
                pieces.append(random.uniform(-bound, bound, shape))
        pieces += [np.zeros(self.hidden), np.ones(self.hidden)]
        return np.concatenate([piece.ravel() for piece in pieces]).astype(np.float32)

    def draw(self, labels: torch.Tensor, random: np.random.Generator) -> torch.Tensor:
        """Return the noise for samples of some classes, (samples, noise) float32."""
        import torch

        noise = random.random((len(labels), self.noise), np.float32)
        return torch.from_numpy(noise).to(labels.device)

    def __call__(
        self,
        vector: torch.Tensor,
        averages: torch.Tensor,
        noise: torch.Tensor,
        labels: torch.Tensor,
        training: bool = False,
    ) -> torch.Tensor:
        """Return features (samples, features).

        Args:
            vector: The parameters, (parameters,).
            averages: The running mean and variance, (2 hidden,). In training batch norm takes those
                of the samples, and moves these in place.
            noise: As ``draw`` returns it, (samples, noise).
            labels: The class of each sample, (samples,) int64.
            training: Whether it is trained.
        """
        import torch
        from torch.nn.functional import batch_norm, linear, one_hot

        sizes = [math.prod(shape) for shape in self.shapes.values()]
        pieces = torch.split(vector, sizes)
        weight, bias, scale, shift, last_weight, last_bias = (
            piece.view(shape) for piece, shape in zip(pieces, self.shapes.values(), strict=True)
        )
        mean, variance = averages.chunk(2)
        inner = linear(torch.cat([noise, one_hot(labels, self.classes).to(noise)], 1), weight, bias)
        inner = batch_norm(inner, mean, variance, scale, shift, training, MOMENTUM, EPS)
        return linear(inner.relu(), last_weight, last_bias)


@dataclass(frozen=True)
class Teachers:
    """The heads of a round's participants, in the order of the clients.

    Attributes:
        weight: (n classes, features), one head below the other.
        bias: (n classes,); None where heads have none.
        shares: How much each counts for a class, (n, classes): its share of the samples.
        labels: The classes of which there are samples, (k,) int64.
    """

    weight: torch.Tensor
    bias: torch.Tensor | None
    shares: torch.Tensor
    labels: np.ndarray

    @staticmethod
    def of(heads: torch.Tensor, counts: torch.Tensor, features: int) -> Teachers:
        """Return those with entries ``heads`` (n, entries) and samples ``counts`` (n, classes)."""
        n, classes = counts.shape
        weight, bias = heads.tensor_split([classes * features], dim=1)
        shares = counts / counts.sum(0).clamp_min(1)
        labels = counts.sum(0).nonzero().flatten().numpy()
        return Teachers(
            weight=weight.reshape(n * classes, features),
            bias=bias.reshape(-1) if bias.shape[1] else None,
            shares=shares,
            labels=labels,
        )

    def loss(self, features: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Return the mean over samples of the heads' weighted cross-entropies, a scalar.

        ``features`` are (samples, features), ``labels`` (samples,) what they are generated for.
        """
        import torch

        logits = torch.nn.functional.linear(features, self.weight, self.bias)
        logits = logits.view(len(labels), *self.shares.shape)
        right = logits.log_softmax(2)[torch.arange(len(labels)), :, labels]
        return -(self.shares.T[labels] * right).sum(1).mean()


def alikeness(noise: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
    """Return exp(-mean of the pairs' squared noise distance times feature distance), a scalar.

    It is 1 where all features are the same, and smaller the more they differ with the noise
    (samples, noise). The distance of features (samples, features) is the mean absolute difference.
    """
    import torch

    apart = torch.cdist(features, features, p=1) / features.shape[1]
    noise_apart = (noise[:, None] - noise).square().mean(2)
    return (-noise_apart * apart).mean().exp()
