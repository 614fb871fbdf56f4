"""Structured updates: clients train in a random subspace, of which they send few numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from mpifl.algorithms.arrays import Array
from mpifl.algorithms.context import ClientContext, Program, Upload
from mpifl.algorithms.fedavg import FedAvg
from mpifl.algorithms.requests import Train, Trained
from mpifl.algorithms.requirements import needs_no_clipping, needs_open_updates
from mpifl.errors import InputError
from mpifl.job import Job
from mpifl.job.section import Count
from mpifl.models.layout import Layout
from mpifl.optimizers.sgd import Sgd
from mpifl.shares import ceil_share

if TYPE_CHECKING:
    import torch

    from mpifl.optimizers.adjust import AdjustFunction


class Structured(FedAvg):
    """Konecny et al., arXiv 1610.05492, section 2: an update of few numbers, trained as such.

    ``low_rank``: the update of each matrix W (outputs, inputs) is A B, where A (outputs, rank) is
    drawn anew for each client and round, with orthonormal columns, and B (rank, inputs) is trained
    from 0 and sent. Of a convolution all but the outputs are inputs. What has one dimension, or no
    more outputs than the rank, is trained and sent whole. ``mask``: of each tensor only
    ceil(share x numbers) are trained and sent, drawn anew for each client and round.

    A and the positions follow from the job's seed, the round and the client, which the server
    knows, so they need no bytes. A step of SGD on B is W -= lr A A' g, and so it is made here: g
    is replaced by its part in the subspace. The clock does not charge the products with A. The mean
    of the updates is that of FedAvg.
    """

    name: str = "structured"
    form: Literal["low_rank", "mask"] = Field(
        "low_rank", description="what an update is confined to"
    )
    rank: Count | None = Field(
        None, description="with low_rank: the rank of the update of a matrix; default: 4"
    )
    share: float | None = Field(
        None, gt=0, le=1, description="with mask: share of the numbers that change; default: 0.1"
    )

    @model_validator(mode="after")
    def _form(self) -> Self:
        if self.share is not None and self.form == "low_rank":
            raise ValueError("share belongs to form: mask")
        if self.rank is not None and self.form == "mask":
            raise ValueError("rank belongs to form: low_rank")
        return self

    def check(self, job: Job) -> None:
        optimizer = job.training.optimizer
        if not isinstance(optimizer, Sgd) or optimizer.weight_decay or optimizer.keep:
            raise InputError(
                f"training.optimizer: {optimizer.name!r} with these options is not allowed: its"
                f" steps would leave the subspace in which {self.name} trains; allowed: sgd,"
                " with momentum or not, without weight_decay and keep"
            )
        needs_no_clipping(self, job)
        needs_open_updates(self, job)
        if job.privacy.private:
            raise InputError(
                f"algorithm.name: {self.name!r} is not allowed with privacy.name"
                f" {job.privacy.name}, whose bound or noise is of whole updates; allowed:"
                " algorithms such as fedavg"
            )

    def check_model(self, job: Job, layout: Layout) -> None:
        if self.form == "low_rank" and not layout.shapes:
            raise InputError(
                f"algorithm.form: low_rank is not allowed with model.name {job.model.name}, of"
                " which only the size is known; allowed: mask"
            )

    def transfers(self, layout: Layout) -> tuple[Mapping[str, Array], Mapping[str, Array]]:
        sent = self._numbers(layout) + layout.averaged
        return self.received_arrays(layout), {"update": Array((sent,))}

    def client(self, c: ClientContext) -> Program:
        adjust = self._low_rank(c) if self.form == "low_rank" else self._mask(c)
        trained: Trained = yield Train(c.received["model"], adjust=adjust)
        return Upload(update=trained.take_update())

    def _numbers(self, layout: Layout) -> int:
        """Return how many numbers of the trained segment a participant sends."""
        if self.form == "mask":
            sizes = [math.prod(layout.shapes[name]) for name in layout.parameters]
            return sum(self._count(size) for size in sizes or [layout.trained])
        confined = self._matrices(layout).values()
        saved = sum((outputs - self._rank) * inputs for outputs, inputs in confined)
        return layout.trained - saved

    @property
    def _rank(self) -> int:
        return 4 if self.rank is None else self.rank

    def _count(self, size: int) -> int:
        """Return how many of ``size`` numbers are behind a mask."""
        share = 0.1 if self.share is None else self.share
        return ceil_share(share, size)

    def _matrices(self, layout: Layout) -> dict[str, tuple[int, int]]:
        """Return the parameters whose updates are confined: their outputs and inputs."""
        shapes = {name: layout.shapes[name] for name in layout.parameters}
        return {
            name: (shape[0], math.prod(shape[1:]))
            for name, shape in shapes.items()
            if len(shape) > 1 and shape[0] > self._rank
        }

    def _low_rank(self, c: ClientContext) -> AdjustFunction:
        """Return the change of a gradient G of each matrix to A A' G."""
        import torch

        random = c.make_generator()
        device = c.received["model"].device
        bases = []
        for name, (outputs, inputs) in self._matrices(c.layout).items():
            drawn = np.linalg.qr(random.standard_normal((outputs, self._rank)))[0]
            basis = torch.from_numpy(drawn.astype(np.float32)).to(device)
            bases.append((c.layout.slices[name], inputs, basis))

        def confine(gradient: torch.Tensor, weights: torch.Tensor) -> None:
            for place, inputs, basis in bases:
                matrix = gradient[place].view(-1, inputs)
                matrix.copy_(basis @ (basis.T @ matrix))

        return confine

    def _mask(self, c: ClientContext) -> AdjustFunction:
        """Return the change of a gradient to 0 at the positions that do not change."""
        import torch

        random = c.make_generator()
        left_out = np.ones(c.layout.trained, bool)
        for name in c.layout.parameters:
            place = c.layout.slices[name]
            size = place.stop - place.start
            left_out[place.start + random.permutation(size)[: self._count(size)]] = False
        mask = torch.from_numpy(left_out).to(c.received["model"].device)

        def confine(gradient: torch.Tensor, weights: torch.Tensor) -> None:
            gradient.masked_fill_(mask, 0.0)

        return confine
