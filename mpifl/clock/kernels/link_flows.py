"""Flows that stay under way from one round to the next: taken off a link, and put on one again."""

from __future__ import annotations

import numpy as np

from mpifl.clock.kernels.fair_share import ENDS, EVENTS, SLOWEST, Link, limit_by_phone
from mpifl.clock.kernels.flow import OWN, SHARED
from mpifl.clock.kernels.heaps import put
from mpifl.kernels.compile import kernel


def left_behind(link: Link) -> np.ndarray:
    """Return all flows of a link (m,), structured FLOW, at its moment. Ends the use of the link."""
    flows = link.flows
    shared = flows["limit"] == SHARED
    left = flows["target"][shared] - link.total[flows["stage"][shared] // 2]

    left = np.maximum(left, 0.0)
    flows["left"][shared] = left
    flows["target"][shared] = left
    flows["since"][shared] = link.now[0]
    return flows


@kernel
def take_up(link: Link, flows: np.ndarray) -> None:
    """Go on with ``flows`` (n,) that ``left_behind`` returned, as numbers 0 to n - 1.

    The link has to be of that moment, with nobody on it.
    """
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
