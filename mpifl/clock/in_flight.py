"""Participants under way and who of them stops next: each on its own, or all on one server's link.

What a round does costs as much as the participants it begins and ends, but for copies of those who stay under way.
"""

from __future__ import annotations

import heapq
import math
from bisect import bisect_left

import numpy as np

from mpifl.clock.kernels.fair_share import open_link
from mpifl.clock.kernels.flow import DONE, FLOW
from mpifl.clock.kernels.server_link import advance, join, left_behind, take_up
from mpifl.clock.policy import RoundPolicy, nobody_ever, rates, to_join
from mpifl.clock.timeline import PARTICIPANT, Call, ClockState, Outcome

COMPLETED, DROPPED = int(Outcome.COMPLETED), int(Outcome.DROPPED)
WHOLE = f"V{PARTICIPANT.itemsize}"  # rows without their fields, which numpy would copy one by one: 30 times as slow
NEVER = (math.inf, math.inf)


class Independent:
    """Participants none of whom slows another down: where each stops is known when it begins.

    Those of earlier rounds are in the order in which they stop, and land from the front. Those who began in this round are in
    a heap.
    """

    flows: np.ndarray | None = None

    def __init__(self, state: ClockState) -> None:
        self._earlier, self._landed = state.flights, 0
        self._begun: list[
            tuple[float, int, np.void]
        ] = []  # who stops first (of equals the smaller number), and its row
        self._first = self._first_of_earlier()

    def __len__(self) -> int:
        return len(self._earlier) - self._landed + len(self._begun)

    @property
    def stuck(self) -> bool:
        """Whether none of them ever stops."""
        return math.isinf(min(self._first, self._begun[0][:2] if self._begun else NEVER)[0])

    @property
    def hopeful(self) -> bool:
        """Whether any of them will finish."""
        begun = any(row["outcome"] == COMPLETED and stop < math.inf for stop, _, row in self._begun)
        earlier = self._earlier[self._landed :]
        return begun or bool(
            ((earlier["outcome"] == COMPLETED) & (earlier["stop_seconds"] < math.inf)).any()
        )

    def add(self, rows: np.ndarray) -> None:
        """Let participants (n,), structured PARTICIPANT, as launched, be under way."""
        for row in rows:
            heapq.heappush(self._begun, (*_when(row), row))

    def land(self, until: float) -> np.void | None:
        """The participant that stops next, no longer under way; None if nobody does by ``until``.

        Raises InputError when it is to wait forever for somebody who never stops.
        """
        begun = self._begun[0][:2] if self._begun else NEVER
        stop = min(self._first, begun)[0]
        if not len(self) or stop > until:
            return None
        if math.isinf(stop):
            raise nobody_ever(len(self))
        if begun < self._first:
            return heapq.heappop(self._begun)[-1]
        row: np.void = self._earlier[self._landed].copy()
        self._landed += 1
        self._first = self._first_of_earlier()
        return row

    def _first_of_earlier(self) -> tuple[float, float]:
        return NEVER if self._landed == len(self._earlier) else _when(self._earlier[self._landed])

    def rest(self) -> tuple[np.ndarray, np.ndarray]:
        """Those under way, and their flows, for the next round's state."""
        earlier = self._earlier[self._landed :]
        begun = np.array(
            [row for *_, row in sorted(self._begun, key=lambda flight: flight[:2])], PARTICIPANT
        )
        places = [bisect_left(earlier, _when(row), key=_when) for row in begun]
        return np.insert(earlier.view(WHOLE), places, begun.view(WHOLE)).view(
            PARTICIPANT
        ), np.empty(0, FLOW)


def _when(row: np.void) -> tuple[float, int]:
    """By what participants are in order: when they stop, of equals the smaller client first."""
    return float(row["stop_seconds"]), int(row["client"])


class SharedLink:
    """As Independent, of participants whose transfers share the server's bandwidth: where each stops depends on who else begins."""

    def __init__(self, policy: RoundPolicy, call: Call, state: ClockState, room: int) -> None:
        latency, count = policy.latency, len(state.flights)
        room = max(room, count)
        self._rule, self._phones, self._rates = policy.rule, call.population.phones, rates(call)
        self._link = open_link(latency.server_down_kbps, latency.server_up_kbps, room, state.now)
        self._rows = np.empty(room, PARTICIPANT)  # by number on the link
        self._rows.view(WHOLE)[:count] = state.flights.view(WHOLE)
        self._client = np.full(room, -1)  # the same, -1 where there is none
        self._client[:count] = state.flights["client"]
        self._free = list(range(count, room))
        self._ending = int(
            np.count_nonzero(state.flights["stop_seconds"] < math.inf)
        )  # how many would stop if alone
        self._stopped: list[
            tuple[float, int, int]
        ] = []  # a heap, as that of Independent, of those who have stopped and not landed
        self._landed: list[np.void] = []
        take_up(self._link, state.flows)
        self._stop(np.flatnonzero(state.flows["stop"] < np.inf), np.inf)

    def __len__(self) -> int:
        return len(self._client) - len(self._free)

    @property
    def stuck(self) -> bool:
        """See Independent."""
        return not self._stopped and self._ending == 0

    @property
    def hopeful(self) -> bool:
        """See Independent."""
        rows = self._rows[self._client >= 0]
        return bool(((rows["outcome"] == COMPLETED) & (rows["stop_seconds"] < math.inf)).any())

    @property
    def flows(self) -> np.ndarray:
        """How far those were who landed (n,), structured FLOW, in that order."""
        return np.array(self._landed, FLOW)

    def add(self, rows: np.ndarray) -> None:
        """See Independent."""
        if not len(rows):
            return
        self._link.now[0] = max(
            self._link.now[0], rows["start_seconds"].max()
        )  # it stood still while nobody was under way
        numbers = np.array([self._free.pop() for _ in rows], np.int64)
        self._rows[numbers], self._client[numbers] = rows, rows["client"]
        self._ending += int(np.count_nonzero(rows["stop_seconds"] < math.inf))
        join(self._link, self._phones, self._rates, numbers, *to_join(rows))

    def land(self, until: float) -> np.void | None:
        """See Independent."""
        if not self._stopped:
            if math.isinf(until) and self.stuck:
                raise nobody_ever(len(self))
            advance(self._link, self._phones, self._rule, self._rates, until, 1, 1)
            self._stop(self._link.stopped[: self._link.stops[0]], until)
        if not self._stopped or self._stopped[0][0] > until:
            return None
        moment, _, number = heapq.heappop(self._stopped)
        flow, row = self._link.flows[number].copy(), self._rows[number].copy()
        self._ending -= row["stop_seconds"] < math.inf
        row["stop_seconds"] = moment
        row["outcome"] = COMPLETED if flow["stage"] == DONE else DROPPED
        self._free.append(number)
        self._client[number] = -1
        self._landed.append(flow)
        return row

    def _stop(self, numbers: np.ndarray, until: float) -> None:
        for number in numbers.tolist():
            flow = self._link.flows[number]
            heapq.heappush(
                self._stopped, (min(float(flow["stop"]), until), int(flow["client"]), number)
            )

    def rest(self) -> tuple[np.ndarray, np.ndarray]:
        """See Independent. The link is not used any more."""
        numbers = np.flatnonzero(self._client >= 0)
        numbers = numbers[
            np.argsort(self._client[numbers], kind="stable")
        ]  # nearly in order: quicker than others
        flows = left_behind(self._link)
        return self._rows.view(WHOLE)[numbers].view(PARTICIPANT), flows.view(f"V{FLOW.itemsize}")[
            numbers
        ].view(FLOW)
