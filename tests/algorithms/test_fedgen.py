"""FedGen against a plain program with torch's own layers and optimizer, and its identities."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy, one_hot

from mpifl.algorithms.feature_generator import FeatureGenerator, Teachers, alikeness
from mpifl.algorithms.fedgen import FedGen
from mpifl.errors import InputError
from mpifl.rounds.experiment.build_experiment import check_job
from mpifl.seeds import Purpose, generator
from tests.algorithms.parted import MODELS, head_of
from tests.algorithms.reference import EQUAL, Run, assert_close, assert_resumes_alike
from tests.small_data import small_data

ALPHA, BETA, DECAY, ETA = 0.7, 1.5, 0.9, 2.0
HIDDEN, NOISE, STEPS, BATCH, RATE, PULL = 24, 6, 7, 12, 0.003, 0.02
CLASSES, FEATURES = 10, 16
GEN = (
    f"algorithm={{name: fedgen, alpha: {ALPHA}, beta: {BETA}, decay: {DECAY}, eta: {ETA}, hidden: {HIDDEN}, noise: {NOISE},"
    f" generator_steps: {STEPS}, generator_batch: {BATCH}, generator_lr: {RATE}, weight_decay: {PULL}}}"
)
SKEWED = "data.partition={name: dirichlet, alpha: 0.05, clients: 12}"


class Network(nn.Module):
    """The generator, of torch's layers."""

    def __init__(self, hidden: int, noise: int) -> None:
        super().__init__()
        self.first = nn.Linear(noise + CLASSES, hidden)
        self.norm = nn.BatchNorm1d(hidden)
        self.last = nn.Linear(hidden, FEATURES)

    def forward(self, noise: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        inner = self.first(torch.cat([noise, one_hot(labels, CLASSES).float()], 1))
        return self.last(torch.relu(self.norm(inner)))

    def vector(self) -> torch.Tensor:
        assert self.norm.running_mean is not None
        assert self.norm.running_var is not None
        parts = [*self.parameters(), self.norm.running_mean, self.norm.running_var]
        return torch.cat([part.detach().flatten() for part in parts])


def first_network(seed: int) -> Network:
    """As it is before the first round: linear layers with torch's bounds."""
    random = generator(seed, Purpose.SERVER, 0)
    network = Network(HIDDEN, NOISE)
    for layer in (network.first, network.last):
        for parameter in layer.parameters():
            bound = 1 / math.sqrt(layer.in_features)
            drawn = random.uniform(-bound, bound, tuple(parameter.shape))
            parameter.data = torch.from_numpy(drawn).float()
    return network


def noise_for(labels: torch.Tensor, random: np.random.Generator) -> torch.Tensor:
    return torch.from_numpy(random.random((len(labels), NOISE), np.float32))


def diversity(noise: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
    total = torch.zeros(())
    for e, g in zip(noise, features, strict=True):
        for other_e, other_g in zip(noise, features, strict=True):
            total = total - ((e - other_e) ** 2).mean() * (g - other_g).abs().mean()
    return torch.exp(total / len(noise) ** 2)


class Paper:
    """The algorithm, with the participants of a run."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.model = run.initial
        self.network = first_network(run.job.seed)
        self.adam = torch.optim.Adam(self.network.parameters(), lr=RATE, weight_decay=PULL)
        self.fading = torch.optim.lr_scheduler.ExponentialLR(self.adam, DECAY)
        self.known: list[int] = []
        for number, participants in run.rounds():
            self.round(number, participants)

    def round(self, number: int, participants: list[tuple[int, float, int]]) -> None:
        mean = torch.zeros_like(self.model)
        heads, counts = [], []
        for client, share, steps in participants:
            weights = self.trained(number, client, steps)
            mean += share * weights
            head = weights[head_of(self.run)]
            heads.append((head[:-CLASSES].view(CLASSES, FEATURES), head[-CLASSES:]))
            counts.append(self.run.samples(client)[1].bincount(minlength=CLASSES))
        self.model = mean
        self.teach(number, heads, torch.stack(counts).float())

    def trained(self, number: int, client: int, steps: int) -> torch.Tensor:
        """A client's weights after its local steps."""
        random = generator(self.run.job.seed, Purpose.CLIENT, number, client)
        self.network.eval()
        weights = self.model
        for x, y in self.run.batches(number, client, steps):
            weights = weights.detach().requires_grad_()
            loss = self.loss(weights, x, y, number, random)
            (gradient,) = torch.autograd.grad(loss, weights)
            weights = weights - self.run.job.training.lr * gradient
        return weights.detach()

    def loss(
        self,
        weights: torch.Tensor,
        x: torch.Tensor,
        y: torch.Tensor,
        number: int,
        random: np.random.Generator,
    ) -> torch.Tensor:
        output = self.run.output(weights, x)
        loss = cross_entropy(output, y)
        if not self.known:
            return loss
        fade = DECAY ** (number - 1)
        drawn = torch.from_numpy(random.choice(self.known, len(y)))
        loss = loss + ALPHA * fade * cross_entropy(self.said(weights, drawn, random), drawn)
        p = self.said(weights, y, random).detach().softmax(1)
        own = output.softmax(1)
        return loss + BETA * fade * (p * (p / own).log()).sum(1).mean()

    def said(
        self, weights: torch.Tensor, labels: torch.Tensor, random: np.random.Generator
    ) -> torch.Tensor:
        """What a model's head says of features that are generated for some classes."""
        with torch.no_grad():
            features = self.network(noise_for(labels, random), labels)
        head = weights[head_of(self.run)]
        return features @ head[:-CLASSES].view(CLASSES, FEATURES).T + head[-CLASSES:]

    def teach(
        self, number: int, heads: list[tuple[torch.Tensor, torch.Tensor]], counts: torch.Tensor
    ) -> None:
        random = generator(self.run.job.seed, Purpose.SERVER, number)
        there = [label for label in range(CLASSES) if counts[:, label].sum()]
        self.known = sorted({*self.known, *there})
        self.network.train()
        for _ in range(STEPS):
            labels = torch.from_numpy(random.choice(there, BATCH))
            noise = noise_for(labels, random)
            features = self.network(noise, labels)
            loss = ETA * diversity(noise, features)
            for (weight, bias), own in zip(heads, counts, strict=True):
                each = cross_entropy(features @ weight.T + bias, labels, reduction="none")
                loss = loss + (own[labels] / counts[:, labels].sum(0) * each).mean()
            self.adam.zero_grad()
            loss.backward()
            self.adam.step()
        self.fading.step()


def test_five_rounds_are_those_of_a_plain_program(tmp_path: Path) -> None:
    run = Run(tmp_path, GEN, SKEWED)
    paper = Paper(run)
    assert_close(run.state["generator"], paper.network.vector(), atol=2e-5)
    assert_close(run.state["model"], paper.model, atol=5e-6)
    assert run.state["labels"].nonzero().flatten().tolist() == paper.known
    assert int(run.state["made"]) == 5 * STEPS
    moved = paper.network.vector() - first_network(run.job.seed).vector()
    assert float(moved.abs().mean()) > 1e-3  # or the generator would not be tested


def test_a_class_is_drawn_once_a_participant_had_it(tmp_path: Path) -> None:
    run = Run(tmp_path, "algorithm=fedgen", SKEWED, "rounds=1", "selection.participants=2")
    ((_, participants),) = run.rounds()
    had = {label for client, _, _ in participants for label in run.samples(client)[1].tolist()}
    assert 0 < len(had) < CLASSES
    assert set(run.state["labels"].nonzero().flatten().tolist()) == had


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("engine", ["loop", "auto"])
def test_with_both_weights_0_the_model_is_fedavgs_to_the_bit(
    tmp_path: Path, model: str, engine: str
) -> None:
    same = (*MODELS[model], f"training.engine={engine}")
    gen = Run(tmp_path / "a", "algorithm={name: fedgen, alpha: 0, beta: 0}", *same)
    fedavg = Run(tmp_path / "b", *same)
    assert torch.equal(gen.state["model"], fedavg.state["model"])
    one = Run(tmp_path / "c", "algorithm={name: fedgen, alpha: 0.1, beta: 0}", *same)
    assert not torch.equal(one.state["model"], fedavg.state["model"])


def test_the_first_round_is_fedavgs_since_no_class_is_known(tmp_path: Path) -> None:
    gen, fedavg = (
        Run(tmp_path / name, f"algorithm={name}", "rounds=1") for name in ("fedgen", "fedavg")
    )
    assert torch.equal(gen.state["model"], fedavg.state["model"])


def test_a_resumed_run_has_the_same_generator_and_goes_on_with_its_moments(tmp_path: Path) -> None:
    assert_resumes_alike(tmp_path, "algorithm=fedgen")


def test_clients_of_few_classes_learn_the_others_from_the_generator(tmp_path: Path) -> None:
    """Each has two classes; the same rounds give a better model than FedAvg's."""
    job = "data.partition={name: classes, classes_per_client: 2, clients: 12}", "rounds=20"
    losses = []
    for name in ("fedgen", "fedavg"):
        run = Run(tmp_path / name, f"algorithm={name}", *job)
        each = [run.loss(run.state["model"], client) for client in range(run.clients)]
        losses.append(float(np.mean(each)))
    assert losses[0] < 0.8 * losses[1]


def test_heads_say_of_generated_features_what_these_are_generated_for(tmp_path: Path) -> None:
    run = Run(tmp_path, "algorithm={name: fedgen, generator_lr: 0.01}", "rounds=10")
    network = Network(256, 32).eval()
    shapes = [each.shape for each in network.parameters()]
    pieces = run.state["generator"].split([shape.numel() for shape in shapes] + [256, 256])
    for parameter, piece in zip(network.parameters(), pieces[:-2], strict=True):
        parameter.data = piece.view(parameter.shape)
    network.norm.running_mean, network.norm.running_var = pieces[-2:]
    labels = torch.arange(CLASSES).repeat(20)
    head = run.state["model"][head_of(run)]
    with torch.no_grad():
        features = network(torch.rand(len(labels), 32), labels)
    said = (features @ head[:-CLASSES].view(CLASSES, FEATURES).T + head[-CLASSES:]).argmax(1)
    assert float((said == labels).double().mean()) > 0.9


def test_heads_without_bias_and_classes_that_nobody_has() -> None:
    heads = torch.tensor([[1.0, 2, 3, 4, 5, 6], [0, 1, 0, 1, 0, 1]])
    counts = torch.tensor([[3.0, 0, 0], [1, 4, 0]])
    teachers = Teachers.of(heads, counts, features=2)
    assert teachers.labels.tolist() == [0, 1]
    features, labels = torch.tensor([[0.5, -1.0], [2.0, 0.0]]), torch.tensor([0, 1])
    first, second = (
        -(features @ head.view(3, 2).T).log_softmax(1)[torch.arange(2), labels] for head in heads
    )
    expected = (0.75 * first[0] + 0.25 * second[0] + second[1]) / 2
    assert float(teachers.loss(features, labels)) == pytest.approx(float(expected))


def test_features_that_differ_with_the_noise_are_less_alike() -> None:
    noise = torch.tensor([[0.0, 0.0], [1.0, 1.0]])
    assert float(alikeness(noise, torch.ones(2, 3))) == 1
    apart = torch.tensor([[0.0, 0.0, 0.0], [3.0, 0.0, 0.0]])
    assert float(alikeness(noise, apart)) == pytest.approx(math.exp(-0.5))  # two pairs of four: -1


def test_the_clock_charges_what_is_sent_and_the_generator_s_work(tmp_path: Path) -> None:
    gen, both_0, fedavg = (
        Run(tmp_path / str(number), f"algorithm={name}", "rounds=1", *EQUAL)
        .results[0]
        .plan.timeline.participants
        for number, name in enumerate(
            ("{name: fedgen, hidden: 20, noise: 5}", "{name: fedgen, alpha: 0, beta: 0}", "fedavg")
        )
    )
    numbers = 20 * (5 + 10) + 20 + 20 + 20 + 16 * 20 + 16 + 2 * 20
    assert (gen["bytes_down"] == fedavg["bytes_down"] + 4 * (numbers + CLASSES)).all()
    assert (gen["bytes_up"] == fedavg["bytes_up"] + 4 * CLASSES).all()
    # Multiply-adds of a sample. Of the model: forward, and backward to the weights and, in the
    # last layer, to the inputs. Beside it: the generator twice, its head forward twice and once back.
    model = 2 * (64 * 16 + 16 * 10) + 16 * 10
    beside = 2 * (20 * 15 + 16 * 20) + 3 * 16 * 10
    np.testing.assert_allclose(
        gen["compute_seconds"], fedavg["compute_seconds"] * (1 + beside / model)
    )
    assert (both_0["compute_seconds"] == fedavg["compute_seconds"]).all()


def test_the_generator_begins_with_torchs_bounds() -> None:
    made = FeatureGenerator(CLASSES, FEATURES, 300, 20)
    vector = made.start(np.random.default_rng(1))
    assert len(vector) == made.size
    first = vector[: 300 * 30]
    assert 0.99 / math.sqrt(30) < np.abs(first).max() <= 1 / math.sqrt(30)
    assert vector[300 * 30 + 300 : 300 * 30 + 600].tolist() == [1] * 300
    assert vector[-300:].tolist() == [1] * 300


@pytest.mark.parametrize(
    ("job", "said"),
    [
        (["algorithm.generator_batch=1"], "algorithm.generator_batch: 1 is not allowed"),
        (["algorithm.decay=0"], "algorithm.decay: 0 is not allowed"),
        (["clock={mode: async, concurrency: 5}"], "clock.mode: 'async' is not allowed with"),
        (["aggregation=median"], "aggregation.name: 'median' is not allowed with algorithm.name"),
        (
            ["exchange.up=[int8]"],
            "exchange.up: not allowed with algorithm.name fedgen, whose server takes clients' heads"
            " as they keep them; leave it out",
        ),
        (
            ["attacks=[{name: zero, share: 0.2}]"],
            "attacks.0.name: 'zero' is not allowed with algorithm.name fedgen, whose server takes",
        ),
        (
            [
                "privacy={name: gaussian, noise_multiplier: 1}",
                "exchange.up=[{name: clip, norm: 1}]",
            ],
            "exchange.up: not allowed with algorithm.name fedgen, whose server takes",
        ),
        (
            ["secure_aggregation=secagg"],
            "algorithm.name: 'fedgen' is not allowed with secure_aggregation.name secagg: its",
        ),
        (["model=darts"], "algorithm.name: 'fedgen' is not allowed: it needs a model whose last"),
        (
            [f"data={{name: {small_data('lives')}, partition: natural}}", "model=mlp"],
            "algorithm.name: 'fedgen' is not allowed: it needs data with classes",
        ),
    ],
)
def test_what_it_cannot_do_is_refused_in_one_line(job: list[str], said: str) -> None:
    with pytest.raises(InputError, match=re.escape(said)) as refused:
        check_job("quickstart", ["algorithm=fedgen", "selection.participants=4", *job])
    assert "\n" not in str(refused.value)


def test_attackers_with_wrong_labels_say_the_counts_of_these(tmp_path: Path) -> None:
    flip = "attacks=[{name: label_flip, share: 1.0}]"
    run = Run(tmp_path, "algorithm=fedgen", flip, "rounds=1")
    ((_, participants),) = run.rounds()
    client = participants[0][0]
    true = run.samples(client)[1].bincount(minlength=CLASSES)
    assert run.kept(client)["counts"].tolist() == true.flip(0).tolist()


def test_clients_count_by_their_samples() -> None:
    assert FedGen().weight(np.array([1, 1000, 5])).tolist() == [1, 1000, 5]
