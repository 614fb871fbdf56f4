"""What the participants of the last round kept, for others and the server (``c.others``).

In the emulated federation the server has it of every client. Here it lies in the files of the
clients (``client_state.py``): a rank reads those that its programs ask for, each once in a round.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch

from mpifl.rounds.clients.client_state import ClientStore

Kept = Mapping[str, torch.Tensor]


@dataclass
class Others:
    """What a rank has read of what the participants of the last round kept then.

    Attributes:
        store: The state of clients.
        names: The arrays that programs look at.
        device: Where programs get them.
        rounds: By client, in the order of the clients, the round: of those participants.
        loaded: What was read, by client.
    """

    store: ClientStore
    names: tuple[str, ...]
    device: torch.device
    rounds: dict[int, int] = field(default_factory=dict)
    loaded: dict[int, Kept] = field(default_factory=dict)

    def begin_round(self, rows: np.ndarray) -> None:
        """Set the participants of the last round (structured STATE_ROUND, sorted by client).

        What was read of those before is forgotten.
        """
        rounds = dict(rows.tolist())
        if rounds != self.rounds:
            self.rounds = rounds
            self.loaded.clear()

    def without(self, client: int | None) -> Mapping[int, Kept]:
        """Return what all of them but a client kept, by client; read when it is looked at.

        With None that of all.
        """
        return _Lazy(self, self.rounds, client)

    def read(self, client: int, round_number: int) -> Kept:
        """Return what a client kept after a round, by name."""
        if client not in self.loaded:
            stored = self.store.read(client, round_number)
            self.loaded[client] = {
                name: torch.from_numpy(stored[name]).to(self.device) for name in self.names
            }
        return self.loaded[client]

    @property
    def changed(self) -> str | None:
        """The name of an array that a program has written into, else None."""
        for client, kept in self.loaded.items():
            for name, array in kept.items():
                if array._version:  # torch counts writes to a tensor
                    return f"others[{client}][{name!r}]"
        return None


@dataclass(frozen=True)
class _Lazy(Mapping[int, Kept]):
    """What clients kept after ``rounds``, by client; that of ``left_out`` is not there."""

    others: Others
    rounds: Mapping[int, int]
    left_out: int | None

    def __getitem__(self, client: int) -> Kept:
        if client == self.left_out:
            raise KeyError(client)
        return self.others.read(client, self.rounds[client])

    def __iter__(self) -> Iterator[int]:
        return (client for client in self.rounds if client != self.left_out)

    def __len__(self) -> int:
        return len(self.rounds) - (self.left_out in self.rounds)


def last_participants(state_rounds: np.ndarray) -> np.ndarray:
    """Return those of the clients that kept state (structured STATE_ROUND) who did so last."""
    if not len(state_rounds):
        return state_rounds
    newest: np.ndarray = state_rounds[state_rounds["round"] == state_rounds["round"].max()]
    return newest
