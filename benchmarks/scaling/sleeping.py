"""Clients that sleep instead of training, so that many ranks on few cores measure the protocol and not the cores."""

from __future__ import annotations

import time

from pydantic import Field

from mpifl.algorithms.context import ClientContext, Program
from mpifl.algorithms.fedavg import FedAvg


class Sleeping(FedAvg):
    """FedAvg, each of whose participants sleeps for ``seconds`` after its steps."""

    name: str = "sleeping"
    seconds: float = Field(0.1, ge=0, description="s that each participant sleeps")

    def client(self, c: ClientContext) -> Program:
        """See Algorithm."""
        upload = yield from super().client(c)
        time.sleep(self.seconds)
        return upload
