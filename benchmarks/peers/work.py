"""What drivers share: the order they get, the data, the model, one client's training, the report. Only numpy and torch."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from benchmarks.peers.workloads import Workload

MARK = "PEER "


@dataclass(frozen=True)
class Order:
    """What a driver is to do: ``rounds`` in all, the warm-up's too, on the data in ``folder``, ``processes`` at work."""

    workload: Workload
    folder: Path
    rounds: int
    processes: int
    seed: int
    options: dict[str, str]

    @property
    def device(self) -> torch.device:
        """Where clients are trained."""
        return torch.device(self.options.get("device", "cpu"))


def read_order(path: str) -> Order:
    """The order in a file that ``write_order`` wrote."""
    found = json.loads(Path(path).read_text())
    shape = tuple(found["workload"]["shape"])
    return Order(
        **found
        | {
            "workload": Workload(**found["workload"] | {"shape": shape}),
            "folder": Path(found["folder"]),
        }
    )


class Data:
    """The arrays of a folder that ``data.write_data`` wrote, mapped; what is taken of them goes to the order's device."""

    def __init__(self, order: Order) -> None:
        def mapped(name: str) -> np.ndarray:
            return np.load(order.folder / f"{name}.npy", mmap_mode="r")

        self._tokens, self._device = bool(order.workload.vocabulary), order.device
        self._x, self._y, self._offsets = mapped("x"), mapped("y"), mapped("offsets")
        self._test = mapped("test_x"), mapped("test_y")

    def size(self, client: int) -> int:
        """Samples of a client."""
        return int(self._offsets[client + 1] - self._offsets[client])

    def client(self, client: int) -> tuple[torch.Tensor, torch.Tensor]:
        """What a client holds: features (samples, *shape) and classes (samples,), or tokens and those that follow."""
        rows = slice(int(self._offsets[client]), int(self._offsets[client + 1]))
        return self._tensors(self._x[rows], self._y[rows])

    def test(self) -> tuple[torch.Tensor, torch.Tensor]:
        """What the final model is judged on, as ``client``."""
        return self._tensors(*self._test)

    def _tensors(self, x: np.ndarray, y: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        if self._tokens:
            tokens = torch.from_numpy(np.array(x, np.int64)).to(self._device)
            return tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous()
        return torch.from_numpy(np.array(x)).to(self._device), torch.from_numpy(np.array(y)).to(
            self._device
        )


class Lstm(nn.Module):
    """As mpifl's: an embedding with one row more than there are tokens, LSTM layers, one linear layer for every position."""

    def __init__(self, vocabulary: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary + 1, 8, padding_idx=vocabulary)
        self.lstm = nn.LSTM(8, 256, 2, batch_first=True)
        self.out = nn.Linear(256, vocabulary)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Scores (batch, length, vocabulary)."""
        scores: torch.Tensor = self.out(self.lstm(self.embedding(tokens))[0])
        return scores


def model_of(order: Order) -> nn.Module:
    """The model of an order, on its device."""
    return build_model(order.workload, order.seed).to(order.device)


def build_model(workload: Workload, seed: int) -> nn.Module:
    """The workload's model with weights drawn from ``seed``; layers as in mpifl.models."""
    torch.manual_seed(seed)
    width = int(np.prod(workload.shape))
    if workload.model == "lstm":
        return Lstm(workload.vocabulary)
    if workload.model == "logreg":
        return nn.Sequential(nn.Flatten(), nn.Linear(width, workload.classes))
    if workload.model == "mlp":
        hidden = (nn.Linear(width, 200), nn.ReLU(), nn.Linear(200, 200), nn.ReLU())
        return nn.Sequential(nn.Flatten(), *hidden, nn.Linear(200, workload.classes))
    if workload.model == "femnist_cnn":
        first = (nn.Unflatten(1, (1, 28)), nn.Conv2d(1, 32, 5), nn.ReLU(), nn.MaxPool2d(2))
        second = (nn.Conv2d(32, 64, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten())
        return nn.Sequential(
            *first, *second, nn.Linear(1024, 512), nn.ReLU(), nn.Linear(512, workload.classes)
        )
    convolutions = (
        nn.Conv2d(3, 32, 3),
        nn.ReLU(),
        nn.Conv2d(32, 64, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Dropout(0.25),
        nn.Flatten(),
    )
    model = nn.Sequential(
        *convolutions,
        nn.Linear(12544, 128),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Linear(128, workload.classes),
    )
    for layer in model:
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)
    return model


def mean_loss(output: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Cross-entropy, over positions too."""
    return cross_entropy(output.flatten(0, -2), y.flatten())


class Counts(NamedTuple):
    """What was done: participants that returned, samples that they went through, SGD steps."""

    participants: int = 0
    samples: int = 0
    steps: int = 0

    def plus(self, other: Sequence[int]) -> Counts:
        """The two added up."""
        return Counts(*(a + b for a, b in zip(self, other, strict=True)))


def train_client(
    model: nn.Module, samples: tuple[torch.Tensor, torch.Tensor], workload: Workload
) -> Counts:
    """Local SGD as anybody writes it, in place: for the floor, and for frameworks that leave the training to the user."""
    x, y = samples
    optimizer = torch.optim.SGD(model.parameters(), workload.lr)
    model.train()
    steps = 0
    for _ in range(workload.epochs):
        order = torch.randperm(len(x))
        for start in range(0, len(x), workload.batch_size):
            batch = order[start : start + workload.batch_size]
            optimizer.zero_grad()
            mean_loss(model(x[batch]), y[batch]).backward()
            optimizer.step()
            steps += 1
    return Counts(1, workload.epochs * len(x), steps)


def final_loss(model: nn.Module, data: Data) -> float:
    """The mean loss over the samples that every final model is judged on."""
    model.eval()
    x, y = data.test()
    with torch.inference_mode():
        losses = [
            mean_loss(model(a), b) * len(a) for a, b in zip(x.split(500), y.split(500), strict=True)
        ]
    return float(sum(losses)) / len(x)


def report(
    version: str,
    seconds: Sequence[float],
    counts: Sequence[int],
    loss: float,
    note: str = "",
    **more: object,
) -> None:
    """The driver's last word: seconds of each round from boundary to boundary, what was done in all rounds, the final loss.

    A driver that cannot see the first rounds leaves them out of ``seconds``, whose last is the last round's. ``more`` is kept.
    """
    said = {
        "version": version,
        "seconds": list(seconds),
        **Counts(*counts)._asdict(),
        "loss": loss,
        "note": note,
        **more,
    }
    print(f"\n{MARK}{json.dumps(said)}", flush=True)
