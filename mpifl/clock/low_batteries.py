"""Batteries in a round whose participants begin one after the other: who is low, and until when."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from mpifl.clock.battery import Battery, with_charges
from mpifl.clock.kernels.online_patterns import joined
from mpifl.clock.online import NOBODY
from mpifl.clock.timeline import CHARGE, Call

NO_MOMENTS = np.empty(0)


@dataclass
class LowBatteries:
    """The batteries of a round.

    ``clients`` (n,) int64, sorted, were found to be low, and may not be asked before ``charged``
    (n,). ``left`` are the joules of those who have ended, in their order.
    """

    battery: Battery
    clients: np.ndarray = field(default_factory=NOBODY.copy)
    charged: np.ndarray = field(default_factory=NO_MOMENTS.copy)
    left: list[float] = field(default_factory=list)

    @property
    def next_charged(self) -> float:
        """When the first of those that are low may be asked; infinity: never, or nobody is low."""
        return float(self.charged.min(initial=math.inf))

    def choose(
        self, call: Call, now: float, wanted: int, draw: int, busy: np.ndarray
    ) -> np.ndarray:
        """Return clients as ``Battery.choose`` does, and remember who is low."""
        still = self.charged > now
        self.clients = self.clients[still]
        self.charged = self.charged[still]
        out = joined(busy, self.clients)
        clients, low = self.battery.choose(call, now, wanted, draw, out)
        if len(low):
            # Who is low now is not asked at this moment again, whatever rounding says.
            charged = np.maximum(self.battery.charged(call, now, low), np.nextafter(now, math.inf))
            order = np.argsort(np.concatenate([self.clients, low]), kind="stable")
            self.clients = np.concatenate([self.clients, low])[order]
            self.charged = np.concatenate([self.charged, charged])[order]
        return clients

    def charges(self, call: Call) -> np.ndarray:
        """Return the batteries after the round (structured CHARGE, sorted by client)."""
        ended = np.array([(client, *now) for client, now in call.recent.items()], CHARGE)
        return with_charges(call.charges, ended)
