"""FedGen: the server learns to generate features of each class, and clients train on them too."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np
from pydantic import Field

from mpifl.algorithms.arrays import MODEL, Array, Arrays
from mpifl.algorithms.context import ClientContext, Program, ServerContext, Upload
from mpifl.algorithms.distillation import divergence
from mpifl.algorithms.feature_generator import FeatureGenerator, Teachers, alikeness
from mpifl.algorithms.fedavg import FedAvg
from mpifl.algorithms.head import head_shape
from mpifl.algorithms.part import part_of
from mpifl.algorithms.requests import Train, Trained
from mpifl.algorithms.requirements import needs_classes, needs_models_as_kept
from mpifl.job import Job
from mpifl.models.layout import Layout
from mpifl.optimizers.adam import Adam
from mpifl.population.population import Population
from mpifl.transforms.transform import of_targets

if TYPE_CHECKING:
    import torch
    from torch import nn


class FedGen(FedAvg):
    """Zhu, Hong & Zhou, arXiv 2105.10056: data-free distillation, as the authors' code makes it.

    The features are what goes into the model's last layer, the head, which has to be linear. The
    server has a generator G(e, y) of features of class y out of noise e, uniform from 0 to 1: a
    linear layer of ``hidden`` units, batch norm, ReLU, and a linear layer.

    A participant receives the model and G. In a local step on samples (x, y), it draws as many
    classes y' uniformly among those that any participant had so far, and adds to its loss
    alpha d mean CE(head(G(e', y')), y') + beta d mean KL(softmax(head(G(e, y))) | softmax(f(x))),
    where d = decay^(round - 1) and no gradient goes through G, nor through the first argument of
    the KL divergence. It uploads its update, and how many samples n_k(y) it has of each class.
    Before any class is known, in the first round, nothing is added.

    The server averages the updates, and makes ``generator_steps`` steps of Adam on G, whose moments
    stay from round to round. In each it draws ``generator_batch`` classes uniformly among those of
    the participants, and lowers mean_y sum_k n_k(y) / sum_j n_j(y) CE(head_k(G(e, y)), y) + eta
    exp(-mean_ij |e_i - e_j|^2 |G_i - G_j|), with means over the entries in |.|. These are the heads
    of the participants after their training. The learning rate is generator_lr decay^(round - 1).

    The paper's noise is Gaussian. In the authors' code weights (samples, 1) meet losses (samples,),
    so that of each head the mean weight times the mean CE counts; here each sample has its weight.
    The code also adds 1 to each n_k(y), counts the samples of the minibatches instead of all, knows
    from the start which classes there are, leaves alpha d and beta d at 1e-4 where they fall below,
    and generates features in the first 20 local epochs only. PFLlib has neither the KL divergence
    nor the diversity (eta), and trains G on the logits of the mean of the heads.

    The clock charges a local step G and the head for both terms, by their FLOPs relative to those
    of the model; the server's steps take no virtual time but that of
    ``clock.latency.server_seconds``. What clients keep is for the server alone.
    """

    reads_outputs = True
    needs_others: ClassVar[tuple[str, ...]] = ("head", "counts")

    name: str = "fedgen"
    alpha: float = Field(
        1.0,
        ge=0,
        description="weight of generated features in a client's loss (code: 10, with lr 0.01)",
    )
    beta: float = Field(
        1.0,
        ge=0,
        description="weight of the divergence from outputs for generated features (code: 10 for"
        " MNIST and 1 for EMNIST, with lr 0.01)",
    )
    decay: float = Field(
        0.98, gt=0, le=1, description="factor on alpha, beta and generator_lr a round (code: 0.98)"
    )
    eta: float = Field(1.0, ge=0, description="weight of the diversity of features (code: 1)")
    hidden: int = Field(256, ge=1, description="units of the generator (code: 256 for MNIST)")
    noise: int = Field(32, ge=1, description="numbers of noise that it gets (code: 32)")
    generator_steps: int = Field(
        50, ge=0, le=1_000_000, description="the server's steps a round (code: 50)"
    )
    generator_batch: int = Field(32, ge=2, description="features of such a step (code: 32)")
    generator_lr: float = Field(
        3e-4, gt=0, description="learning rate of Adam (code: 3e-4 for MNIST, 1e-4 for EMNIST)"
    )
    weight_decay: float = Field(
        0.01, ge=0, description="pull of the generator's weights towards 0 (code: 0.01)"
    )

    @property
    def reads_classes(self) -> bool:
        return True

    def check(self, job: Job) -> None:
        needs_models_as_kept(self, job, "takes clients' heads")

    def check_model(self, job: Job, layout: Layout) -> None:
        head_shape(layout, self.name)

    def settled(self, population: Population) -> Self:
        needs_classes(self, population)
        return self

    def generator(self, layout: Layout) -> FeatureGenerator:
        """Return the generator of features for the head of a model."""
        return FeatureGenerator(*head_shape(layout, self.name), self.hidden, self.noise)

    def received_arrays(self, layout: Layout) -> Mapping[str, Array]:
        generator = self.generator(layout)
        labels = Array((generator.classes,), coded=False)
        return {"model": MODEL, "generator": Array((generator.size,)), "labels": labels}

    def kept_arrays(self, layout: Layout) -> Mapping[str, Array]:
        classes, _ = head_shape(layout, self.name)
        head = part_of(layout, layout.head)
        return {"head": Array((len(head.indices),)), "counts": Array((classes,))}

    def transfers(self, layout: Layout) -> tuple[Mapping[str, Array], Mapping[str, Array]]:
        counts = self.kept_arrays(layout)["counts"]  # its head is in the update
        return self.received_arrays(layout), {"update": MODEL, "counts": counts}

    def flops(self, layout: Layout, kind: int, by_layer: Mapping[str, float]) -> float:
        classes, features = head_shape(layout, self.name)
        generated = self.generator(layout).flops
        head = 2.0 * classes * features
        trained = generated + 2 * head if self.alpha else 0.0  # forward, and back to the weights
        compared = generated + head if self.beta else 0.0  # forward
        return by_layer[""] + trained + compared

    def start(self, model: np.ndarray, layout: Layout, random: np.random.Generator) -> Arrays:
        generator = self.generator(layout)
        return {
            "model": model,
            "generator": generator.start(random),
            "labels": np.zeros(generator.classes, np.float32),
            "means": np.zeros(generator.parameters, np.float32),
            "squares": np.zeros(generator.parameters, np.float32),
            "made": np.zeros((), np.float32),
        }

    def client(self, c: ClientContext) -> Program:
        known = np.flatnonzero(c.received["labels"].cpu().numpy())
        loss = None
        if len(known) and (self.alpha or self.beta):
            fade = self.decay ** (c.round - 1)
            weights = self.alpha * fade, self.beta * fade
            loss = _Generated(c, self.generator(c.layout), *weights, known, c.make_generator())
        trained: Trained = yield Train(c.received["model"], loss=loss)
        head = part_of(c.layout, c.layout.head).of(trained.weights)
        keep = {"head": head, "counts": head.new_tensor(c.count_labels())}
        return Upload(update=trained.take_update(), keep=keep)

    def server(self, s: ServerContext, mean: Arrays) -> Arrays:
        import torch

        _, features = head_shape(s.layout, self.name)
        kept = list(s.others.values())
        heads, counts = (torch.stack([each[name] for each in kept]) for name in self.needs_others)
        teachers = Teachers.of(heads, counts, features)
        labels = s.state["labels"].copy()
        labels[teachers.labels] = 1
        return {**super().server(s, mean), "labels": labels, **self._trained(s, teachers)}

    def _trained(self, s: ServerContext, teachers: Teachers) -> Arrays:
        """Return the generator after a round, and the state of its optimizer."""
        import torch

        generator = self.generator(s.layout)
        random = s.make_generator()
        rate = self.generator_lr * self.decay ** (s.round - 1)
        adam = Adam(weight_decay=self.weight_decay)
        vector, means, squares = (
            torch.from_numpy(s.state[name].copy()) for name in ("generator", "means", "squares")
        )
        weights = vector[: generator.parameters]
        averages = vector[generator.parameters :]
        made = int(s.state["made"])

        for number in range(made, made + self.generator_steps):
            labels = torch.from_numpy(random.choice(teachers.labels, self.generator_batch))
            noise = generator.draw(labels, random)
            leaf = weights.clone().requires_grad_()
            features = generator(leaf, averages, noise, labels, training=True)
            loss = teachers.loss(features, labels) + self.eta * alikeness(noise, features)
            (gradient,) = torch.autograd.grad(loss, leaf)
            adam.step([weights], [gradient], [[means], [squares]], rate, number)
        return {
            "generator": vector.numpy(),
            "means": means.numpy(),
            "squares": squares.numpy(),
            "made": np.array(made + self.generator_steps),
        }


@dataclass(frozen=True)
class _Generated:
    """The objective's loss, and those on features that are generated.

    Attributes:
        c: The participant.
        generator: What makes features.
        alpha: Weight of the cross-entropy of features of drawn classes.
        beta: Weight of the divergence from the output for features of the samples' classes.
        known: The classes that are drawn, (k,) int64.
        random: Draws them, and noise.
    """

    takes_mixtures: ClassVar[bool] = True

    c: ClientContext
    generator: FeatureGenerator
    alpha: float
    beta: float
    known: np.ndarray
    random: np.random.Generator

    def __call__(self, module: nn.Module, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        import torch
        from torch.nn.functional import cross_entropy

        head = module.get_submodule(self.c.layout.head[0].rpartition(".")[0])
        output = module(x)
        loss = self.c.loss(output, y)
        if self.alpha:
            labels = torch.from_numpy(self.random.choice(self.known, len(x))).to(x.device)
            loss = loss + self.alpha * cross_entropy(head(self._features(labels)), labels)
        if self.beta:
            distance = of_targets(partial(self._distance, head, output), y)
            loss = loss + self.beta * distance
        return loss

    def _distance(self, head: nn.Module, output: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Return the divergence of outputs from those for features of classes ``y``."""
        import torch

        with torch.no_grad():
            teacher = head(self._features(y))
        return divergence(output, teacher)

    def _features(self, labels: torch.Tensor) -> torch.Tensor:
        """Return features of some classes (samples,), for new noise."""
        import torch

        vector = self.c.received["generator"]
        count = self.generator.parameters
        with torch.no_grad():
            noise = self.generator.draw(labels, self.random)
            return self.generator(vector[:count], vector[count:], noise, labels)
