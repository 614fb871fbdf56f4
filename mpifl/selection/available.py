"""Selection by availability: clients that will stay online until they have finished."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from mpifl.clock.timeline import Outcome
from mpifl.selection.context import SelectionContext
from mpifl.selection.pool import FromPool, coins, preferred


class Available(FromPool):
    """A selection rule: draw uniformly among the clients that would complete the round.

    Whether a client would is what the clock says, by the rule ``clock.availability``, as if nobody
    else shared the server's bandwidth and the round did not end before. It is an oracle that knows
    the trace. ``accuracy`` below 1 turns that share of its answers round, by chance for each client
    and draw.
    """

    name: str = "available"
    accuracy: float = Field(1.0, ge=0, le=1, description="share of the predictions that are right")
    fill: bool = Field(
        True, description="ask others where too few would stay; no: the round has fewer"
    )

    def choose(self, c: SelectionContext) -> np.ndarray:
        clients = self.drawn_pool(c)
        stays = c.launch(clients)["outcome"] == Outcome.COMPLETED
        wrong = coins(c, clients, 0) >= self.accuracy
        suitable = stays != wrong
        return preferred(clients, suitable, c.wanted, self.fill)
