"""Group knowledge transfer against the paper's algorithm in plain torch, with minibatches of all samples."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as f

from mpifl.datasets.dataset import DataShape
from mpifl.job import parse_job
from mpifl.models.flat import flatten
from mpifl.models.layout import layout_of
from mpifl.objectives.make import objective_of
from mpifl.protocols.actor import Actor, Message
from mpifl.protocols.cut import cut_of
from mpifl.protocols.fedgkt import FedGkt
from mpifl.protocols.halves import Halves
from tests.known import known

CLIENTS, HELD, CLASSES, ROUNDS = 2, 9, 4, 3
LR, HEAT, WEIGHT, EPOCHS, SERVER_EPOCHS = 0.3, 2.0, 0.7, 2, 3
SHAPE = DataShape("classification", (6,), CLASSES)
JOB = parse_job(
    {
        "rounds": ROUNDS,
        "data": {"name": "digits"},
        "model": {"name": "mlp", "hidden": [5, 7]},
        "training": {"batch_size": 100, "epochs": EPOCHS, "lr": LR},
        "selection": "uniform",
        "protocol": {
            "name": "fedgkt",
            "temperature": HEAT,
            "weight": WEIGHT,
            "server_epochs": SERVER_EPOCHS,
        },
    }
)


class Together:
    """Calls handlers without a clock."""

    def __init__(self, module: nn.Sequential) -> None:
        assert isinstance(JOB.protocol, FedGkt)
        self.protocol = JOB.protocol
        self.model = flatten(copy.deepcopy(module))
        self.initial = self.model.moving.clone()
        self.setting = Halves(
            job=JOB,
            cut=cut_of(JOB, SHAPE, 3),
            objective=objective_of("classification", CLASSES),
            targets=torch.int64,
            samples=np.full(CLIENTS, HELD),
            steps=np.full(CLIENTS, EPOCHS),
            longest=EPOCHS,
        )
        self.state: dict[int, dict[str, torch.Tensor]] = {n: {} for n in range(CLIENTS + 1)}

    def call(self, number: int, round_number: int, handler: str, *arguments: Any, data: Any) -> Any:
        context: Any = object() if number < CLIENTS else None
        actor = Actor(
            number=number,
            clients=CLIENTS,
            actors=CLIENTS + 1,
            round=round_number,
            now=0.0,
            setting=self.setting,
            state=self.state[number],
            context=context,
            initial=self.initial,
            layout=layout_of(self.model),
            make_generator=lambda: np.random.default_rng(number),
        )
        steps = getattr(self.protocol, handler)(actor, *arguments)
        if steps is not None:
            request = next(steps)
            self.model.load(request.weights)
            with pytest.raises(StopIteration):
                steps.send(request.function(self.model.module, *data))
        return actor


def distilled(logits: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
    wanted = f.softmax(teacher / HEAT, 1)
    gone = (wanted * (wanted.log() - f.log_softmax(logits / HEAT, 1))).sum(1).mean()
    return WEIGHT * HEAT**2 * gone


def test_rounds_are_those_of_the_paper() -> None:
    torch.manual_seed(1)
    whole = nn.Sequential(
        nn.Flatten(), nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, CLASSES)
    )
    data = [(torch.randn(HELD, 6), torch.randint(CLASSES, (HELD,))) for _ in range(CLIENTS)]
    ours = Together(whole)
    for number in range(CLIENTS + 1):
        ours.call(number, 0, "on_start", data=None)

    bottoms = [copy.deepcopy(whole[:3]) for _ in range(CLIENTS)]
    top = copy.deepcopy(whole[3:])
    heads = []
    for client in range(CLIENTS):
        head = nn.Linear(5, CLASSES)
        drawn = ours.state[client]["head"]
        head.load_state_dict({"weight": drawn[:, :-1], "bias": drawn[:, -1]})
        heads.append(head)
    taught: list[torch.Tensor | None] = [None] * CLIENTS

    for round_number in range(1, ROUNDS + 1):
        messages = []
        features, logits = [], []
        for client, (x, y) in enumerate(data):
            actor = ours.call(client, round_number, "on_timer", "train", data=(x, y))
            (sent,) = actor.sent
            messages.append(Message("features", round_number, client, sent.arrays, {}))

            optimizer = torch.optim.SGD(
                [*bottoms[client].parameters(), *heads[client].parameters()], LR
            )
            for _ in range(EPOCHS):
                optimizer.zero_grad()
                z = heads[client](bottoms[client](x))
                loss = f.cross_entropy(z, y)
                teacher = taught[client]
                (loss if teacher is None else loss + distilled(z, teacher)).backward()
                optimizer.step()
            features.append(bottoms[client](x).detach())
            logits.append(heads[client](features[-1]).detach())
            assert torch.allclose(sent.arrays["features"], features[-1], atol=1e-5)
            assert torch.allclose(sent.arrays["logits"], logits[-1], atol=1e-5)

        actor = ours.call(CLIENTS, round_number, "on_gathered", messages, data=(None, None))
        x, z, y = torch.cat(features), torch.cat(logits), torch.cat([y for _, y in data])
        optimizer = torch.optim.SGD(top.parameters(), LR)
        for _ in range(SERVER_EPOCHS):
            optimizer.zero_grad()
            (f.cross_entropy(top(x), y) + distilled(top(x), z)).backward()
            optimizer.step()
        taught = list(top(x).detach().split(HELD))
        for sent, wanted in zip(actor.sent, taught, strict=True):
            assert torch.allclose(sent.arrays["logits"], known(wanted), atol=1e-5)
            message = Message("logits", sent.round, CLIENTS, sent.arrays, {})
            ours.call(sent.to, sent.round, "on_message", message, data=None)
