"""When an actor's phone has computed, and when a message has gone over its link."""

from __future__ import annotations

import numpy as np

from mpifl.clock.kernels.availability import (
    after_pauses,
    next_online,
    online_until,
)
from mpifl.clock.kernels.latency import RESUME, Rates, compute_seconds, first_byte_seconds
from mpifl.clock.kernels.transfer import (
    Load,
    constant_seconds,
    curve_seconds,
    has_curves,
    paused_transfer,
)
from mpifl.kernels.compile import kernel
from mpifl.population.phones import Phones, pattern_row, phone_of


@kernel
def time_online(phones: Phones, client: int, now: float) -> float:
    """Return the first moment from ``now`` on at which a client is online; infinity if none."""
    return next_online(phones, pattern_row(phones, phone_of(phones, client)), now)


@kernel
def time_of_work(
    phones: Phones, rule: int, client: int, samples: float, rates: Rates, now: float
) -> tuple[float, float, float, bool]:
    """Return when a client that is free from ``now`` on begins and ends to train on ``samples``.

    It begins when it is online. By the strict rule it stops when it goes offline.

    Returns:
        Beginning and end (infinity: never), the seconds of the work, and whether it is done.
    """
    phone = phone_of(phones, client)
    pattern = pattern_row(phones, phone)
    seconds = compute_seconds(phones, phone, rates, samples)
    begin = next_online(phones, pattern, now)
    if begin == np.inf:
        return begin, begin, seconds, False
    if rule == RESUME:
        end = after_pauses(phones, pattern, begin, seconds)
        return begin, end, seconds, end < np.inf

    end = begin + seconds
    until = online_until(phones, pattern, begin)
    return begin, min(end, until), seconds, end <= until


@kernel
def time_of_transfer(
    phones: Phones,
    rule: int,
    client: int,
    direction: int,
    load: Load,
    rates: Rates,
    now: float,
) -> tuple[float, float, float, bool]:
    """Return when a load that waits for a client's link from ``now`` on begins and ends.

    The transfer begins when the client is online. By the strict rule it breaks off when the client
    goes offline.

    Returns:
        Beginning and end (infinity: never), the seconds that it takes when nothing breaks it off,
        and whether everything was carried.
    """
    phone = phone_of(phones, client)
    pattern = pattern_row(phones, phone)
    begin = next_online(phones, pattern, now)
    if begin == np.inf:
        return begin, begin, 0.0, False

    kbit = (load.down + load.up) * 8 / (rates.bits_per_kbit * load.factor)
    set_up = first_byte_seconds(rates, load, direction)
    if rule == RESUME:
        first = after_pauses(phones, pattern, begin, set_up)
        if has_curves(phones):
            end, _ = paused_transfer(phones, phone, direction, first, kbit, np.inf)
        else:
            seconds = constant_seconds(phones, phone, direction, load, rates.bits_per_kbit)
            end = after_pauses(phones, pattern, first, seconds)
        return begin, end, end - begin, end < np.inf

    if has_curves(phones):
        seconds = curve_seconds(phones, phone, direction, begin + set_up, kbit)
    else:
        seconds = constant_seconds(phones, phone, direction, load, rates.bits_per_kbit)
    seconds = set_up + seconds
    until = online_until(phones, pattern, begin)
    return begin, min(begin + seconds, until), seconds, begin + seconds <= until
