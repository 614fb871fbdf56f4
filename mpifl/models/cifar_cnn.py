"""The convolutional network of pfl-research's speed benchmark on CIFAR-10."""

from __future__ import annotations

from pydantic import Field, PositiveInt
from torch import nn

from mpifl.datasets.dataset import DataShape
from mpifl.models.layers import Dropout, picture
from mpifl.models.model import Model

CONVOLUTION_DROPOUT = 0.25
HIDDEN_DROPOUT = 0.5


class CifarCnn(Model):
    """Two 3x3 convolutions, 2x2 max pooling and two fully connected layers, with ReLU and dropout.

    Samples are images (height, width) or (channels, height, width) of 6x6 pixels or more.

    Source: arXiv 2404.06430 (``simple_cnn`` of its code). The convolutions have no padding.
    Dropout is 0.25 after the pooling and 0.5 before the last layer. Weights are drawn by Xavier's
    uniform rule; biases are 0. On 32x32 colour images and 10 classes it has 1,626,442 parameters.
    """

    name: str = "cifar_cnn"
    channels: tuple[PositiveInt, PositiveInt] = Field(
        (32, 64), description="channels of the two convolutions"
    )
    hidden: int = Field(128, ge=1, description="units of the first fully connected layer")

    def build(self, data: DataShape) -> nn.Module:
        with_channels, shape = picture("cifar_cnn", data.sample, 6)
        first, second = self.channels
        height, width = ((side - 4) // 2 for side in shape[1:])

        module = nn.Sequential(
            with_channels,
            nn.Conv2d(shape[0], first, 3),
            nn.ReLU(),
            nn.Conv2d(first, second, 3),
            nn.ReLU(),
            nn.MaxPool2d(2),
            Dropout(CONVOLUTION_DROPOUT),
            nn.Flatten(),
            nn.Linear(second * height * width, self.hidden),
            nn.ReLU(),
            Dropout(HIDDEN_DROPOUT),
            nn.Linear(self.hidden, data.outputs),
        )

        for layer in module:
            if isinstance(layer, nn.Conv2d | nn.Linear):
                nn.init.xavier_uniform_(layer.weight)
                nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
        return module
