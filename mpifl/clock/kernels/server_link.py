"""Participants on a server's link, event by event: transfers and training end, phones go offline and online, speeds change.

Rates change at events only, and are those of ``fair_share`` between them. Each event costs O(log n).
"""

from __future__ import annotations

import numpy as np

from mpifl.clock.kernels.availability import next_online, online_until
from mpifl.clock.kernels.fair_share import (
    ENDS,
    EVENTS,
    SLOWEST,
    Link,
    leave,
    level_out,
    limit_by_phone,
    schedule,
)
from mpifl.clock.kernels.flow import COMPUTING, DONE, DOWNLOADING, IDLE, OWN, SHARED, UPLOADING
from mpifl.clock.kernels.heaps import least, put, take
from mpifl.clock.kernels.latency import RESUME, Rates
from mpifl.clock.kernels.transfer import DOWN, UP, speed_from
from mpifl.kernels.compile import inner_kernel, kernel
from mpifl.kernels.permutation import permuted
from mpifl.population.population import Phones

# Sums of floats that are the same moment, or amount, without rounding: what differs by such a share of itself is simultaneous.
SAME_MOMENT = 1e-14
SAME_KBIT = 1e-12


@kernel
def join(
    link: Link,
    phones: Phones,
    rates: Rates,
    numbers: np.ndarray,
    clients: np.ndarray,
    start: np.ndarray,
    compute_seconds: np.ndarray,
    alone: np.ndarray,
) -> None:
    """Let participants (n,) begin that are online at ``start``, by ``numbers`` that are free; for ``alone`` see FLOW."""
    for k in range(len(numbers)):
        flow = link.flows[numbers[k]]
        flow.client, flow.phone = clients[k], permuted(clients[k], phones.size, phones.key)
        flow.compute_seconds, flow.alone, flow.stop = compute_seconds[k], alone[k], np.inf
        flow.limit, flow.online, flow.delayed = IDLE, True, False
        flow.border = online_until(phones, flow.phone % len(phones.period), start[k])
        _begin(link, phones, rates, numbers[k], DOWNLOADING, start[k])


def left_behind(link: Link) -> np.ndarray:
    """All flows of a link (m,), structured FLOW, at its moment. The link is not used any more."""
    flows = link.flows
    shared = flows["limit"] == SHARED
    left = flows["target"][shared] - link.total[flows["stage"][shared] // 2]
    flows["left"][shared] = flows["target"][shared] = np.maximum(left, 0.0)
    flows["since"][shared] = link.now[0]
    return flows


@kernel
def take_up(link: Link, flows: np.ndarray) -> None:
    """Go on with ``flows`` (n,) of ``left_behind`` as numbers 0 to n - 1, on a link of that moment with nobody on it."""
    for i in range(len(flows)):
        link.flows[i] = flows[i]
        flow = link.flows[i]
        if flow.stop < np.inf:
            continue
        put(link.heaps, EVENTS, i, min(flow.end, flow.border, flow.change))
        if flow.limit == OWN:
            limit_by_phone(link, i)
        elif flow.limit == SHARED:
            put(link.heaps, ENDS + flow.stage // 2, i, flow.target)
            put(link.heaps, SLOWEST + flow.stage // 2, i, flow.kbps)


@kernel
def advance(
    link: Link, phones: Phones, rule: int, rates: Rates, until: float, finished: int, stopped: int
) -> None:
    """Let time pass until so many have finished, so many have stopped (some by dropping out), or ``until``.

    All that happens at the last moment has happened then; link.stopped says who has stopped since the call.
    """
    link.stops[0] = done = 0
    while done < finished and link.stops[0] < stopped and link.now[0] < until:
        for direction in (DOWN, UP):
            level_out(link, rates, direction)
        moment = _next_moment(link, until)
        if moment == np.inf:
            break
        before = link.stops[0]
        _happen(link, phones, rule, rates, moment)
        done += _finish(link, before)


@inner_kernel
def _next_moment(link: Link, until: float) -> float:
    """When something happens next; ``until`` if nothing does before. A moment known for long is not moved by rounding."""
    known, shared = least(link.heaps, EVENTS), np.inf
    for direction in (DOWN, UP):
        if link.heaps.sizes[ENDS + direction]:
            kbit = least(link.heaps, ENDS + direction) - link.total[direction]
            shared = min(shared, link.now[0] + max(kbit, 0.0) / link.level[direction])
    if until <= known * (1 + SAME_MOMENT):
        known = until
    return max(known if known <= shared * (1 + SAME_MOMENT) else shared, link.now[0])


@inner_kernel
def _happen(link: Link, phones: Phones, rule: int, rates: Rates, moment: float) -> None:
    """Go to ``moment`` at the rates of before, and let happen all that happens there: first of all, transfers end."""
    heaps, passed = link.heaps, moment - link.now[0]
    link.now[0] = moment
    for direction in (DOWN, UP):
        if heaps.sizes[ENDS + direction]:
            link.total[direction] += link.level[direction] * passed
    for direction in (DOWN, UP):
        reached = (
            link.total[direction] * (1 + SAME_KBIT) + link.level[direction] * moment * SAME_MOMENT
        )
        while heaps.sizes[ENDS + direction] and least(heaps, ENDS + direction) <= reached:
            _end(link, phones, rates, heaps.items[ENDS + direction, 0], moment)
    while least(heaps, EVENTS) <= moment * (1 + SAME_MOMENT):
        i = heaps.items[EVENTS, 0]
        flow = link.flows[i]
        if flow.end <= min(flow.border, flow.change) * (1 + SAME_MOMENT):
            _end(link, phones, rates, i, flow.end)
        elif flow.border <= flow.change:
            _cross(link, phones, rule, rates, i)
        else:
            leave(link, i, flow.change)
            _go_on(link, phones, rates, i, flow.change)


@inner_kernel
def _finish(link: Link, before: int) -> int:
    """Write down when those finished who just did, and return how many; all at one moment, whatever rounding made of it.

    One whom the server never slowed down finishes to the last bit when it would have if it had been alone.
    """
    latest, done = link.now[0], 0
    for k in range(before, link.stops[0]):
        flow = link.flows[link.stopped[k]]
        if flow.stage == DONE and not flow.delayed:
            latest = max(latest, flow.alone)
    for k in range(before, link.stops[0]):
        flow = link.flows[link.stopped[k]]
        if flow.stage == DONE:
            flow.stop = latest if flow.delayed else flow.alone
            done += 1
    return done


@inner_kernel
def _end(link: Link, phones: Phones, rates: Rates, i: int, moment: float) -> None:
    """A participant is through with what it does, and begins the next or is done."""
    leave(link, i, moment)
    _begin(link, phones, rates, i, link.flows[i].stage + 1, moment)
    if link.flows[i].stage == DONE:
        _stop(link, i)


@inner_kernel
def _stop(link: Link, i: int) -> None:
    link.stopped[link.stops[0]] = i
    link.stops[0] += 1
    take(link.heaps, EVENTS, i)


@inner_kernel
def _cross(link: Link, phones: Phones, rule: int, rates: Rates, i: int) -> None:
    """A phone goes offline, which ends its participation or (resume) interrupts it; or it comes back online."""
    flow = link.flows[i]
    pattern, border = flow.phone % len(phones.period), flow.border
    if not flow.online:
        flow.online, flow.border = True, online_until(phones, pattern, border)
        _go_on(link, phones, rates, i, border)
        return
    leave(link, i, border)
    if rule == RESUME:
        flow.online, flow.border = False, next_online(phones, pattern, border)
        flow.end, flow.change = np.inf, np.inf
        put(link.heaps, EVENTS, i, flow.border)
    else:
        flow.stop = border
        _stop(link, i)


@inner_kernel
def _begin(link: Link, phones: Phones, rates: Rates, i: int, stage: int, moment: float) -> None:
    """Begin a stage of one's way, or the one after it where there is nothing to send."""
    flow = link.flows[i]
    stage += (stage == DOWNLOADING and rates.bytes_down == 0) or (
        stage == UPLOADING and rates.bytes_up == 0
    )
    flow.stage = stage
    if stage == DONE:
        return
    size = rates.bytes_down if stage == DOWNLOADING else rates.bytes_up
    flow.left = flow.compute_seconds if stage == COMPUTING else size * 8 / rates.bits_per_kbit
    _go_on(link, phones, rates, i, moment)


@inner_kernel
def _go_on(link: Link, phones: Phones, rates: Rates, i: int, moment: float) -> None:
    """Work on the present stage from ``moment`` on, at first as fast as the phone can."""
    flow = link.flows[i]
    flow.since, flow.change = moment, np.inf
    if flow.stage != COMPUTING:
        flow.kbps, flow.change = speed_from(phones, flow.phone, flow.stage // 2, moment)
        if flow.kbps > 0:
            limit_by_phone(link, i)
    schedule(link, rates, i)
