"""Which clients have the model of an earlier round, with ``exchange.delta``.

All who are up to date have the same reference model. The server codes what has changed since, once
for each version, and adds what arrives of that to the reference; what is lost is part of the next
difference. A client that comes back downloads the differences that it has missed, one behind the
other, or the whole reference where that is shorter. So a client is described by one number: how
many bytes of differences had been sent when it was last up to date.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

HELD = np.dtype([("client", "<i8"), ("behind", "<i8")])
"""A client that has a reference model, and the bytes of the differences that it lacks."""


@dataclass
class Held:
    """Who has which reference; O(participants) work a round.

    Attributes:
        sent: The bytes of all differences so far.
        at: By client, what ``sent`` was when it was last up to date.
    """

    sent: int = 0
    at: dict[int, int] = field(default_factory=dict)

    @classmethod
    def of(cls, table: np.ndarray) -> Held:
        """Return what a checkpoint has (structured HELD)."""
        return cls(0, {client: -behind for client, behind in table.tolist()})

    def table(self) -> np.ndarray:
        """Return the clients as structured HELD, sorted."""
        return np.array([(client, self.sent - at) for client, at in sorted(self.at.items())], HELD)

    def note(self, clients: np.ndarray) -> None:
        """Note that ``clients`` (n,) int64 have the newest reference."""
        self.at.update(dict.fromkeys(clients.tolist(), self.sent))

    def behind(self, clients: np.ndarray) -> np.ndarray:
        """Return the bytes (n,) int64 that each of ``clients`` lacks; -1 for who has nothing."""
        at = (self.at.get(client) for client in clients.tolist())
        lacking = [-1 if one is None else self.sent - one for one in at]
        return np.array(lacking, np.int64)
