"""FLoRA: the products of adapters are averaged into the weights, and adapters begin anew."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from mpifl.algorithms.arrays import Array
from mpifl.algorithms.context import ClientContext, Program, Upload
from mpifl.algorithms.fedavg import FedAvg
from mpifl.algorithms.requests import Call, Train, Trained
from mpifl.algorithms.requirements import needs_no_clipping, needs_open_updates
from mpifl.errors import InputError
from mpifl.job import Job
from mpifl.models.layout import Layout

if TYPE_CHECKING:
    import torch
    from torch import nn

A = ".lora_A."
B = ".lora_B."
WEIGHT = ".base_layer.weight"
EMBEDDING = ".lora_embedding_"


class Flora(FedAvg):
    """Wang et al., arXiv 2409.05976: the mean of products B A, without that of A and that of B.

    For `model.lora`. Each participant draws A anew, begins with B = 0, trains and sends both. The
    server stacks the adapters of all, which multiplied are the weighted sum of their products, and
    adds that to the weights of the layers (times `server_lr`). So these weights are in the model,
    and in its memory and checkpoints. A participant downloads them as they are now: the stacked
    adapters of all rounds that it has missed would soon be more. What `modules_to_save` names is
    averaged as with FedAvg.
    """

    merges_adapters: ClassVar[bool] = True

    name: str = "flora"

    def check(self, job: Job) -> None:
        needs_open_updates(self, job)
        needs_no_clipping(self, job)
        if job.privacy.private:
            raise InputError(
                f"algorithm.name: 'flora' is not allowed with privacy.name {job.privacy.name},"
                " whose bound or noise is of whole updates; allowed: algorithms such as fedavg"
            )
        if job.objective.name == "preference":
            raise InputError(
                "algorithm.name: 'flora' is not allowed with objective.name preference, which"
                " compares with the base as it was; allowed: algorithms such as fedavg"
            )

    def check_model(self, job: Job, layout: Layout) -> None:
        lora = job.model.lora
        if lora is None:
            raise InputError("algorithm.name: 'flora' is not allowed without model.lora")
        if lora.initial is not None:
            raise InputError(
                f"model.lora.initial: {lora.initial!r} is not allowed with algorithm.name flora,"
                " whose adapters begin anew in each round"
            )
        if lora.freeze_a:
            raise InputError(
                "model.lora.freeze_a: true is not allowed with algorithm.name flora, whose"
                " participants draw A anew; leave it out, or choose algorithm.name fedavg, whose"
                " mean is exact with it"
            )
        if any(EMBEDDING in name for name in layout.parameters):
            raise InputError(
                f"model.lora.target_modules: {lora.target_modules} is not allowed with"
                " algorithm.name flora, as one of them is an embedding; allowed: linear layers and"
                " convolutions"
            )

    def transfers(self, layout: Layout) -> tuple[Mapping[str, Array], Mapping[str, Array]]:
        down = layout.size - _entries(layout, A) - _entries(layout, B)
        up = layout.size - _entries(layout, WEIGHT)
        return {"model": Array((down,))}, {"update": Array((up,))}

    def tuned(self, layout: Layout) -> frozenset[str]:
        return frozenset(name for name in layout.parameters if not name.endswith(WEIGHT))

    def client(self, c: ClientContext) -> Program:
        names = c.layout.parameters
        trained: Trained = yield Train(_begun(c), trainable=self.tuned(c.layout))
        products: torch.Tensor = yield Call(partial(_products, c.layout), trained.weights)
        update = trained.take_update()
        for name in names:
            place = c.layout.slices[name]
            if A in name or B in name:
                update[place] = 0
            elif name.endswith(WEIGHT):
                update[place] = products[place]
        return Upload(update=update)


def _entries(layout: Layout, part: str) -> int:
    """Return how many entries the trained tensors have in whose names a part is."""
    return sum(math.prod(layout.shapes[name]) for name in layout.parameters if part in name)


def _begun(c: ClientContext) -> torch.Tensor:
    """Return the model (size,) with new adapters: A as PEFT draws it, and B = 0."""
    import torch

    begun = c.received["model"].clone()
    random = c.make_generator()
    for name in c.layout.parameters:
        place, shape = c.layout.slices[name], c.layout.shapes[name]
        if A in name:
            most = 1 / math.sqrt(math.prod(shape[1:]))  # Kaiming's, uniform, with a = sqrt(5)
            drawn = random.uniform(-most, most, math.prod(shape)).astype(np.float32)
            begun[place] = torch.from_numpy(drawn).to(begun.device)
        elif B in name:
            begun[place] = 0
    return begun


def _products(layout: Layout, module: nn.Module, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Return what the adapters of a module add to its layers' weights, (size,), 0 elsewhere."""
    import torch

    from mpifl.models.flat import flattened

    found = torch.zeros(layout.size, device=next(module.parameters()).device)
    for name, layer in module.named_modules():
        place = layout.slices.get(f"{name}{WEIGHT}")
        if place is not None:
            adapted: Any = layer
            with torch.no_grad():
                added = torch.empty_like(adapted.base_layer.weight)
                added.copy_(adapted.get_delta_weight("default"))
            found[place] = flattened(added)
    return found
