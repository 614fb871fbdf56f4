"""A selection rule that orders all participants the same."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from mpifl.clock.orders import Orders
from mpifl.selection.context import SelectionContext
from mpifl.selection.uniform import Uniform


class Ordering(Uniform):
    """Uniform that orders everyone ``steps`` local steps, and ``sent`` of an upload."""

    name: str = "ordering"
    steps: int = Field(..., description="local steps")
    sent: float = Field(..., description="share of an upload")

    @property
    def orders_steps(self) -> bool:
        """See Selection."""
        return True

    @property
    def orders_uploads(self) -> bool:
        """See Selection."""
        return True

    def orders(self, c: SelectionContext, clients: np.ndarray) -> Orders:
        """See Selection."""
        count = len(clients)
        return Orders(np.full(count, self.steps), np.full(count, self.sent))
