"""Max-min fairness among the transfers of one direction that share a server's link.

At every moment a transfer has the rate min(its phone's speed, L). The level L is such that the
rates add up to the server's bandwidth. It is infinite where all phones' speeds together are no more
than that (Bertsekas and Gallager, Data Networks, section 6.5.2).

A transfer that its own phone limits has a rate that only its own events change. All transfers that
the level limits carry the same, so one running total of L over time says how far each of them is. A
change of L then costs them nothing; only those that change from one kind to the other cost
O(log n).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mpifl.clock.kernels.flow import COMPUTING, FLOW, IDLE, OWN, SHARED, UPLOADING
from mpifl.clock.kernels.heaps import Heaps, least, put, take
from mpifl.kernels.compile import constant, inner_kernel

# The heap of participants by their next event that does not depend on the others.
EVENTS = constant(0)

# Two heaps each, one a direction (add DOWN or UP): SHARED transfers by target, SHARED transfers by
# speed, OWN transfers by speed, the fastest first.
ENDS = 1
SLOWEST = 3
FASTEST = 5


class Link(NamedTuple):
    """A server's link at the moment ``now`` (1,), and the participants on it.

    ``flows`` (m,), structured FLOW: the participants by number.

    By direction (2,): ``server_kbps``, infinity for no limit; ``level`` L, kbit/s; ``total``, the
    kbit that a transfer limited by the level all the time would have carried; ``own_kbps`` (2, 2),
    the sum of the speeds of OWN transfers, and the rounding error of that sum.

    The first ``stops`` (1,) of ``stopped`` (m,) int64 are the numbers of the participants that
    stopped last.
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
    """Return a link with nobody on it, for up to ``room`` participants; None means no limit."""
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
def level_out(link: Link, direction: int) -> None:
    """Set the level of a direction, and move transfers to SHARED or OWN accordingly.

    The level limits those whose phones could carry more.
    """
    heaps = link.heaps
    shared = ENDS + direction
    own = FASTEST + direction

    while heaps.sizes[own] and -least(heaps, own) > _level(link, direction):
        i = heaps.items[own, 0]
        flow = link.flows[i]
        leave(link, i, link.now[0])
        flow.target = link.total[direction] + flow.left
        flow.limit = SHARED
        flow.delayed = True
        put(heaps, shared, i, flow.target)
        put(heaps, SLOWEST + direction, i, flow.kbps)
        schedule(link, i)

    while heaps.sizes[shared] and least(heaps, SLOWEST + direction) <= _level(link, direction):
        i = heaps.items[SLOWEST + direction, 0]
        leave(link, i, link.now[0])
        limit_by_phone(link, i)
        schedule(link, i)

    link.level[direction] = _level(link, direction)
    if not heaps.sizes[shared]:
        link.total[direction] = 0.0


@inner_kernel
def _level(link: Link, direction: int) -> float:
    """Return the level of the transfers that are SHARED now.

    Where there are none: infinity or, if the OWN transfers exceed the server's bandwidth, 0.
    """
    left = link.server_kbps[direction] - (link.own_kbps[direction, 0] + link.own_kbps[direction, 1])
    sharing = link.heaps.sizes[ENDS + direction]
    if sharing:
        return left / sharing
    return np.inf if left >= 0 else 0.0


@inner_kernel
def limit_by_phone(link: Link, i: int) -> None:
    """Let a transfer run at its phone's own speed."""
    flow = link.flows[i]
    flow.limit = OWN
    _add_own(link, flow.stage // 2, flow.kbps)
    put(link.heaps, FASTEST + flow.stage // 2, i, -flow.kbps)


@inner_kernel
def leave(link: Link, i: int, moment: float) -> None:
    """Pause a participant's work at ``moment``, and store what is left of it by then."""
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
    elif flow.stage == COMPUTING or flow.setting_up:
        flow.left -= moment - flow.since

    flow.left = max(flow.left, 0.0)
    flow.since = moment
    flow.limit = IDLE


@inner_kernel
def _add_own(link: Link, direction: int, kbps: float) -> None:
    """Add to the sum of speeds of OWN transfers, and to its rounding error (Neumaier 1974).

    Thousands of transfers come and go, so that errors would add up.
    """
    before = link.own_kbps[direction, 0]
    after = before + kbps
    lost = (before - after) + kbps if abs(before) >= abs(kbps) else (kbps - after) + before
    link.own_kbps[direction, 0] = after
    link.own_kbps[direction, 1] += lost


@inner_kernel
def schedule(link: Link, i: int) -> None:
    """Find the next event of a participant at work that does not depend on the others."""
    flow = link.flows[i]
    uploads = flow.stage == UPLOADING and not flow.setting_up
    last_stage = uploads or (flow.stage == COMPUTING and flow.load_up == 0)

    flow.end = np.inf
    if not flow.delayed and last_stage:
        flow.end = flow.alone  # to the last bit as without a limit on the server's bandwidth
    elif flow.stage == COMPUTING or flow.setting_up:
        flow.end = flow.since + flow.left
    elif flow.limit == OWN:
        flow.end = flow.since + flow.left / flow.kbps

    put(link.heaps, EVENTS, i, min(flow.end, flow.border, flow.change))
