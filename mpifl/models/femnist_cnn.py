"""The convolutional network that federated papers use on FEMNIST and MNIST."""

from __future__ import annotations

from pydantic import Field, PositiveInt
from torch import nn

from mpifl.datasets.dataset import DataShape
from mpifl.models.layers import picture
from mpifl.models.model import Model


class FemnistCnn(Model):
    """Two 5x5 convolutions, each with ReLU and 2x2 max pooling, and two fully connected layers.

    Samples are images (height, width) or (channels, height, width) of 16x16 pixels or more.

    Source: McMahan et al. (arXiv 1602.05629). The convolutions have no padding. On 28x28 grey
    images and 10 classes it has 582,026 parameters.
    """

    name: str = "femnist_cnn"
    channels: tuple[PositiveInt, PositiveInt] = Field(
        (32, 64), description="channels of the two convolutions"
    )
    hidden: int = Field(512, ge=1, description="units of the first fully connected layer")

    def build(self, data: DataShape) -> nn.Module:
        with_channels, shape = picture("femnist_cnn", data.sample, 16)
        first, second = self.channels
        height, width = (((side - 4) // 2 - 4) // 2 for side in shape[1:])

        return nn.Sequential(
            with_channels,
            nn.Conv2d(shape[0], first, 5),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(first, second, 5),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(second * height * width, self.hidden),
            nn.ReLU(),
            nn.Linear(self.hidden, data.outputs),
        )
