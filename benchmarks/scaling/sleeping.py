"""Clients that sleep instead of training, so that many ranks on few cores measure the protocol and not the cores."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from pydantic import Field

from mpifl.algorithms.algorithm import ClientContext
from mpifl.algorithms.fedavg import FedAvg

if TYPE_CHECKING:
    import torch


class Sleeping(FedAvg):
    """FedAvg, each of whose participants sleeps for ``seconds`` after its steps."""

    name: str = "sleeping"
    seconds: float = Field(0.1, ge=0, description="s that each participant sleeps")

    def contribute(
        self, update: torch.Tensor, context: ClientContext
    ) -> tuple[dict[str, torch.Tensor], torch.Tensor | None]:
        """See Algorithm."""
        time.sleep(self.seconds)
        return super().contribute(update, context)
