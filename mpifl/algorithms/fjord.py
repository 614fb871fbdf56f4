"""FjORD: each client trains narrower parts of its own part too, of a width drawn for each step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Self

from pydantic import Field

from mpifl.algorithms.by_width import ByWidth, Widths
from mpifl.algorithms.context import ClientContext, Program, Upload
from mpifl.algorithms.distillation import divergence
from mpifl.algorithms.part import Part
from mpifl.algorithms.requests import Trained
from mpifl.algorithms.requirements import needs_classes
from mpifl.algorithms.vectors import output_with, tensors_in
from mpifl.errors import InputError
from mpifl.job import Job
from mpifl.models.layout import Layout
from mpifl.population.population import Population

if TYPE_CHECKING:
    import torch
    from torch import nn

    from mpifl.training.participant import Loss


class Fjord(ByWidth):
    """Horvath et al., arXiv 2102.13451, algorithm 1: ordered dropout.

    A client has the part of the model that is as wide as its device can bear, p_max, as in
    ``heterofl``: by ``shares`` of the clients, the fastest devices the widest parts, or by
    ``devices``. It receives that part and uploads its update. For each local step it draws a
    width p, each of ``widths`` up to p_max with the same probability, and trains the part of width
    p alone: of every hidden layer the first ceil(p d) units. Momentum and weight decay go on for
    the rest of its part. Server: each entry of the model moves by the mean of its updates over the
    participants that have it, weighted by their samples; one that nobody has stays.

    Self-distillation (``alpha``): in a step in which p is below p_max both parts go through the
    minibatch. The loss is CE(p_max) + (1 - alpha) CE(p) + alpha KL(q(p_max) | q(p)), with the
    objective's loss as CE and q the softmax of logits / temperature; no gradient of the last term
    goes through q(p_max). With alpha and temperature 1 that is the loss of the paper's experiments.

    The clock charges each participant for the bytes of the part of width p_max. For a sample it
    charges the FLOPs of a step on average: the mean of those of the widths that it draws from, and
    with ``alpha`` those of p_max once more for each width below it.

    Batch norm normalises with the minibatch as it is in the part of width p. Running statistics are
    not shared: the server makes those of the whole model (``training.batch_norm: recompute``),
    where the paper keeps some for each width. With ``model.lora`` the width is a share of the rank;
    the scale stays that of the whole rank.

    Ranks compute the whole model with zeros outside of the part, which gives the part's numbers.
    """

    name: str = "fjord"
    widths: Widths = Field(
        (1.0, 0.8, 0.6, 0.4, 0.2),
        description="shares of each hidden layer, falling: the widest that a client has, and those"
        " that it draws from (the paper's for five groups of devices)",
    )
    alpha: float | None = Field(
        None,
        ge=0,
        le=1,
        description="how much a narrower part learns from the outputs of the widest instead of"
        " from labels (the paper's 1); default: no distillation",
    )
    temperature: float = Field(
        1.0, gt=0, description="of the softmax of the outputs that it learns from (the paper's 1)"
    )

    @property
    def reads_classes(self) -> bool:
        return self.alpha is not None

    def check(self, job: Job) -> None:
        super().check(job)
        if self.temperature != 1 and not self.alpha:
            raise InputError(
                f"algorithm.temperature: {self.temperature:g} does nothing without algorithm.alpha"
                " above 0; leave it out"
            )

    def settled(self, population: Population) -> Self:
        if self.alpha is not None:
            needs_classes(self, population)
        return super().settled(population)

    def flops(self, layout: Layout, kind: int, by_layer: Mapping[str, float]) -> float:
        drawn = range(kind, self.kinds)
        flops = [super(Fjord, self).flops(layout, each, by_layer) for each in drawn]
        teacher = 0.0 if self.alpha is None else flops[0] * (len(flops) - 1)
        return (sum(flops) + teacher) / len(flops)

    def client(self, c: ClientContext) -> Program:
        trained: Trained = yield self.train(c, self._loss(c))
        return Upload(update=trained.take_update(), slot=c.kind)

    def _loss(self, c: ClientContext) -> Loss | None:
        """Return the loss of parts; None where the client has one width to draw from."""
        narrower = [self.part(c.layout, kind) for kind in range(c.kind + 1, self.kinds)]
        if not narrower:
            return None
        drawn = c.make_generator().integers(len(narrower) + 1, size=c.steps)
        return _Ordered(c, narrower, iter(drawn.tolist()), self.alpha, self.temperature)


@dataclass(frozen=True)
class _Ordered:
    """The loss of a step: that of the part of the width that was drawn for it.

    Attributes:
        c: The participant.
        narrower: The parts that are narrower than that of the participant.
        drawn: The width of each step: 0 for the participant's own, else the place in ``narrower``
            from 1 on.
        alpha: As the algorithm's option.
        temperature: As the algorithm's option.
        masks: Which entries of its tensors each narrower part has, by name; filled on the way.
    """

    takes_mixtures: ClassVar[bool] = True

    c: ClientContext
    narrower: list[Part]
    drawn: Iterator[int]
    alpha: float | None
    temperature: float
    masks: dict[int, dict[str, torch.Tensor]] = field(default_factory=dict)

    def __call__(self, module: nn.Module, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        place = next(self.drawn)
        if place == 0:
            return self.c.loss(module(x), y)
        if self.alpha is None:
            return self.c.loss(self._output(module, place, x), y)

        widest = module(x)
        output = self._output(module, place, x)
        outputs = (output / self.temperature, widest.detach() / self.temperature)
        learnt = self.alpha * divergence(*outputs)
        return self.c.loss(widest, y) + (1 - self.alpha) * self.c.loss(output, y) + learnt

    def _output(self, module: nn.Module, place: int, x: torch.Tensor) -> torch.Tensor:
        """Return what a narrower part of the module's weights puts out."""
        if place not in self.masks:
            self.masks[place] = self._mask(module, self.narrower[place - 1])
        mask = self.masks[place]
        inside = {
            name: tensor.where(mask[name], 0.0)
            for name, tensor in module.named_parameters()
            if name in mask
        }
        return output_with(module, inside, x)

    def _mask(self, module: nn.Module, part: Part) -> dict[str, torch.Tensor]:
        import torch

        model = self.c.received["model"]
        mask = torch.ones_like(model, dtype=torch.bool)
        part.rest.clear(mask)
        return tensors_in(module, self.c.layout, mask)
