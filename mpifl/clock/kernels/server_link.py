"""Participants on a server's link, event by event.

Events: set-ups, transfers and training end, phones go offline and online, speeds change. Rates
change at events only, and are those of ``fair_share`` between them. Each event costs O(log n).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mpifl.clock.kernels.availability import next_online, online_until
from mpifl.clock.kernels.fair_share import (
    ENDS,
    EVENTS,
    Link,
    leave,
    level_out,
    limit_by_phone,
    schedule,
)
from mpifl.clock.kernels.flow import COMPUTING, DONE, DOWNLOADING, IDLE, UPLOADING
from mpifl.clock.kernels.heaps import least, put, take
from mpifl.clock.kernels.latency import RESUME, Rates
from mpifl.clock.kernels.transfer import DOWN, UP, Loads, speed_from
from mpifl.kernels.compile import inner_kernel, kernel
from mpifl.population.phones import Phones, pattern_row, phone_of

# Moments, or amounts, that would be equal without rounding. Sums of floats that differ by less than
# this share of themselves count as equal.
SAME_MOMENT = 1e-14
SAME_KBIT = 1e-12


@kernel
def join(
    link: Link,
    phones: Phones,
    rates: Rates,
    numbers: np.ndarray,
    clients: np.ndarray,
    loads: Loads,
    start: np.ndarray,
    compute_seconds: np.ndarray,
    alone: np.ndarray,
) -> None:
    """Let participants (n,) that are online at ``start`` begin, by ``numbers`` that are free.

    For ``alone`` see FLOW.
    """
    for k in range(len(numbers)):
        flow = link.flows[numbers[k]]
        flow.client = clients[k]
        flow.phone = phone_of(phones, clients[k])
        flow.load_down = loads.down[k]
        flow.load_up = loads.up[k]
        flow.bandwidth_factor = loads.factor[k]
        flow.wait_down = loads.wait_down[k]
        flow.wait_up = loads.wait_up[k]
        flow.compute_seconds = compute_seconds[k]
        flow.alone = alone[k]
        flow.stop = np.inf
        flow.limit = IDLE
        flow.online = True
        flow.delayed = False

        flow.border = online_until(phones, pattern_row(phones, flow.phone), start[k])
        _begin(link, phones, rates, numbers[k], DOWNLOADING, start[k])


@kernel
def advance(
    link: Link, phones: Phones, rule: int, rates: Rates, until: float, finished: int, stopped: int
) -> None:
    """Let time pass until ``finished`` have finished, ``stopped`` have stopped, or ``until``.

    Who drops out stops without finishing. All events at the last moment have happened then.
    link.stopped says who has stopped since the call.
    """
    link.stops[0] = 0
    done = 0
    while done < finished and link.stops[0] < stopped and link.now[0] < until:
        for direction in (DOWN, UP):
            level_out(link, direction)
        moment = _next_moment(link, until)
        if moment == np.inf:
            break

        before = link.stops[0]
        _happen(link, phones, rule, rates, moment)
        done += _finish(link, before)


@kernel
def next_event(link: Link) -> float:
    """Return the moment of the next event on a link as it is now; infinity for none."""
    for direction in (DOWN, UP):
        level_out(link, direction)
    return _next_moment(link, np.inf)


@kernel
def happen(link: Link, phones: Phones, rule: int, rates: Rates, moment: float) -> None:
    """Let time pass until ``moment``, by which nothing has happened, and let its events happen.

    link.stopped says who has stopped.
    """
    link.stops[0] = 0
    for direction in (DOWN, UP):
        level_out(link, direction)
    _happen(link, phones, rule, rates, moment)
    _finish(link, 0)


@inner_kernel
def _next_moment(link: Link, until: float) -> float:
    """Return the moment of the next event, or ``until`` if nothing happens before.

    A moment that was known in advance is preferred to one that rounding made of it.
    """
    known = least(link.heaps, EVENTS)
    shared = np.inf
    for direction in (DOWN, UP):
        if link.heaps.sizes[ENDS + direction]:
            kbit = least(link.heaps, ENDS + direction) - link.total[direction]
            shared = min(shared, link.now[0] + max(kbit, 0.0) / link.level[direction])

    if until <= known * (1 + SAME_MOMENT):
        known = until
    return max(known if known <= shared * (1 + SAME_MOMENT) else shared, link.now[0])


@inner_kernel
def _happen(link: Link, phones: Phones, rule: int, rates: Rates, moment: float) -> None:
    """Go to ``moment`` at the present rates, and let all of its events happen.

    Ends of shared transfers come first.
    """
    heaps = link.heaps
    passed = moment - link.now[0]
    link.now[0] = moment
    for direction in (DOWN, UP):
        if heaps.sizes[ENDS + direction]:
            link.total[direction] += link.level[direction] * passed

    for direction in (DOWN, UP):
        by_moment = link.level[direction] * moment * SAME_MOMENT
        reached = link.total[direction] * (1 + SAME_KBIT) + by_moment
        while heaps.sizes[ENDS + direction] and least(heaps, ENDS + direction) <= reached:
            _end(link, phones, rates, heaps.items[ENDS + direction, 0], moment)

    while least(heaps, EVENTS) <= moment * (1 + SAME_MOMENT):
        i = heaps.items[EVENTS, 0]
        flow = link.flows[i]
        if flow.end <= min(flow.border, flow.change) * (1 + SAME_MOMENT):
            _end(link, phones, rates, i, flow.end)
        elif flow.border <= flow.change:
            _cross(link, phones, rule, i)
        else:
            leave(link, i, flow.change)
            _go_on(link, phones, i, flow.change)


@inner_kernel
def _finish(link: Link, before: int) -> int:
    """Set the stop of the participants that just finished, and return how many they are.

    They are those from place ``before`` of link.stopped on. All of them finish at one moment,
    whatever rounding made of it. One that the server never slowed down finishes, to the last bit,
    when it would have with the link to itself.
    """
    latest = link.now[0]
    for k in range(before, link.stops[0]):
        flow = link.flows[link.stopped[k]]
        if flow.stage == DONE and not flow.delayed:
            latest = max(latest, flow.alone)

    done = 0
    for k in range(before, link.stops[0]):
        flow = link.flows[link.stopped[k]]
        if flow.stage == DONE:
            flow.stop = latest if flow.delayed else flow.alone
            done += 1
    return done


@inner_kernel
def _end(link: Link, phones: Phones, rates: Rates, i: int, moment: float) -> None:
    """End a participant's stage, or the set-up of its transfer; it begins the next or is done."""
    leave(link, i, moment)
    flow = link.flows[i]
    if flow.setting_up:
        flow.setting_up = False
        flow.left = _size(flow) * 8 / rates.bits_per_kbit
        _go_on(link, phones, i, moment)
        return

    _begin(link, phones, rates, i, link.flows[i].stage + 1, moment)
    if link.flows[i].stage == DONE:
        _stop(link, i)


@inner_kernel
def _stop(link: Link, i: int) -> None:
    """Take a participant that has finished or dropped out off the link."""
    link.stopped[link.stops[0]] = i
    link.stops[0] += 1
    take(link.heaps, EVENTS, i)


@inner_kernel
def _cross(link: Link, phones: Phones, rule: int, i: int) -> None:
    """Let a phone go offline or come back online.

    Going offline pauses its participant with the resume rule, else it drops out.
    """
    flow = link.flows[i]
    pattern = pattern_row(phones, flow.phone)
    border = flow.border
    if not flow.online:
        flow.online = True
        flow.border = online_until(phones, pattern, border)
        _go_on(link, phones, i, border)
        return

    leave(link, i, border)
    if rule == RESUME:
        flow.online = False
        flow.border = next_online(phones, pattern, border)
        flow.end = np.inf
        flow.change = np.inf
        put(link.heaps, EVENTS, i, flow.border)
    else:
        flow.stop = border
        _stop(link, i)


@inner_kernel
def _begin(link: Link, phones: Phones, rates: Rates, i: int, stage: int, moment: float) -> None:
    """Begin a stage of a participant, or the one after it where there is nothing to send."""
    flow = link.flows[i]
    nothing_down = stage == DOWNLOADING and flow.load_down == 0
    nothing_up = stage == UPLOADING and flow.load_up == 0
    stage += nothing_down or nothing_up
    flow.stage = stage
    if stage == DONE:
        return

    wait = flow.wait_down if stage == DOWNLOADING else flow.wait_up
    set_up = rates.round_trip_seconds + wait
    flow.setting_up = stage != COMPUTING and set_up > 0
    if stage == COMPUTING:
        flow.left = flow.compute_seconds
    elif flow.setting_up:
        flow.left = set_up
    else:
        flow.left = _size(flow) * 8 / rates.bits_per_kbit
    _go_on(link, phones, i, moment)


@inner_kernel
def _size(flow: Any) -> int:
    """Return the bytes of a participant's present transfer."""
    return flow.load_down if flow.stage == DOWNLOADING else flow.load_up


@inner_kernel
def _go_on(link: Link, phones: Phones, i: int, moment: float) -> None:
    """Work on the present stage from ``moment`` on; a transfer starts at its phone's own speed."""
    flow = link.flows[i]
    flow.since = moment
    flow.change = np.inf

    if flow.stage != COMPUTING and not flow.setting_up:
        kbps, flow.change = speed_from(phones, flow.phone, flow.stage // 2, moment)
        flow.kbps = flow.bandwidth_factor * kbps
        if flow.kbps > 0:
            limit_by_phone(link, i)
    schedule(link, i)
