"""Who has which reference model, and what that lets a client download."""

from __future__ import annotations

import numpy as np

from mpifl.clock.workload_by_held import WorkloadByHeld
from mpifl.rounds.plan.held import Held


def test_a_client_lacks_what_was_sent_since_it_was_up_to_date() -> None:
    held = Held()
    held.note(np.array([3]))
    held.sent += 10
    held.note(np.array([5]))
    held.sent += 7
    assert held.behind(np.array([5, 3, 4])).tolist() == [7, 17, -1]
    again = Held.of(held.table())
    assert again.behind(np.array([5, 3, 4])).tolist() == [7, 17, -1]
    again.sent += 1
    assert again.behind(np.array([3])).tolist() == [18]


def test_nobody_downloads_more_than_the_whole() -> None:
    lacks = {1: -1, 2: 0, 3: 40, 4: 99}
    work = WorkloadByHeld(
        bytes_down=100, bytes_up=8, batch_size=1, epochs=1, local_steps=None, beside=5,
        behind=lambda clients: np.array([lacks[client] for client in clients.tolist()]),
    )  # fmt: skip
    down, up = work.loads(np.array([1, 2, 3, 4]))
    assert down.tolist() == [100, 5, 45, 100]
    assert up.tolist() == [8] * 4
