"""How long a participant takes, and whether it gets to its end."""

from __future__ import annotations

import numba
import numpy as np

from mpifl.clock.availability import longest_stay, online_until, pattern_of
from mpifl.population.permutation import permuted
from mpifl.population.population import Phones

TRAINING_PER_INFERENCE = 3.0
"""One training sample costs three inferences: forward, and a backward of twice that (FedScale, client_metadata.py)."""


@numba.njit(cache=True)
def phone_seconds(phones: Phones, client: int, bytes_down: int, bytes_up: int, samples: int) -> tuple[float, float, float]:
    """Download, compute and upload seconds of one client; 1 kbit/s = 1000 bit/s, samples are those it goes through."""
    device = permuted(client, phones.size, phones.key) % len(phones.compute_ms_per_sample)
    down = bytes_down * 8 / (1000 * phones.download_kbps[device])
    compute = TRAINING_PER_INFERENCE * samples * phones.compute_ms_per_sample[device] / 1000
    up = bytes_up * 8 / (1000 * phones.upload_kbps[device])
    return down, compute, up


@numba.njit(cache=True)
def time_participants(
    phones: Phones, clients: np.ndarray, samples: np.ndarray, bytes_down: int, bytes_up: int, start: float
) -> tuple[np.ndarray, np.ndarray]:
    """Seconds (4, n) float64 of every participant asked at ``start``: download, compute, upload, and the moment it stops.

    It stops when it has finished or, if that is earlier, when it goes offline: then ``finished`` (n,) is False.
    """
    seconds = np.empty((4, len(clients)), np.float64)
    finished = np.empty(len(clients), np.bool_)
    for i in range(len(clients)):
        down, compute, up = phone_seconds(phones, clients[i], bytes_down, bytes_up, samples[i])
        finish = start + (down + compute + up)
        offline = online_until(phones, pattern_of(phones, clients[i]), start)
        finished[i] = finish <= offline
        seconds[0, i], seconds[1, i], seconds[2, i] = down, compute, up
        seconds[3, i] = min(finish, offline)
    return seconds, finished


@numba.njit(cache=True)
def anyone_can_finish(phones: Phones, clients: np.ndarray, samples: np.ndarray, bytes_down: int, bytes_up: int) -> bool:
    """Whether any of ``clients`` has a stay online that is long enough for its work."""
    for i in range(len(clients)):
        down, compute, up = phone_seconds(phones, clients[i], bytes_down, bytes_up, samples[i])
        if down + compute + up <= longest_stay(phones, pattern_of(phones, clients[i])):
            return True
    return False
