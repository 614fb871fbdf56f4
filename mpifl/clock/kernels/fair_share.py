"""Max-min fairness among the transfers of one direction that share a server's link.

At every moment a transfer has the rate min(its phone's speed, L), the level L being such that the rates add up to the server's
bandwidth; it is infinite where all phones' speeds together are no more than that (Bertsekas and Gallager, Data Networks,
section 6.5.2). A transfer that its own phone limits has a rate that only its own events change. All that are limited by the
level carry the same, so that one running total of L over time says how far each of them is: a change of L costs them nothing,
and O(log n) those that change sides.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mpifl.clock.kernels.flow import COMPUTING, FLOW, IDLE, OWN, SHARED, UPLOADING
from mpifl.clock.kernels.heaps import Heaps, least, put, take
from mpifl.clock.kernels.latency import Rates
from mpifl.kernels.compile import constant, inner_kernel

EVENTS = constant(
    0
)  # the heap of moments at which something happens to a participant, whatever the others do
ENDS, SLOWEST, FASTEST = (
    1,
    3,
    5,
)  # plus the direction: SHARED transfers by target and by speed; OWN ones by speed, downwards


class Link(NamedTuple):
    """A server's link at the moment ``now`` (1,), and the participants under way by number: ``flows`` (m,), structured FLOW.

    By direction (2,): ``server_kbps``, infinity for no limit; ``level`` L, kbit/s; ``total``, the kbit that a transfer limited
    by the level all the time would have carried; ``own_kbps`` (2, 2), the speeds of OWN transfers added up, and beside the sum
    what rounding took from it. The first ``stops`` (1,) of ``stopped`` (m,) int64 are the numbers of those who stopped last.
    """

    now: np.ndarray
    flows: np.ndarray
    server_kbps: np.ndarray
    level: np.ndarray
    total: np.ndarray
    own_kbps: np.ndarray
    heaps: Heaps
    stopped: np.ndarray
    stops: np.ndarray


def open_link(down_kbps: float | None, up_kbps: float | None, room: int, now: float) -> Link:
    """A link with nobody on it and room for so many; None stands for no limit."""
    server_kbps = np.array([np.inf if kbps is None else kbps for kbps in (down_kbps, up_kbps)])
    return Link(
        now=np.array([now]),
        flows=np.zeros(room, FLOW),
        server_kbps=server_kbps,
        level=np.full(2, np.inf),
        total=np.zeros(2),
        own_kbps=np.zeros((2, 2)),
        heaps=Heaps.empty(7, room),
        stopped=np.empty(room, np.int64),
        stops=np.zeros(1, np.int64),
    )


@inner_kernel
def level_out(link: Link, rates: Rates, direction: int) -> None:
    """Find the level now, and whom it limits: those whose phones could carry more."""
    heaps, shared, own = link.heaps, ENDS + direction, FASTEST + direction
    while heaps.sizes[own] and -least(heaps, own) > _level(link, direction):
        i = heaps.items[own, 0]
        flow = link.flows[i]
        leave(link, i, link.now[0])
        flow.target, flow.limit, flow.delayed = link.total[direction] + flow.left, SHARED, True
        put(heaps, shared, i, flow.target)
        put(heaps, SLOWEST + direction, i, flow.kbps)
        schedule(link, rates, i)
    while heaps.sizes[shared] and least(heaps, SLOWEST + direction) <= _level(link, direction):
        i = heaps.items[SLOWEST + direction, 0]
        leave(link, i, link.now[0])
        limit_by_phone(link, i)
        schedule(link, rates, i)
    link.level[direction] = _level(link, direction)
    if not heaps.sizes[shared]:
        link.total[direction] = 0.0


@inner_kernel
def _level(link: Link, direction: int) -> float:
    """The level of those who are limited by it now. Where nobody is: infinity or, if somebody has to be, 0."""
    left = link.server_kbps[direction] - (link.own_kbps[direction, 0] + link.own_kbps[direction, 1])
    sharing = link.heaps.sizes[ENDS + direction]
    if sharing:
        return left / sharing
    return np.inf if left >= 0 else 0.0


@inner_kernel
def limit_by_phone(link: Link, i: int) -> None:
    """Let a transfer have its phone's speed."""
    flow = link.flows[i]
    flow.limit = OWN
    _add_own(link, flow.stage // 2, flow.kbps)
    put(link.heaps, FASTEST + flow.stage // 2, i, -flow.kbps)


@inner_kernel
def leave(link: Link, i: int, moment: float) -> None:
    """Stop a participant's work at ``moment``, with what is left of it by then."""
    flow = link.flows[i]
    direction = flow.stage // 2
    if flow.limit == OWN:
        flow.left -= flow.kbps * (moment - flow.since)
        take(link.heaps, FASTEST + direction, i)
        _add_own(link, direction, -flow.kbps)
    elif flow.limit == SHARED:
        flow.left = flow.target - link.total[direction]
        take(link.heaps, ENDS + direction, i)
        take(link.heaps, SLOWEST + direction, i)
    elif flow.stage == COMPUTING:
        flow.left -= moment - flow.since
    flow.left, flow.since, flow.limit = max(flow.left, 0.0), moment, IDLE


@inner_kernel
def _add_own(link: Link, direction: int, kbps: float) -> None:
    """Add to the sum of speeds, and what rounding takes from it to its error (Neumaier 1974): thousands come and go."""
    before = link.own_kbps[direction, 0]
    after = before + kbps
    lost = (before - after) + kbps if abs(before) >= abs(kbps) else (kbps - after) + before
    link.own_kbps[direction, 0] = after
    link.own_kbps[direction, 1] += lost


@inner_kernel
def schedule(link: Link, rates: Rates, i: int) -> None:
    """Find out when something happens to a participant that is at work and that does not depend on others."""
    flow = link.flows[i]
    flow.end = np.inf
    if not flow.delayed and (
        flow.stage == UPLOADING or (flow.stage == COMPUTING and rates.bytes_up == 0)
    ):
        flow.end = flow.alone  # to the last bit as without a server's bandwidth
    elif flow.stage == COMPUTING:
        flow.end = flow.since + flow.left
    elif flow.limit == OWN:
        flow.end = flow.since + flow.left / flow.kbps
    put(link.heaps, EVENTS, i, min(flow.end, flow.border, flow.change))
