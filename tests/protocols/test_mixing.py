"""Handlers of the protocols on graphs against their papers' formulas, in NumPy."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pytest
import torch

from mpifl.algorithms.requests import Train, Trained
from mpifl.errors import TrainingError
from mpifl.models.layout import Layout
from mpifl.protocols.actor import Actor, Message
from mpifl.protocols.d_psgd import DPsgd
from mpifl.protocols.gossip import Gossip, Mixing
from mpifl.protocols.graph import Graph, topology
from mpifl.protocols.mixing import mixed, weighted_mean
from mpifl.protocols.push_sum import PushSum
from mpifl.protocols.weights import mixing_matrix

CLIENTS, SIZE, ROUNDS = 8, 5, 3
RANDOM = np.random.default_rng(3)
INITIAL = RANDOM.standard_normal(SIZE).astype(np.float32)
UPDATES = RANDOM.standard_normal((ROUNDS + 1, CLIENTS, SIZE)).astype(np.float32)
SAMPLES = np.arange(1, CLIENTS + 1)


class Rounds:
    """Calls the handlers of a protocol in rounds, without a clock; a training adds a row of UPDATES."""

    def __init__(self, protocol: Any, setting: Any) -> None:
        self.protocol, self.setting = protocol, setting
        self.state: list[dict[str, torch.Tensor]] = [{} for _ in range(CLIENTS)]
        self.reports: list[Any] = [None] * CLIENTS

    def call(self, number: int, round_number: int, handler: str, *arguments: Any) -> Actor:
        actor = Actor(
            number=number,
            clients=CLIENTS,
            actors=CLIENTS,
            round=round_number,
            now=0.0,
            setting=self.setting,
            state=self.state[number],
            context=None,
            initial=torch.from_numpy(INITIAL),
            layout=Layout(SIZE),
            make_generator=lambda: np.random.default_rng(0),
        )
        program = getattr(self.protocol, handler)(actor, *arguments)
        answer = None
        while program is not None:
            try:
                request = program.send(answer)
            except StopIteration:
                break
            assert isinstance(request, Train)
            update = torch.from_numpy(UPDATES[round_number, number])
            answer = Trained(request.start, request.start + update, 0.0, 1)
        for timer in actor.timers:
            if timer.round == round_number:
                actor.sent += self.call(number, round_number, "on_timer", timer.name).sent
        for report in actor.reports:
            self.reports[number] = report.model.numpy()
        return actor

    def run(self) -> np.ndarray:
        """The models (CLIENTS, SIZE) that are reported for the last round."""
        for number in range(CLIENTS):
            self.call(number, 0, "on_start")
        for round_number in range(1, ROUNDS + 1):
            first = "send" if isinstance(self.protocol, DPsgd) else "train"
            sent = [
                (number, sending)
                for number in range(CLIENTS)
                for sending in self.call(number, round_number, "on_timer", first).sent
            ]
            for number in range(CLIENTS):
                messages = [
                    Message(one.kind, one.round, sender, one.arrays, one.numbers)
                    for sender, one in sent
                    if one.to == number
                ]
                self.call(number, round_number, "on_gathered", messages)
        return np.array(self.reports)


@pytest.mark.parametrize("rule", ["metropolis", "uniform", "samples"])
@pytest.mark.parametrize("graph", ["ring", "torus", "matching"])
def test_gossip_is_the_mixing_matrix_times_the_trained_models(
    graph: str, rule: Literal["metropolis", "uniform", "samples"]
) -> None:
    setting = Mixing(topology(Graph(name=graph), CLIENTS, 0), SAMPLES)
    found = Rounds(Gossip(weights=rule), setting).run()

    models = np.tile(INITIAL.astype(float), (CLIENTS, 1))
    for number in range(1, ROUNDS + 1):
        matrix = mixing_matrix(rule, setting.topology.at(number), SAMPLES)
        models = matrix @ (models + UPDATES[number])
    assert found == pytest.approx(models, abs=1e-5)


def test_d_psgd_mixes_the_models_from_before_the_step() -> None:
    setting = Mixing(topology(Graph(name="ring"), CLIENTS, 0), SAMPLES)
    found = Rounds(DPsgd(), setting).run()

    matrix = mixing_matrix("metropolis", setting.topology.at(1), SAMPLES)
    models = np.tile(INITIAL.astype(float), (CLIENTS, 1))
    for number in range(1, ROUNDS + 1):
        models = matrix @ models + UPDATES[number]
    assert found == pytest.approx(models, abs=1e-5)


@pytest.mark.parametrize("graph", ["one_peer_exponential", "exponential", "star"])
def test_push_sum_is_without_bias_on_directed_and_uneven_graphs(graph: str) -> None:
    setting = topology(Graph(name=graph), CLIENTS, 0)
    found = Rounds(PushSum(), setting).run()

    sums = np.tile(INITIAL.astype(float), (CLIENTS, 1))
    weights = np.ones(CLIENTS)
    for number in range(1, ROUNDS + 1):
        receivers = setting.at(number).receivers
        shares = np.zeros((CLIENTS, CLIENTS))
        for sender, others in receivers.items():
            shares[[sender, *others], sender] = 1 / (1 + len(others))
        sums = shares @ (sums + UPDATES[number])
        weights = shares @ weights
    assert found == pytest.approx(sums / weights[:, None], abs=1e-4)


def test_a_mix_of_one_model_is_it_and_a_mean_of_equal_ones_too() -> None:
    model = torch.from_numpy(INITIAL)
    layout = Layout(SIZE - 1, 1)
    assert torch.equal(mixed(model, [model], [1.0], layout), model)
    assert torch.equal(weighted_mean([model], [17.0]), model)


def test_a_model_that_is_not_finite_is_an_error() -> None:
    model = torch.from_numpy(INITIAL)
    wrong = model.clone()
    wrong[1] = torch.inf
    with pytest.raises(TrainingError, match="entry 1 of a model that is mixed differs by inf"):
        mixed(model, [wrong], [1.0], Layout(SIZE))
