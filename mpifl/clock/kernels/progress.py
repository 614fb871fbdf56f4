"""What participants have done by a moment, and the energy that it took."""

from __future__ import annotations

import numpy as np

from mpifl.clock.kernels.availability import after_pauses, online_seconds, resumed_until
from mpifl.clock.kernels.latency import RESUME, Rates, first_byte_seconds
from mpifl.clock.kernels.transfer import (
    DOWN,
    UP,
    Load,
    Loads,
    carried,
    has_curves,
    load_of,
    paused_transfer,
)
from mpifl.kernels.compile import inner_kernel, kernel
from mpifl.population.phones import Phones, device_row, pattern_row, phone_of


@kernel
def progress(
    phones: Phones,
    rule: int,
    rates: Rates,
    clients: np.ndarray,
    loads: Loads,
    span: np.ndarray,
    seconds: np.ndarray,
    done: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Return what each has done between the moments span[0] and span[1] (2, n).

    For participants that no server slowed down. ``seconds`` (3, n) are its download, compute and
    upload seconds; where ``done`` (n,) bool it has done everything. Returns whole bytes (2, n)
    int64 downloaded and uploaded, and the seconds (n,) that it computed.
    """
    sent = np.empty((2, len(clients)), np.int64)
    computed = np.empty(len(clients), np.float64)

    for i in range(len(clients)):
        start = span[0, i]
        stop = span[1, i]
        down = seconds[0, i]
        compute = seconds[1, i]
        up = seconds[2, i]
        if done[i]:
            sent[DOWN, i] = loads.down[i]
            computed[i] = compute
            sent[UP, i] = loads.up[i]
            continue

        phone = phone_of(phones, clients[i])
        spent = stop - start
        if rule == RESUME:
            spent = online_seconds(phones, pattern_row(phones, phone), start, stop)

        computed[i] = min(max(spent - down, 0.0), compute)
        load = load_of(loads, i)
        sent[DOWN, i] = _sent(phones, phone, rule, DOWN, rates, load, spent, down, start, stop)
        sent[UP, i] = 0
        if spent > down + compute:
            begin = start + down + compute
            if rule == RESUME and has_curves(phones):
                begin = resumed_until(phones, pattern_row(phones, phone), start, down + compute)
            elapsed = spent - down - compute
            sent[UP, i] = _sent(phones, phone, rule, UP, rates, load, elapsed, up, begin, stop)
    return sent, computed


@inner_kernel
def _sent(
    phones: Phones,
    phone: int,
    rule: int,
    direction: int,
    rates: Rates,
    load: Load,
    elapsed: float,
    seconds: float,
    begin: float,
    stop: float,
) -> int:
    """Return the whole bytes that one direction's transfer has carried by ``stop``.

    Its set-up began at ``begin``, and it has been at work for ``elapsed`` of the ``seconds`` that
    both take.
    """
    size = load.down if direction == DOWN else load.up
    if elapsed >= seconds:
        return size

    set_up = first_byte_seconds(rates, load, direction)
    if elapsed <= set_up:
        return 0
    if not has_curves(phones):
        return int(size * (elapsed - set_up) / (seconds - set_up))

    if rule == RESUME:
        begin = after_pauses(phones, pattern_row(phones, phone), begin, set_up)
        wanted = size * 8 / rates.bits_per_kbit / load.factor
        _, kbit = paused_transfer(phones, phone, direction, begin, wanted, stop)
    else:
        begin += set_up
        kbit = carried(phones, phone, direction, begin, max(begin, stop))
    return min(int(kbit * load.factor * rates.bits_per_kbit / 8), size)


@kernel
def seconds_at_work(phones: Phones, rule: int, clients: np.ndarray, span: np.ndarray) -> np.ndarray:
    """Return the seconds (n,) between the moments span[0] and span[1] (2, n), without pauses."""
    seconds = span[1] - span[0]
    if rule == RESUME:
        for i in range(len(clients)):
            pattern = pattern_row(phones, phone_of(phones, clients[i]))
            seconds[i] = online_seconds(phones, pattern, span[0, i], span[1, i])
    return seconds


@kernel
def joules(
    phones: Phones, clients: np.ndarray, computing: np.ndarray, down: np.ndarray, up: np.ndarray
) -> np.ndarray:
    """Return the energy (n,) of ``computing`` seconds and of ``down`` and ``up`` bytes.

    watts x seconds + joules per byte x bytes.
    """
    spent = np.empty(len(clients), np.float64)
    for i in range(len(clients)):
        device = device_row(phones, phone_of(phones, clients[i]))
        down_joules = phones.download_joules_per_byte[device] * down[i]
        up_joules = phones.upload_joules_per_byte[device] * up[i]
        radio = down_joules + up_joules
        spent[i] = phones.compute_watts[device] * computing[i] + radio
    return spent
