"""How long a participant takes, and whether it gets to its end."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mpifl.clock.kernels.availability import (
    longest_stay,
    next_online,
    online_seconds,
    online_until,
    pattern_of,
    resumed_until,
)
from mpifl.clock.kernels.transfer import (
    DOWN,
    UP,
    best_kbps,
    carried,
    constant_seconds,
    curve_seconds,
    has_curves,
    paused_transfer,
)
from mpifl.kernels.compile import inner_kernel, kernel
from mpifl.kernels.permutation import permuted
from mpifl.population.population import Phones

STRICT, RESUME, FEDSCALE = range(3)
AVAILABILITY = {"strict": STRICT, "resume": RESUME, "fedscale": FEDSCALE, "always": STRICT}
"""What going offline does to a participant (``clock.availability``), as the kernels know it.

strict: it drops out at that moment. resume: it pauses, and goes on when it is online again. fedscale: it is looked at once, at
the moment at which it would finish; offline then, it has dropped out, and nobody waited for it. always: strict, with phones
that never go offline (``Phones.always_online``).
"""


class Rates(NamedTuple):
    """What the seconds of a participant are made of, besides its phone: see ``phone_seconds``; bytes, and bits of a kbit."""

    bytes_down: int
    bytes_up: int
    inferences_per_sample: float
    bits_per_kbit: float


@inner_kernel
def compute_seconds(phones: Phones, phone: int, rates: Rates, samples: int) -> float:
    """Seconds to train on ``samples`` samples: samples x inferences_per_sample x ms / 1000."""
    return (
        rates.inferences_per_sample
        * samples
        * phones.compute_ms_per_sample[phone % len(phones.compute_ms_per_sample)]
        / 1000
    )


@inner_kernel
def phone_seconds(
    phones: Phones, client: int, rates: Rates, samples: int
) -> tuple[float, float, float]:
    """Download, compute and upload seconds of one client that trains on ``samples`` samples, at its phone's best speeds.

    download = 8 bytes / (bits_per_kbit kbit/s), upload as download. Where speeds change over time it may take longer.
    """
    phone = permuted(client, phones.size, phones.key)
    down = rates.bytes_down * 8 / (rates.bits_per_kbit * best_kbps(phones, phone, DOWN))
    up = rates.bytes_up * 8 / (rates.bits_per_kbit * best_kbps(phones, phone, UP))
    return down, compute_seconds(phones, phone, rates, samples), up


@inner_kernel
def _course(
    phones: Phones, phone: int, rule: int, rates: Rates, samples: int, start: float
) -> tuple[float, float, float, float]:
    """Download, compute and upload seconds at work of a participant that nothing ends, and the moment at which it is done."""
    compute = compute_seconds(phones, phone, rates, samples)
    if has_curves(phones):
        return _curve_course(phones, phone, rule, rates, compute, start)
    down = constant_seconds(phones, phone, DOWN, rates.bytes_down, rates.bits_per_kbit)
    up = constant_seconds(phones, phone, UP, rates.bytes_up, rates.bits_per_kbit)
    work = down + compute + up
    return (
        down,
        compute,
        up,
        resumed_until(phones, phone % len(phones.period), start, work)
        if rule == RESUME
        else start + work,
    )


@inner_kernel
def _curve_course(
    phones: Phones, phone: int, rule: int, rates: Rates, compute: float, start: float
) -> tuple[float, float, float, float]:
    """As ``_course``, of a phone with a curve; a transfer that never ends takes forever."""
    pattern = phone % len(phones.period)
    kbit_down, kbit_up = (
        rates.bytes_down * 8 / rates.bits_per_kbit,
        rates.bytes_up * 8 / rates.bits_per_kbit,
    )
    down = curve_seconds(phones, phone, DOWN, start, kbit_down)
    up = curve_seconds(phones, phone, UP, start + down + compute, kbit_up)
    finish = start + (down + compute + up)
    if rule != RESUME or finish <= online_until(phones, pattern, start):
        return down, compute, up, finish
    there, _ = paused_transfer(phones, phone, DOWN, start, kbit_down, np.inf)
    if there == np.inf:
        return np.inf, compute, np.inf, np.inf
    trained = resumed_until(phones, pattern, there, compute) if compute > 0 else there
    finish, _ = paused_transfer(phones, phone, UP, trained, kbit_up, np.inf)
    up = online_seconds(phones, pattern, trained, finish) if finish < np.inf else np.inf
    return online_seconds(phones, pattern, start, there), compute, up, finish


@inner_kernel
def _stop(
    phones: Phones, pattern: int, rule: int, start: float, finish: float
) -> tuple[float, bool]:
    """When a participant stops that would be done at ``finish``, and whether it has finished then."""
    if rule == RESUME:
        return finish, True
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

    It stops when it has finished or drops out, whichever is first; ``finished`` (n,) says which. One that pauses and whose
    curve carries nothing whenever it is online stops at infinity.
    """
    seconds = np.empty((4, len(clients)), np.float64)
    finished = np.empty(len(clients), np.bool_)
    for i in range(len(clients)):
        phone = permuted(clients[i], phones.size, phones.key)
        down, compute, up, finish = _course(phones, phone, rule, rates, samples[i], start)
        seconds[0, i], seconds[1, i], seconds[2, i] = down, compute, up
        seconds[3, i], finished[i] = _stop(phones, phone % len(phones.period), rule, start, finish)
    return seconds, finished


@kernel
def samples_until(
    phones: Phones,
    rule: int,
    clients: np.ndarray,
    planned: np.ndarray,
    rates: Rates,
    start: float,
    deadline: float,
) -> np.ndarray:
    """The most of its ``planned`` (n,) samples, int64, that each has trained on and uploaded by ``deadline``.

    -1 where not even an update without any would be there. More samples never are done sooner: a bisection finds the most.
    """
    most = np.empty(len(clients), np.int64)
    for i in range(len(clients)):
        phone = permuted(clients[i], phones.size, phones.key)
        low, high = -1, planned[i] + 1
        middle = planned[i]  # first, for most can do all of them
        while high - low > 1:
            if _course(phones, phone, rule, rates, middle, start)[3] <= deadline:
                low = middle
            else:
                high = middle
            middle = (low + high) // 2
        most[i] = low
    return most


@kernel
def progress(
    phones: Phones,
    rule: int,
    rates: Rates,
    clients: np.ndarray,
    span: np.ndarray,
    seconds: np.ndarray,
    done: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """What each has done between the moments span[0] and span[1] (2, n), if no server slowed it down.

    ``seconds`` (3, n) are its download, compute and upload seconds; where ``done`` (n,) bool it has done everything. Returns
    bytes (2, n) int64 downloaded and uploaded, whole ones, and the seconds (n,) that it computed.
    """
    sent, computed = np.empty((2, len(clients)), np.int64), np.empty(len(clients), np.float64)
    for i in range(len(clients)):
        start, stop, down, compute, up = (
            span[0, i],
            span[1, i],
            seconds[0, i],
            seconds[1, i],
            seconds[2, i],
        )
        if done[i]:
            sent[DOWN, i], computed[i], sent[UP, i] = rates.bytes_down, compute, rates.bytes_up
            continue
        phone = permuted(clients[i], phones.size, phones.key)
        spent = stop - start
        if rule == RESUME:
            spent = online_seconds(phones, phone % len(phones.period), start, stop)
        computed[i] = min(max(spent - down, 0.0), compute)
        sent[DOWN, i] = _sent(phones, phone, rule, DOWN, rates, spent, down, start, stop)
        sent[UP, i] = 0
        if spent > down + compute:
            begin = start + down + compute
            if rule == RESUME and has_curves(phones):
                begin = resumed_until(phones, phone % len(phones.period), start, down + compute)
            sent[UP, i] = _sent(
                phones, phone, rule, UP, rates, spent - down - compute, up, begin, stop
            )
    return sent, computed


@inner_kernel
def _sent(
    phones: Phones,
    phone: int,
    rule: int,
    direction: int,
    rates: Rates,
    elapsed: float,
    seconds: float,
    begin: float,
    stop: float,
) -> int:
    """Whole bytes of a transfer begun at ``begin`` that has had ``elapsed`` of the ``seconds`` that it takes, by ``stop``."""
    size = rates.bytes_down if direction == DOWN else rates.bytes_up
    if elapsed >= seconds:
        return size
    if not has_curves(phones):
        return int(size * elapsed / seconds)
    if rule == RESUME:
        _, kbit = paused_transfer(
            phones, phone, direction, begin, size * 8 / rates.bits_per_kbit, stop
        )
    else:
        kbit = carried(phones, phone, direction, begin, max(begin, stop))
    return min(int(kbit * rates.bits_per_kbit / 8), size)


@kernel
def joules(
    phones: Phones, clients: np.ndarray, computing: np.ndarray, down: np.ndarray, up: np.ndarray
) -> np.ndarray:
    """Energy (n,) of ``computing`` seconds and of ``down`` and ``up`` bytes: watts x seconds + joules per byte x bytes."""
    spent = np.empty(len(clients), np.float64)
    for i in range(len(clients)):
        device = permuted(clients[i], phones.size, phones.key) % len(phones.compute_ms_per_sample)
        radio = (
            phones.download_joules_per_byte[device] * down[i]
            + phones.upload_joules_per_byte[device] * up[i]
        )
        spent[i] = phones.compute_watts[device] * computing[i] + radio
    return spent


@inner_kernel
def _can_finish(phones: Phones, pattern: int, rule: int, seconds: float) -> bool:
    """Whether work of so many seconds fits: into a stay (strict), ever (resume), between two moments online (fedscale).

    With curves they are the least that it takes, and fedscale's rule may have use for more.
    """
    if rule == STRICT:
        return seconds <= longest_stay(phones, pattern)
    if rule == RESUME or phones.always_online or has_curves(phones):
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
    phones: Phones,
    rule: int,
    clients: np.ndarray,
    samples: np.ndarray,
    rates: Rates,
    server_kbps: np.ndarray,
    limit: float,
    enough: int,
) -> int:
    """How many of ``clients`` can ever finish, and within ``limit`` seconds; counted up to ``enough``.

    ``server_kbps`` (2,) down and up, infinity for no limit: even alone nobody's transfer is faster.
    """
    count = 0
    for i in range(len(clients)):
        pattern = pattern_of(phones, clients[i])
        down, compute, up = phone_seconds(phones, clients[i], rates, samples[i])
        down = max(down, rates.bytes_down * 8 / rates.bits_per_kbit / server_kbps[0])
        up = max(up, rates.bytes_up * 8 / rates.bits_per_kbit / server_kbps[1])
        work = down + compute + up
        count += work <= limit and _can_finish(phones, pattern, rule, work)
        if count == enough:
            break
    return count
