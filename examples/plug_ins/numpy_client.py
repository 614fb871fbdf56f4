"""A client without torch: scikit-learn on NumPy arrays, for models of one linear layer."""

from __future__ import annotations

import numpy as np
import torch
from pydantic import Field
from sklearn.linear_model import SGDClassifier
from torch import nn

from mpifl.algorithms.context import ClientContext, Program, Upload
from mpifl.algorithms.fedavg import FedAvg
from mpifl.algorithms.requests import Call
from mpifl.clock.cost import Cost
from mpifl.models.layout import Layout


class SklearnClients(FedAvg):
    """FedAvg whose clients fit SGDClassifier: a logistic regression for each class."""

    name: str = "sklearn"
    epochs: int = Field(2, ge=1, description="passes over a client's samples")
    eta: float = Field(0.01, gt=0, description="learning rate (eta0 of SGDClassifier)")

    def cost(self, layout: Layout) -> Cost:
        """Return that a client makes its epochs, and no local steps of mpifl's."""
        return Cost(training=0, gradients=self.epochs)

    def client(self, c: ClientContext) -> Program:
        """Fit the received model to the client's samples, and upload what changed."""
        model = c.received["model"]
        weights = model.numpy().copy()
        classes, features = c.layout.shapes[c.layout.head[0]]
        seed = int(c.make_generator().integers(2**31))

        def fit(module: nn.Module, x: torch.Tensor, y: torch.Tensor) -> np.ndarray:
            samples = x.flatten(1).numpy().astype(np.float64)
            coefficients = classes * features
            classifier = SGDClassifier(
                loss="log_loss", learning_rate="constant", eta0=self.eta, random_state=seed
            )
            classifier.partial_fit(samples[:1], y[:1].numpy(), classes=np.arange(classes))
            classifier.coef_[:] = weights[:coefficients].reshape(classes, features)
            classifier.intercept_[:] = weights[coefficients:]
            for _ in range(self.epochs):
                classifier.partial_fit(samples, y.numpy())
            return np.concatenate([classifier.coef_.ravel(), classifier.intercept_])

        fitted = yield Call(fit, model, gradients=self.epochs)
        return Upload(update=torch.from_numpy((fitted - weights).astype(np.float32)))
