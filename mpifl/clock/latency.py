"""How long a participant takes, and whether it gets to its end."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mpifl.clock.availability import longest_stay, next_online, online_seconds, online_until, pattern_of, resumed_until
from mpifl.kernels import kernel
from mpifl.population.permutation import permuted
from mpifl.population.population import Phones

STRICT, RESUME, FEDSCALE = range(3)
AVAILABILITY = {"strict": STRICT, "resume": RESUME, "fedscale": FEDSCALE, "always": STRICT}
"""What going offline does to a participant (``clock.availability``), as the kernels know it.

strict: it drops out at that moment. resume: it pauses, and goes on when it is online again. fedscale: it is looked at once, at
the moment at which it would finish; offline then, it was never there. always: strict, with phones that never go offline
(``Phones.always_online``).
"""


class Rates(NamedTuple):
    """What the seconds of a participant are made of, besides its phone: see ``phone_seconds``."""

    bytes_down: int
    bytes_up: int
    inferences_per_sample: float
    bits_per_kbit: float


@kernel
def phone_seconds(phones: Phones, client: int, rates: Rates, samples: int) -> tuple[float, float, float]:
    """Download, compute and upload seconds of one client that trains on ``samples`` samples.

    download = 8 bytes / (bits_per_kbit kbit/s), compute = samples x inferences_per_sample x ms / 1000, upload as download.
    """
    return _seconds_on(phones, permuted(client, phones.size, phones.key), rates, samples)


@kernel
def _seconds_on(phones: Phones, phone: int, rates: Rates, samples: int) -> tuple[float, float, float]:
    device = phone % len(phones.compute_ms_per_sample)
    down = rates.bytes_down * 8 / (rates.bits_per_kbit * phones.download_kbps[device])
    compute = rates.inferences_per_sample * samples * phones.compute_ms_per_sample[device] / 1000
    up = rates.bytes_up * 8 / (rates.bits_per_kbit * phones.upload_kbps[device])
    return down, compute, up


@kernel
def _stop(phones: Phones, pattern: int, rule: int, start: float, seconds: float) -> tuple[float, bool]:
    """When a participant with work of ``seconds`` stops, and whether it has finished then."""
    finish = start + seconds
    if rule == RESUME:
        return resumed_until(phones, pattern, start, seconds), True
    if rule == FEDSCALE:
        there = online_until(phones, pattern, finish) > finish
        return (finish, True) if there else (start, False)
    offline = online_until(phones, pattern, start)
    return min(finish, offline), finish <= offline


@kernel
def time_participants(
    phones: Phones, rule: int, clients: np.ndarray, samples: np.ndarray, rates: Rates, start: float
) -> tuple[np.ndarray, np.ndarray]:
    """Seconds (4, n) float64 of every participant asked at ``start``: download, compute, upload, and the moment it stops.

    It stops when it has finished or drops out, whichever is first; ``finished`` (n,) says which.
    """
    seconds = np.empty((4, len(clients)), np.float64)
    finished = np.empty(len(clients), np.bool_)
    for i in range(len(clients)):
        phone = permuted(clients[i], phones.size, phones.key)
        down, compute, up = _seconds_on(phones, phone, rates, samples[i])
        seconds[0, i], seconds[1, i], seconds[2, i] = down, compute, up
        seconds[3, i], finished[i] = _stop(phones, phone % len(phones.period), rule, start, down + compute + up)
    return seconds, finished


@kernel
def samples_until(phones: Phones, rule: int, clients: np.ndarray, rates: Rates, start: float, deadline: float) -> np.ndarray:
    """The most samples, int64, that each can train on and still have uploaded by ``deadline``; -1 if not even without any."""
    most = np.empty(len(clients), np.int64)
    for i in range(len(clients)):
        pattern = pattern_of(phones, clients[i])
        down, one, up = phone_seconds(phones, clients[i], rates, 1)
        there = online_seconds(phones, pattern, start, deadline) if rule == RESUME else deadline - start
        # One more than the division says, which rounds: what counts is the clock's own sum, from there downwards.
        most[i] = np.int64(np.floor((there - down - up) / one)) + 1 if there > down + up else 0
        while most[i] >= 0:
            down, compute, up = phone_seconds(phones, clients[i], rates, most[i])
            work = down + compute + up
            finish = resumed_until(phones, pattern, start, work) if rule == RESUME else start + work
            if finish <= deadline:
                break
            most[i] -= 1
    return most


@kernel
def seconds_at_work(phones: Phones, rule: int, clients: np.ndarray, start: np.ndarray, stop: np.ndarray) -> np.ndarray:
    """Seconds (n,) between start and stop in which each was at work: all of them, or with resume those online."""
    spent = stop - start
    if rule == RESUME:
        for i in range(len(clients)):
            spent[i] = online_seconds(phones, pattern_of(phones, clients[i]), start[i], stop[i])
    return spent


@kernel
def joules(phones: Phones, clients: np.ndarray, computing: np.ndarray, down: np.ndarray, up: np.ndarray) -> np.ndarray:
    """Energy (n,) of ``computing`` seconds and of ``down`` and ``up`` bytes: watts x seconds + joules per byte x bytes."""
    spent = np.empty(len(clients), np.float64)
    for i in range(len(clients)):
        device = permuted(clients[i], phones.size, phones.key) % len(phones.compute_ms_per_sample)
        radio = phones.download_joules_per_byte[device] * down[i] + phones.upload_joules_per_byte[device] * up[i]
        spent[i] = phones.compute_watts[device] * computing[i] + radio
    return spent


@kernel
def _can_finish(phones: Phones, pattern: int, rule: int, seconds: float) -> bool:
    """Whether work of so many seconds fits: into a stay (strict), ever (resume), between two moments online (fedscale)."""
    if rule == STRICT:
        return seconds <= longest_stay(phones, pattern)
    if rule == RESUME or phones.always_online:
        return next_online(phones, pattern, 0.0) < np.inf
    period = phones.period[pattern]
    for slot in range(phones.offsets[pattern], phones.offsets[pattern + 1]):
        # If any moment serves, then one at which it comes online does, or one at which it is done as it comes online.
        begin = phones.start[slot]
        if online_until(phones, pattern, begin + seconds) > begin + seconds:
            return True
        begin = (phones.start[slot] - seconds) % period
        if online_until(phones, pattern, begin) > begin:
            return True
    return False


@kernel
def how_many_can_finish(
    phones: Phones, rule: int, clients: np.ndarray, samples: np.ndarray, rates: Rates, limit: float, enough: int
) -> int:
    """How many of ``clients`` can ever finish, and within ``limit`` seconds; counted up to ``enough``."""
    count = 0
    for i in range(len(clients)):
        pattern = pattern_of(phones, clients[i])
        down, compute, up = phone_seconds(phones, clients[i], rates, samples[i])
        work = down + compute + up
        count += work <= limit and _can_finish(phones, pattern, rule, work)
        if count == enough:
            break
    return count
